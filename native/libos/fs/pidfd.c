#include "fs/pidfd.h"

#include "fs/call_support.h"
#include "fs/descriptor.h"
#include "fs/proc_entry.h"
#include "fs/poller.h"
#include "signal/signal.h"

struct pidfd {
    struct subject subject;
    int32_t id;
};

/* Some process has ended: few wait for that, so all may look. It stays. */
static struct event_source endings = {.references = 1};

void pidfd_process_ended(void)
{
    event_source_changed(&endings);
}

/* NULL: it has ended, and somebody has waited for it. */
static struct process *process_of(const struct file *file)
{
    const struct pidfd *pidfd = file->state;
    struct subject_facts facts;
    return subject_look(&pidfd->subject, &facts) == 0 ? pidfd->subject.process : NULL;
}

/* Ready when the process has ended. */
static uint32_t pidfd_poll(struct file *file, struct poller *poller)
{
    poller_watch(poller, &endings);
    const struct process *process = process_of(file);
    return !process ? POLLIN | POLLHUP : process->state == PROCESS_ZOMBIE ? POLLIN : 0;
}

static void pidfd_release(struct file *file)
{
    release(file->state, sizeof(struct pidfd));
}

static void pidfd_tell(struct file *file, struct text *text)
{
    const struct pidfd *pidfd = file->state;
    int id = process_of(file) ? pidfd->id : -1;
    text_add(text, "Pid:\t%d\nNSpid:\t%d\n", id, id);
}

static const struct file_operations operations = {
    .tell = pidfd_tell, .poll = pidfd_poll, .release = pidfd_release, .stream = true};

bool is_pidfd(const struct file *file)
{
    return file->operations == &operations;
}

/* With a count; NULL: EBADF. */
static struct file *pidfd_at(int descriptor)
{
    struct file *file = file_of_descriptor(descriptor);
    if (file && file->operations == &operations) {
        return file;
    }
    file_put(file);
    return NULL;
}

/* -EBADF, -ESRCH. */
static int64_t process_at(int descriptor, struct process **process)
{
    struct file *file = pidfd_at(descriptor);
    if (!file) {
        return -EBADF;
    }
    *process = process_of(file);
    file_put(file);
    return *process ? 0 : -ESRCH;
}

int32_t process_of_pidfd(int descriptor, bool *is_nonblocking)
{
    struct file *file = pidfd_at(descriptor);
    *is_nonblocking = file && (file->flags & O_NONBLOCK) != 0;
    int32_t id = file ? ((const struct pidfd *)file->state)->id : -EBADF;
    file_put(file);
    return id;
}

int64_t pidfd_create(struct process *process, uint32_t flags)
{
    struct file *file;
    struct pidfd *pidfd = allocate(sizeof(struct pidfd));
    if (!pidfd) {
        return -ENOMEM;
    }
    *pidfd = (struct pidfd){.subject = {.process = process, .serial = process->serial}, .id = process->id};
    int64_t result =
        file_create_anonymous(&operations, "anon_inode:[pidfd]", 0600, O_RDWR | flags, pidfd, &file);
    if (result < 0) {
        release(pidfd, sizeof(struct pidfd));
        return result;
    }
    return install(file, true);
}

int64_t sys_pidfd_open(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    uint32_t flags = (uint32_t)arguments->at[1];
    if ((flags & ~O_NONBLOCK) != 0 || id <= 0) {
        return -EINVAL;
    }
    struct process *process = process_of_id(id);
    if (!process) {
        return task_of_id(id) ? -EINVAL : -ESRCH; /* a thread is no process */
    }
    return pidfd_create(process, flags);
}

/* Signals may go to the process of an open folder of /proc, too: tgid_pidfd_to_pid() of Linux. */
static int64_t process_to_signal(int descriptor, struct process **process)
{
    struct subject subject;
    struct subject_facts facts;
    struct file *file = opened_file_of_descriptor(descriptor);
    bool is_folder = file && proc_entry_subject(file->inode, &subject);
    file_put(file);
    if (!is_folder) {
        return process_at(descriptor, process);
    }
    *process = subject.process;
    return subject_look(&subject, &facts);
}

int64_t sys_pidfd_send_signal(const struct arguments *arguments)
{
    if ((uint32_t)arguments->at[3] != 0) {
        return -EINVAL;
    }
    struct process *process;
    int64_t result = process_to_signal((int)arguments->at[0], &process);
    if (result < 0) {
        return result;
    }
    uint64_t signal = (uint32_t)arguments->at[1];
    struct signal_info info;
    if (arguments->at[2] == 0) {
        return signal_kill_process(process, signal);
    }
    if (signal_info_from_user(&info, arguments->at[2]) < 0) {
        return -EFAULT;
    }
    return (uint64_t)info.signal == signal ? signal_queue_process(process, signal, &info) : -EINVAL;
}

int64_t sys_pidfd_getfd(const struct arguments *arguments)
{
    if ((uint32_t)arguments->at[2] != 0) {
        return -EINVAL;
    }
    struct file *pidfd = pidfd_at((int)arguments->at[0]);
    if (!pidfd) {
        return -EBADF;
    }
    struct subject subject = ((const struct pidfd *)pidfd->state)->subject;
    file_put(pidfd);
    struct subject_facts facts;
    int64_t result = subject_look(&subject, &facts);
    result = result < 0 ? result : subject_may_be_inspected(&facts, INSPECTS_BY_CALL); /* PTRACE_MODE_ATTACH */
    if (result < 0 || facts.has_ended) {
        return result < 0 ? result : -ESRCH;
    }
    bool closes;
    struct file *file = descriptor_file_of(&subject, (int)arguments->at[1], &closes);
    return !file ? -EBADF : install(file, true);
}
