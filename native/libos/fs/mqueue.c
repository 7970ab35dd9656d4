#include "fs/mqueue.h"

#include "fs/fs.h"
#include "fs/path.h"
#include "fs/poller.h"
#include "fs/synthetic.h"
#include "signal/signal.h"

#define OVERHEAD 96U /* bytes that a message counts besides its own, for RLIMIT_MSGQUEUE: mqueue_get_inode() of Linux */

struct message {
    struct message *next;
    uint32_t priority;
    size_t size;
    uint8_t bytes[];
};

struct queue {
    struct inode inode; /* the first: what its files are files of */
    struct event_source source;
    struct queue *next; /* of those that have a name; under the lock of names */
    char name[MQ_NAME_MAX + 1];
    uint64_t charge;

    struct mutex lock; /* all that follows */
    uint64_t messages_max, size_max;
    uint64_t messages, bytes;
    struct message *first; /* the most urgent; of one priority the oldest */
    uint32_t receivers;    /* that wait */
    int32_t notified;      /* id of a process; 0: nobody */
    struct mqueue_notification notification;
};

static struct mutex names_lock;
static struct queue *queues;
static uint32_t queue_count;
static uint64_t charged; /* atomic; RLIMIT_MSGQUEUE */

static const struct file_system queue_file_system = {
    .type = "mqueue", .magic = 0x19800202, .device = 0x36, .has_no_blocks = true};

static struct queue *queue_of(const struct file *file)
{
    return CONTAINER_OF(file->inode, struct queue, inode);
}

static void queue_free(struct event_source *source)
{
    struct queue *queue = CONTAINER_OF(source, struct queue, source);
    for (struct message *message = queue->first, *next; message; message = next) {
        next = message->next;
        release(message, sizeof(*message) + message->size);
    }
    __atomic_sub_fetch(&charged, queue->charge, __ATOMIC_RELAXED);
    release(queue->inode.name, queue->inode.name_length + 1);
    release(queue, sizeof(*queue));
}

static void queue_unused(struct inode *inode)
{
    event_source_put(&CONTAINER_OF(inode, struct queue, inode)->source);
}

static uint32_t queue_poll(struct file *file, struct poller *poller)
{
    struct queue *queue = queue_of(file);
    poller_watch(poller, &queue->source);
    mutex_lock(&queue->lock);
    uint32_t events = queue->messages > 0 ? POLLIN | POLLRDNORM : 0;
    events |= queue->messages < queue->messages_max ? POLLOUT | POLLWRNORM : 0;
    mutex_unlock(&queue->lock);
    return events;
}

/* What a queue looks like when it is read as a file: mqueue_read_file() of Linux. */
static int64_t queue_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct queue *queue = queue_of(file);
    char text[80];
    mutex_lock(&queue->lock);
    bool is_told = queue->notified != 0;
    size_t size = format_text(text, sizeof(text), "QSIZE:%lu NOTIFY:%d SIGNO:%d NOTIFY_PID:%d\n", queue->bytes,
        !is_told ? 0 : queue->notification.socket ? SIGEV_THREAD : queue->notification.signal == 0 ? SIGEV_NONE : SIGEV_SIGNAL,
        is_told ? queue->notification.signal : 0,
        queue->notified);
    mutex_unlock(&queue->lock);
    size_t left = *offset < size ? size - (size_t)*offset : 0;
    size_t part = left < length ? left : length;
    memcpy(to, text + *offset, part);
    *offset += part;
    return (int64_t)part;
}

/* What has been taken from a queue, to be told without its lock. */
struct news {
    int32_t process; /* gets the signal; 0: none */
    struct signal_info info;
    struct mqueue_notification notification;
};
enum cookie_reason { NOTIFY_WOKENUP = 1, NOTIFY_REMOVED = 2 };

static void take_registration(struct queue *queue, enum cookie_reason reason, struct news *news)
{
    news->notification = queue->notification;
    news->notification.cookie[MQ_COOKIE_SIZE - 1] = (uint8_t)reason;
    news->process = reason == NOTIFY_WOKENUP && queue->notification.signal != 0 ? queue->notified : 0;
    news->info = (struct signal_info){
        .signal = queue->notification.signal,
        .code = SI_MESGQ,
        .first = (uint32_t)current_process()->id | (uint64_t)credentials()->user.real << 32,
        .second = queue->notification.value,
    };
    queue->notified = 0;
    queue->notification = (struct mqueue_notification){0};
}

static void tell(const struct news *news)
{
    struct process *process = news->process != 0 ? process_of_id(news->process) : NULL;
    if (process) {
        signal_tell(process, NULL, &news->info);
    }
    if (news->notification.socket) {
        fs_upcalls.tell_by_netlink(news->notification.socket, news->notification.cookie, MQ_COOKIE_SIZE);
        file_put(news->notification.socket);
    }
}

/* A process that closes a descriptor of the queue is not told of it any more, whoever else has it open: mqueue_flush_file() of Linux. */
static void unregister(struct queue *queue)
{
    struct news news = {0};
    mutex_lock(&queue->lock);
    if (queue->notified == current_process()->id) {
        take_registration(queue, NOTIFY_REMOVED, &news);
    }
    mutex_unlock(&queue->lock);
    tell(&news);
}

static void queue_flush(struct file *file)
{
    unregister(queue_of(file));
}

static const struct file_operations file_operations = {
    .read = queue_read,
    .poll = queue_poll,
    .flush = queue_flush,
    .generated = true,
};

static int64_t queue_open_file(struct inode *inode, struct file *file)
{
    (void)inode;
    file->operations = &file_operations;
    return 0;
}

static const struct inode_operations inode_operations = {.open = queue_open_file, .unused = queue_unused};

bool is_mqueue(const struct file *file)
{
    return file->operations == &file_operations;
}

/* 0, -EINVAL, -EMFILE, -ENOSPC, -ENOMEM. The lock of names is held. */
static int64_t create(const char *name, uint32_t mode, const struct mqueue_attributes *attributes,
    struct queue **created)
{
    uint64_t messages = MQ_MESSAGES_DEFAULT, size = MQ_SIZE_DEFAULT;
    if (attributes) {
        messages = (uint64_t)attributes->messages_max;
        size = (uint64_t)attributes->size_max;
    }
    if (queue_count >= MQ_QUEUES_MAX) {
        return -ENOSPC;
    }
    if (messages == 0 || size == 0 || messages > MQ_MESSAGES_MAX || size > MQ_SIZE_MAX) {
        return -EINVAL;
    }
    uint64_t charge = messages * (size + OVERHEAD);
    if (__atomic_load_n(&charged, __ATOMIC_RELAXED) + charge > resource_limit(RLIMIT_MSGQUEUE)) {
        return -EMFILE;
    }
    struct inode *inode;
    mode &= ~__atomic_load_n(&current_whereabouts()->mode_mask, __ATOMIC_RELAXED) & 0777;
    int64_t result =
        synthetic_create_inode(&queue_file_system, &inode_operations, S_IFREG | mode, sizeof(struct queue), &inode);
    if (result < 0) {
        return result;
    }
    struct queue *queue = CONTAINER_OF(inode, struct queue, inode);
    size_t length = strlen(name);
    inode->links = 1;
    inode->name = allocate(length + 2);
    if (!inode->name) {
        release(queue, sizeof(*queue));
        return -ENOMEM;
    }
    inode->name_length = length + 1;
    inode->name[0] = '/';
    memcpy(inode->name + 1, name, length);
    memcpy(queue->name, name, length);
    queue->source = (struct event_source){.references = 1, .changes = 1, .unused = queue_free};
    queue->messages_max = messages;
    queue->size_max = size;
    queue->charge = charge;
    __atomic_add_fetch(&charged, charge, __ATOMIC_RELAXED);
    queue->next = queues;
    queues = queue;
    queue_count++;
    *created = queue;
    return 0;
}

static struct queue **find(const char *name)
{
    struct queue **link = &queues;
    while (*link && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }
    return link;
}

/* 0 or what lookup_one_len() of Linux says of such a name. */
static int64_t check_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0) {
        return -ENOENT;
    }
    if (length > MQ_NAME_MAX) {
        return -ENAMETOOLONG;
    }
    bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    return is_dots || memchr(name, '/', length) ? -EACCES : 0;
}

static int64_t check_access(const struct queue *queue, uint32_t flags)
{
    static const uint32_t wanted[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE};
    uint32_t mode = flags & O_ACCMODE;
    return mode == O_ACCMODE ? -EINVAL : inode_access(&queue->inode, wanted[mode]);
}

/* The lock of names is held. */
static int64_t find_or_create(const char *name, uint32_t flags, uint32_t mode,
    const struct mqueue_attributes *attributes, struct queue **found)
{
    *found = *find(name);
    if (!*found) {
        return (flags & O_CREAT) ? create(name, mode, attributes, found) : -ENOENT;
    }
    return (flags & O_CREAT) && (flags & O_EXCL) ? -EEXIST : check_access(*found, flags);
}

int64_t mqueue_open(const char *name, uint32_t flags, uint32_t mode,
    const struct mqueue_attributes *attributes, struct file **file)
{
    struct queue *queue;
    int64_t result = check_name(name);
    if (result < 0) {
        return result;
    }
    mutex_lock(&names_lock);
    result = find_or_create(name, flags, mode, attributes, &queue);
    if (result == 0) {
        result = file_create(&queue->inode, flags & (O_ACCMODE | O_NONBLOCK), file);
    }
    mutex_unlock(&names_lock);
    return result;
}

int64_t mqueue_unlink(const char *name)
{
    int64_t result = check_name(name);
    if (result < 0) {
        return result;
    }
    mutex_lock(&names_lock);
    struct queue **link = find(name), *queue = *link;
    result = !queue ? -ENOENT : is_owner(&queue->inode) ? 0 : -EPERM; /* their directory is sticky */
    if (result == 0) {
        *link = queue->next;
        queue_count--;
        queue->inode.links = 0;
    }
    mutex_unlock(&names_lock);
    if (result == 0) {
        inode_put(&queue->inode);
    }
    return result;
}

/* Sleeps until the queue has changed: its lock is released meanwhile. 0, -ETIMEDOUT, -EINTR. */
static int64_t wait(struct queue *queue, uint64_t deadline)
{
    uint64_t timeout = NO_TIMEOUT;
    if (deadline != NO_TIMEOUT) {
        uint64_t now = clock_now_ns(CLOCK_REALTIME);
        if (now >= deadline) {
            return -ETIMEDOUT;
        }
        timeout = deadline - now;
    }
    int64_t result = wait_queue_sleep(&queue->source.queue, &queue->lock, timeout);
    return result == -ETIMEDOUT ? 0 : result; /* the deadline decides */
}

/* The first message in an empty queue that nobody waits for is told once. */
static void take_notification(struct queue *queue, struct news *news)
{
    if (queue->notified && queue->messages == 1 && queue->receivers == 0) {
        take_registration(queue, NOTIFY_WOKENUP, news);
    }
}

static void insert(struct queue *queue, struct message *message)
{
    struct message **link = &queue->first;
    while (*link && (*link)->priority >= message->priority) {
        link = &(*link)->next;
    }
    message->next = *link;
    *link = message;
    queue->messages++;
    queue->bytes += message->size;
}

static int64_t put(struct file *file, struct message *message, uint64_t deadline)
{
    struct queue *queue = queue_of(file);
    struct news news = {0};
    int64_t result = 0;
    mutex_lock(&queue->lock);
    while (result == 0 && queue->messages >= queue->messages_max) {
        result = (file->flags & O_NONBLOCK) ? -EAGAIN : wait(queue, deadline);
    }
    if (result == 0) {
        insert(queue, message);
        take_notification(queue, &news);
    }
    mutex_unlock(&queue->lock);
    tell(&news);
    if (result == 0) {
        event_source_changed(&queue->source);
    }
    return result;
}

int64_t mqueue_send(
    struct file *file, user_address from, uint64_t length, uint32_t priority, uint64_t deadline)
{
    if (length > queue_of(file)->size_max) {
        return -EMSGSIZE;
    }
    struct message *message = allocate(sizeof(*message) + length);
    if (!message) {
        return -ENOMEM;
    }
    message->priority = priority;
    message->size = length;
    int64_t result = copy_from_user(message->bytes, from, length);
    if (result == 0) {
        result = put(file, message, deadline);
    }
    if (result < 0) {
        release(message, sizeof(*message) + length);
    }
    return result;
}

static int64_t take(struct file *file, uint64_t deadline, struct message **message)
{
    struct queue *queue = queue_of(file);
    int64_t result = 0;
    mutex_lock(&queue->lock);
    while (result == 0 && queue->messages == 0) {
        queue->receivers++;
        result = (file->flags & O_NONBLOCK) ? -EAGAIN : wait(queue, deadline);
        queue->receivers--;
    }
    if (queue->messages > 0) {
        *message = queue->first;
        queue->first = (*message)->next;
        queue->messages--;
        queue->bytes -= (*message)->size;
        result = 0;
    }
    mutex_unlock(&queue->lock);
    if (result == 0) {
        event_source_changed(&queue->source);
    }
    return result;
}

int64_t mqueue_receive(
    struct file *file, user_address to, uint64_t length, user_address priority, uint64_t deadline)
{
    struct message *message = NULL;
    if (length < queue_of(file)->size_max) {
        return -EMSGSIZE;
    }
    int64_t result = take(file, deadline, &message);
    if (result < 0) {
        return result;
    }
    size_t size = message->size;
    bool is_told = (priority == 0 || copy_to_user(priority, &message->priority, sizeof(message->priority)) == 0) &&
                   copy_to_user(to, message->bytes, size) == 0;
    release(message, sizeof(*message) + size);
    return is_told ? (int64_t)size : -EFAULT;
}

int64_t mqueue_notify(struct file *file, const struct mqueue_notification *wanted)
{
    struct queue *queue = queue_of(file);
    int64_t result = 0;
    if (!wanted) {
        unregister(queue);
        return 0;
    }
    mutex_lock(&queue->lock);
    if (queue->notified) {
        result = -EBUSY;
    } else {
        queue->notified = current_process()->id;
        queue->notification = *wanted;
    }
    mutex_unlock(&queue->lock);
    return result;
}

void mqueue_describe(struct file *file, struct mqueue_attributes *attributes)
{
    struct queue *queue = queue_of(file);
    mutex_lock(&queue->lock);
    *attributes = (struct mqueue_attributes){
        .flags = file->flags & O_NONBLOCK,
        .messages_max = (int64_t)queue->messages_max,
        .size_max = (int64_t)queue->size_max,
        .messages = (int64_t)queue->messages,
    };
    mutex_unlock(&queue->lock);
}
