/* The calls about POSIX message queues. A C library takes the leading slash of a name away. */
#include "fs/call_support.h"
#include "fs/fs.h"
#include "fs/mqueue.h"
#include "signal/signal.h"

#define PRIORITY_MAX 32768U

int64_t sys_mq_open(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[1];
    struct mqueue_attributes attributes, *wanted = NULL;
    struct file *file = NULL;
    char *name;
    if (arguments->at[3] != 0) {
        if (copy_from_user(&attributes, arguments->at[3], sizeof(attributes)) < 0) {
            return -EFAULT;
        }
        wanted = &attributes;
    }
    int64_t result = path_from_user(arguments->at[0], &name);
    if (result < 0) {
        return result;
    }
    struct descriptor_slot slot;
    result = descriptor_reserve(&slot, true);
    if (result == 0) {
        result = mqueue_open(name, flags, (uint32_t)arguments->at[2], wanted, &file);
        result = descriptor_fill(&slot, result, file);
    }
    buffer_give(&path_buffers, name);
    return result;
}

int64_t sys_mq_unlink(const struct arguments *arguments)
{
    char *name;
    int64_t result = path_from_user(arguments->at[0], &name);
    if (result == 0) {
        result = mqueue_unlink(name);
        buffer_give(&path_buffers, name);
    }
    return result;
}

/* With a count; NULL: EBADF. `can`: NULL, or what the descriptor must allow. */
static struct file *queue_at(const struct arguments *arguments, bool (*can)(const struct file *file))
{
    struct file *file = file_at(arguments, 0);
    if (file && is_mqueue(file) && (!can || can(file))) {
        return file;
    }
    file_put(file);
    return NULL;
}

static int64_t import_deadline(uint64_t *deadline, user_address from)
{
    *deadline = NO_TIMEOUT;
    return from == 0 ? 0 : timeout_from_user(deadline, from);
}

int64_t sys_mq_timedsend(const struct arguments *arguments)
{
    uint64_t deadline;
    int64_t result = import_deadline(&deadline, arguments->at[4]);
    if (result < 0) {
        return result;
    }
    if ((uint32_t)arguments->at[3] >= PRIORITY_MAX) {
        return -EINVAL;
    }
    struct file *file = queue_at(arguments, is_writable);
    if (!file) {
        return -EBADF;
    }
    result = mqueue_send(file, arguments->at[1], arguments->at[2], (uint32_t)arguments->at[3], deadline);
    file_put(file);
    return result;
}

int64_t sys_mq_timedreceive(const struct arguments *arguments)
{
    uint64_t deadline;
    int64_t result = import_deadline(&deadline, arguments->at[4]);
    if (result < 0) {
        return result;
    }
    struct file *file = queue_at(arguments, is_readable);
    if (!file) {
        return -EBADF;
    }
    result = mqueue_receive(file, arguments->at[1], arguments->at[2], arguments->at[3], deadline);
    file_put(file);
    return result;
}

/* The start of struct sigevent. */
struct event {
    uint64_t value;
    int32_t signal, notification;
    uint8_t rest[48];
};

/* How C libraries make SIGEV_THREAD of it: `signal` is a netlink socket, and `value` points to what it shall receive (do_mq_notify() of Linux). */
static int64_t import_socket(const struct event *event, struct mqueue_notification *wanted)
{
    if (copy_from_user(wanted->cookie, event->value, MQ_COOKIE_SIZE) < 0) {
        return -EFAULT;
    }
    struct file *socket = opened_file_of_descriptor(event->signal);
    if (!socket) {
        return -EBADF;
    }
    int64_t result = fs_upcalls.check_netlink(socket);
    if (result < 0) {
        file_put(socket);
        return result;
    }
    wanted->socket = socket;
    return 0;
}

static int64_t import_event(user_address from, struct mqueue_notification *wanted)
{
    struct event event;
    if (copy_from_user(&event, from, sizeof(event)) < 0) {
        return -EFAULT;
    }
    wanted->value = event.value;
    switch (event.notification) {
    case SIGEV_NONE:
        return 0;
    case SIGEV_SIGNAL:
        wanted->signal = event.signal;
        return event.signal < 0 || event.signal > SIGNAL_COUNT ? -EINVAL : 0;
    case SIGEV_THREAD:
        return import_socket(&event, wanted);
    default:
        return -EINVAL;
    }
}

int64_t sys_mq_notify(const struct arguments *arguments)
{
    struct mqueue_notification wanted = {0};
    int64_t result = arguments->at[1] != 0 ? import_event(arguments->at[1], &wanted) : 0;
    if (result < 0) {
        return result;
    }
    struct file *file = queue_at(arguments, NULL);
    result = !file ? -EBADF : mqueue_notify(file, arguments->at[1] != 0 ? &wanted : NULL);
    if (result < 0) {
        file_put(wanted.socket);
    }
    file_put(file);
    return result;
}

int64_t sys_mq_getsetattr(const struct arguments *arguments)
{
    struct mqueue_attributes new, old;
    bool changes = arguments->at[1] != 0;
    if (changes && copy_from_user(&new, arguments->at[1], sizeof(new)) < 0) {
        return -EFAULT;
    }
    if (changes && ((uint64_t)new.flags & ~(uint64_t)O_NONBLOCK) != 0) {
        return -EINVAL;
    }
    struct file *file = queue_at(arguments, NULL);
    if (!file) {
        return -EBADF;
    }
    mqueue_describe(file, &old);
    if (changes) {
        file->flags = (file->flags & ~O_NONBLOCK) | ((uint32_t)new.flags & O_NONBLOCK);
    }
    file_put(file);
    return arguments->at[2] != 0 ? copy_to_user(arguments->at[2], &old, sizeof(old)) : 0;
}
