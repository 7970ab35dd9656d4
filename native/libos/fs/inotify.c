#include "fs/inotify.h"

#include "fs/poller.h"
#include "fs/synthetic.h"

#define BUCKETS 256U
#define FIONREAD 0x541BU
/* What a watch keeps of the mask it was given, beside the events. */
#define KEPT_FLAGS (IN_EXCL_UNLINK | IN_ONESHOT)

/* struct inotify_event (Linux, include/uapi/linux/inotify.h); the name follows. */
struct event_header {
    int32_t watch;
    uint32_t mask;
    uint32_t cookie;
    uint32_t length; /* of the name with its padding of zeros */
};

struct event {
    struct event *next;
    struct event_header header;
    size_t name_length;
    char name[];
};

struct watch {
    struct watch *next_in_bucket, *next_of_instance;
    struct instance *instance;
    int32_t number;
    uint32_t mask;
    const struct file_system *file_system;
    uint64_t inode;
};

struct instance {
    struct event_source source;
    struct event *first, *last;
    size_t bytes; /* that reading all would give */
    uint32_t queued;
    int32_t last_number;
    struct watch *watches;
};

/* One lock for all, the last one to be taken. */
static struct mutex lock;
static struct watch *buckets[BUCKETS];
static uint32_t watch_count, instance_count;

static const struct file_operations operations;

static struct watch **bucket_of(const struct inode *inode)
{
    return &buckets[inode->number % BUCKETS];
}

static bool is_of(const struct watch *watch, const struct inode *inode)
{
    return watch->inode == inode->number && watch->file_system == inode->file_system;
}

bool inotify_is_used(void)
{
    return __atomic_load_n(&watch_count, __ATOMIC_ACQUIRE) > 0;
}

static size_t size_of(const struct event *event)
{
    return sizeof(struct event_header) + event->header.length;
}

static void append(struct instance *instance, struct event *event)
{
    *(instance->last ? &instance->last->next : &instance->first) = event;
    instance->last = event;
    instance->bytes += size_of(event);
    instance->queued++;
    event_source_has_data(&instance->source);
}

static struct event *make_event(int32_t number, uint32_t mask, uint32_t cookie, struct name name)
{
    struct event *event = allocate(sizeof(struct event) + name.length);
    if (event) {
        size_t unit = sizeof(struct event_header);
        size_t padded = name.length == 0 ? 0 : (name.length + 1 + unit - 1) / unit * unit;
        event->header = (struct event_header){number, mask, cookie, (uint32_t)padded};
        event->name_length = name.length;
        memcpy(event->name, name.bytes, name.length);
    }
    return event;
}

static void release_event(struct event *event)
{
    release(event, sizeof(struct event) + event->name_length);
}

/* The same as the last one says nothing new (event_compare() of Linux). */
static bool repeats(const struct event *last, int32_t number, uint32_t mask, struct name name)
{
    return last && (last->header.mask & IN_IGNORED) == 0 && last->header.watch == number &&
           last->header.mask == mask && name_equals((struct name){last->name, last->name_length}, name);
}

/* Without memory, events are lost as when the queue is full: there is room for that one event always. */
static void queue(struct instance *instance, int32_t number, uint32_t mask, uint32_t cookie, struct name name)
{
    struct event *event = NULL;
    bool has_overflown = instance->last && (instance->last->header.mask & IN_Q_OVERFLOW);
    if (repeats(instance->last, number, mask, name)) {
        return;
    }
    if (instance->queued < INOTIFY_QUEUE_MAX) {
        event = make_event(number, mask, cookie, name);
    }
    if (!event && !has_overflown) {
        event = make_event(-1, IN_Q_OVERFLOW, 0, (struct name){0});
    }
    if (event) {
        append(instance, event);
    }
}

static void unlink_watch(struct watch *watch)
{
    struct watch **link = &buckets[watch->inode % BUCKETS];
    while (*link != watch) {
        link = &(*link)->next_in_bucket;
    }
    *link = watch->next_in_bucket;
    link = &watch->instance->watches;
    while (*link != watch) {
        link = &(*link)->next_of_instance;
    }
    *link = watch->next_of_instance;
    __atomic_fetch_sub(&watch_count, 1, __ATOMIC_RELEASE);
}

static void end_watch(struct watch *watch)
{
    unlink_watch(watch);
    queue(watch->instance, watch->number, IN_IGNORED, 0, (struct name){0});
    release(watch, sizeof(struct watch));
}

void inotify_tell(const struct inode *watched, const struct happening *happening)
{
    mutex_lock(&lock);
    for (struct watch *watch = *bucket_of(watched), *next; watch; watch = next) {
        next = watch->next_in_bucket;
        bool wanted = is_of(watch, watched) && (watch->mask & happening->event & IN_ALL_EVENTS) != 0 &&
                      !(happening->removed && (watch->mask & IN_EXCL_UNLINK));
        if (!wanted) {
            continue;
        }
        /* what happens to the watched thing's own name does not say that it is a directory, as ever */
        bool is_self = (happening->event & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0;
        queue(watch->instance, watch->number, is_self ? happening->event & ~IN_ISDIR : happening->event,
            happening->cookie, happening->name);
        if (watch->mask & IN_ONESHOT) {
            end_watch(watch);
        }
    }
    mutex_unlock(&lock);
}

void inotify_end(const struct inode *watched)
{
    mutex_lock(&lock);
    for (struct watch *watch = *bucket_of(watched), *next; watch; watch = next) {
        next = watch->next_in_bucket;
        if (is_of(watch, watched)) {
            end_watch(watch);
        }
    }
    mutex_unlock(&lock);
}

/* As many whole events as fit. */
static int64_t take_events(struct instance *instance, uint8_t *to, size_t length)
{
    size_t done = 0;
    while (instance->first && size_of(instance->first) <= length - done) {
        struct event *event = instance->first;
        memcpy(to + done, &event->header, sizeof(event->header));
        done += sizeof(event->header);
        memset(to + done, 0, event->header.length);
        memcpy(to + done, event->name, event->name_length);
        done += event->header.length;
        instance->first = event->next;
        instance->last = !event->next ? NULL : instance->last;
        instance->bytes -= size_of(event);
        instance->queued--;
        release_event(event);
    }
    return done > 0 ? (int64_t)done : -EINVAL;
}

static int64_t inotify_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)offset;
    struct instance *instance = file->state;
    int64_t result = 0;
    mutex_lock(&lock);
    while (!instance->first && result == 0) {
        result = (file->flags & O_NONBLOCK) ? -EAGAIN
                                            : wait_queue_sleep(&instance->source.queue, &lock, NO_TIMEOUT);
    }
    if (result == 0) {
        result = take_events(instance, to, length);
    }
    mutex_unlock(&lock);
    return result;
}

static uint32_t inotify_poll(struct file *file, struct poller *poller)
{
    struct instance *instance = file->state;
    poller_watch(poller, &instance->source);
    mutex_lock(&lock);
    uint32_t events = instance->first ? POLLIN | POLLRDNORM : 0;
    mutex_unlock(&lock);
    return events;
}

static int64_t inotify_ioctl(struct file *file, uint32_t request, user_address argument)
{
    const struct instance *instance = file->state;
    if (request != FIONREAD) {
        return -ENOTTY;
    }
    int32_t bytes = (int32_t)__atomic_load_n(&instance->bytes, __ATOMIC_RELAXED);
    return copy_to_user(argument, &bytes, sizeof(bytes));
}

static void instance_unused(struct event_source *source)
{
    release(CONTAINER_OF(source, struct instance, source), sizeof(struct instance));
}

static void inotify_release(struct file *file)
{
    struct instance *instance = file->state;
    mutex_lock(&lock);
    while (instance->watches) {
        struct watch *watch = instance->watches;
        unlink_watch(watch);
        release(watch, sizeof(struct watch));
    }
    while (instance->first) {
        struct event *event = instance->first;
        instance->first = event->next;
        release_event(event);
    }
    instance_count--;
    mutex_unlock(&lock);
    event_source_put(&instance->source);
}

/* inotify_fdinfo() of Linux, without file handles: there are none. */
static void inotify_tell_watches(struct file *file, struct text *text)
{
    const struct instance *instance = file->state;
    mutex_lock(&lock);
    for (const struct watch *watch = instance->watches; watch; watch = watch->next_of_instance) {
        text_add(text, "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:0 \n", (unsigned)watch->number,
            (unsigned long long)watch->inode, watch->file_system->device, watch->mask);
    }
    mutex_unlock(&lock);
}

static const struct file_operations operations = {
    .tells_owner = OWNER_HEARS_OF_DATA,
    .tell = inotify_tell_watches,
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
    .stream = true,
    .reads_by_piece = true,
    .stands = true,
};

bool is_inotify(const struct file *file)
{
    return file->operations == &operations;
}

static bool count_instance(void)
{
    mutex_lock(&lock);
    bool allowed = instance_count < INOTIFY_INSTANCES_MAX;
    instance_count += allowed;
    mutex_unlock(&lock);
    return allowed;
}

int64_t inotify_create(uint32_t flags, struct file **file)
{
    if (!count_instance()) {
        return -EMFILE;
    }
    struct instance *instance = allocate(sizeof(struct instance));
    int64_t result = -ENOMEM;
    if (instance) {
        instance->source.references = 1;
        instance->source.unused = instance_unused;
        result = file_create_anonymous(&operations, "anon_inode:inotify", 0600, O_RDONLY | flags, instance, file);
        if (result < 0) {
            instance_unused(&instance->source);
        }
    }
    if (result < 0) {
        mutex_lock(&lock);
        instance_count--;
        mutex_unlock(&lock);
    }
    return result;
}

static struct watch *find(const struct instance *instance, const struct inode *inode)
{
    struct watch *watch = *bucket_of(inode);
    while (watch && (watch->instance != instance || !is_of(watch, inode))) {
        watch = watch->next_in_bucket;
    }
    return watch;
}

static int64_t add_locked(struct instance *instance, const struct inode *inode, uint32_t mask)
{
    struct watch *watch = find(instance, inode);
    uint32_t kept = mask & (IN_ALL_EVENTS | KEPT_FLAGS);
    if (watch) {
        if (mask & IN_MASK_CREATE) {
            return -EEXIST;
        }
        watch->mask = (mask & IN_MASK_ADD) ? watch->mask | kept : kept;
        return watch->number;
    }
    if (watch_count >= INOTIFY_WATCHES_MAX) {
        return -ENOSPC;
    }
    watch = allocate(sizeof(struct watch));
    if (!watch) {
        return -ENOMEM;
    }
    *watch = (struct watch){
        .next_in_bucket = *bucket_of(inode),
        .next_of_instance = instance->watches,
        .instance = instance,
        .number = ++instance->last_number,
        .mask = kept,
        .file_system = inode->file_system,
        .inode = inode->number,
    };
    *bucket_of(inode) = watch;
    instance->watches = watch;
    __atomic_fetch_add(&watch_count, 1, __ATOMIC_RELEASE);
    return watch->number;
}

int64_t inotify_add(struct file *file, const struct inode *inode, uint32_t mask)
{
    mutex_lock(&lock);
    int64_t result = add_locked(file->state, inode, mask);
    mutex_unlock(&lock);
    return result;
}

int64_t inotify_remove(struct file *file, int32_t number)
{
    struct instance *instance = file->state;
    mutex_lock(&lock);
    struct watch *watch = instance->watches;
    while (watch && watch->number != number) {
        watch = watch->next_of_instance;
    }
    if (watch) {
        end_watch(watch);
    }
    mutex_unlock(&lock);
    return watch ? 0 : -EINVAL;
}
