/* The calls about POSIX message queues. A C library takes the leading slash of a name away. */
#include "fs/call_support.h"
#include "fs/mqueue.h"
#include "signal/signal.h"

#define PRIORITY_MAX 32768U

int64_t sys_mq_open(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[1];
    struct mqueue_attributes attributes, *wanted = NULL;
    struct file *file;
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
    result = mqueue_open(name, flags, (uint32_t)arguments->at[2], wanted, &file);
    buffer_give(&path_buffers, name);
    return result < 0 ? result : install(file, true);
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
    if (file != NULL && is_mqueue(file) && (can == NULL || can(file))) {
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
    if (file == NULL) {
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
    if (file == NULL) {
        return -EBADF;
    }
    result = mqueue_receive(file, arguments->at[1], arguments->at[2], arguments->at[3], deadline);
    file_put(file);
    return result;
}

enum notification { SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2 };

/* The start of struct sigevent. */
struct event {
    uint64_t value;
    int32_t signal, notification;
    uint8_t rest[48];
};

/* SIGEV_THREAD comes by a netlink socket in sigev_signo, of which there are none. */
static int64_t check_event(const struct event *event)
{
    switch (event->notification) {
    case SIGEV_NONE:
        return 0;
    case SIGEV_SIGNAL:
        return event->signal < 0 || event->signal > SIGNAL_COUNT ? -EINVAL : 0;
    case SIGEV_THREAD:
        return -EBADF;
    default:
        return -EINVAL;
    }
}

int64_t sys_mq_notify(const struct arguments *arguments)
{
    struct event event = {.notification = SIGEV_NONE};
    if (arguments->at[1] != 0 && copy_from_user(&event, arguments->at[1], sizeof(event)) < 0) {
        return -EFAULT;
    }
    int64_t result = check_event(&event);
    if (result < 0) {
        return result;
    }
    struct file *file = queue_at(arguments, NULL);
    if (file == NULL) {
        return -EBADF;
    }
    const struct mqueue_notification wanted = {
        .signal = event.notification == SIGEV_SIGNAL ? event.signal : 0, .value = event.value};
    result = mqueue_notify(file, arguments->at[1] != 0 ? &wanted : NULL);
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
    if (file == NULL) {
        return -EBADF;
    }
    mqueue_describe(file, &old);
    if (changes) {
        file->flags = (file->flags & ~O_NONBLOCK) | ((uint32_t)new.flags & O_NONBLOCK);
    }
    file_put(file);
    return arguments->at[2] != 0 ? copy_to_user(arguments->at[2], &old, sizeof(old)) : 0;
}
