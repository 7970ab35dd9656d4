#include "fs/pidfd.h"

#include "fs/call_support.h"
#include "signal/signal.h"

/* Ready when the process has ended: nobody inside sees that. */
static uint32_t pidfd_poll(struct file *file, struct poller *poller)
{
    (void)file;
    (void)poller;
    return 0;
}

static const struct file_operations operations = {.poll = pidfd_poll, .stream = true};

/* With a count; NULL: EBADF. */
static struct file *pidfd_at(int descriptor)
{
    struct file *file = file_of_descriptor(descriptor);
    if (file != NULL && file->operations == &operations) {
        return file;
    }
    file_put(file);
    return NULL;
}

bool is_pidfd(int descriptor)
{
    struct file *file = pidfd_at(descriptor);
    file_put(file);
    return file != NULL;
}

int64_t sys_pidfd_open(const struct arguments *arguments)
{
    struct file *file;
    int32_t id = (int32_t)arguments->at[0];
    uint32_t flags = (uint32_t)arguments->at[1];
    if ((flags & ~O_NONBLOCK) != 0 || id <= 0) {
        return -EINVAL;
    }
    if (id != PROCESS_ID) {
        return task_of_id(id) != NULL ? -EINVAL : -ESRCH; /* a thread is no process */
    }
    int64_t result =
        file_create_anonymous(&operations, "anon_inode:[pidfd]", 0600, O_RDWR | flags, NULL, &file);
    return result < 0 ? result : install(file, true);
}

int64_t sys_pidfd_send_signal(const struct arguments *arguments)
{
    if ((uint32_t)arguments->at[3] != 0) {
        return -EINVAL;
    }
    if (!is_pidfd((int)arguments->at[0])) {
        return -EBADF;
    }
    uint64_t signal = (uint32_t)arguments->at[1];
    struct signal_info info;
    if (arguments->at[2] == 0) {
        return signal_kill_process(signal);
    }
    if (signal_info_from_user(&info, arguments->at[2]) < 0) {
        return -EFAULT;
    }
    return (uint64_t)info.signal == signal ? signal_queue_process(signal, &info) : -EINVAL;
}

int64_t sys_pidfd_getfd(const struct arguments *arguments)
{
    if ((uint32_t)arguments->at[2] != 0) {
        return -EINVAL;
    }
    if (!is_pidfd((int)arguments->at[0])) {
        return -EBADF;
    }
    struct file *file = file_at(arguments, 1);
    return file == NULL ? -EBADF : install(file, true);
}
