/* Signals that are read from a descriptor: signalfd(2). */
#include "fs/call_support.h"
#include "fs/poller.h"
#include "fs/synthetic.h"
#include "signal/signal.h"

#define SFD_CLOEXEC O_CLOEXEC
#define SFD_NONBLOCK O_NONBLOCK

/* struct signalfd_siginfo */
struct record {
    uint32_t signal;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t descriptor;
    uint32_t timer, band, overrun, trap;
    int32_t status, number;
    uint64_t pointer, user_time, system_time, address;
    uint16_t address_bits, padding;
    int32_t system_call;
    uint64_t call_address;
    uint32_t architecture;
    uint8_t rest[28];
};
_Static_assert(sizeof(struct record) == 128, "as in Linux");

struct signal_file {
    uint64_t mask; /* atomic */
};

/* A signal has come, to whomever. */
static struct event_source arrivals = {.references = 1, .changes = 1};

static void arrived(void)
{
    event_source_has_data(&arrivals);
}

static bool is_fault(int32_t signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGTRAP;
}

/* What the union of siginfo_t holds goes by signal and code: siginfo_layout() of Linux. */
static struct record describe(const struct signal_info *info)
{
    struct record record = {.signal = (uint32_t)info->signal, .error = info->error, .code = info->code};
    uint32_t low = (uint32_t)info->first, high = (uint32_t)(info->first >> 32);
    bool from_kernel = info->code > 0 && info->code < SI_KERNEL;
    if (from_kernel && is_fault(info->signal)) {
        record.address = info->first;
    } else if (from_kernel && info->signal == SIGCHLD) {
        record.pid = low;
        record.uid = high;
        record.status = (int32_t)info->second;
    } else if (from_kernel) { /* SIGIO, and what F_SETSIG puts in its place */
        record.band = low;
        record.descriptor = (int32_t)info->second;
    } else if (info->code == SI_TIMER) {
        record.timer = low;
        record.overrun = high;
        record.pointer = info->second;
        record.number = (int32_t)info->second;
    } else {
        record.pid = low;
        record.uid = high;
        record.pointer = info->code < 0 ? info->second : 0;
        record.number = (int32_t)record.pointer;
    }
    return record;
}

static uint64_t mask_of(const struct file *file)
{
    const struct signal_file *wanted = file->state;
    return __atomic_load_n(&wanted->mask, __ATOMIC_SEQ_CST);
}

/* 0, -EAGAIN or -EINTR. */
static int64_t take(const struct file *file, bool waits, struct signal_info *info)
{
    struct task *task = current_task();
    struct waiter waiter = {.task = task};
    int64_t result = 0;
    for (;;) {
        wait_queue_add(&arrivals.queue, &waiter);
        if (signal_take(task, mask_of(file), info)) {
            result = 0;
            break;
        }
        if (!waits || result < 0) {
            result = waits ? result : -EAGAIN;
            break;
        }
        result = task_sleep(NO_TIMEOUT);
    }
    wait_queue_remove(&waiter);
    return result;
}

static int64_t signal_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    size_t done = 0;
    int64_t result = -EINVAL;
    (void)offset;
    while (length - done >= sizeof(struct record)) {
        struct signal_info info;
        result = take(file, done == 0 && (file->flags & O_NONBLOCK) == 0, &info);
        if (result < 0) {
            break;
        }
        struct record record = describe(&info);
        memcpy((uint8_t *)to + done, &record, sizeof(record));
        done += sizeof(record);
    }
    return done > 0 ? (int64_t)done : result;
}

/* What waits for the thread that asks. */
static uint32_t signal_poll(struct file *file, struct poller *poller)
{
    poller_watch(poller, &arrivals);
    poller_ask_again(poller);
    return (signals_pending(current_task()) & mask_of(file)) != 0 ? POLLIN : 0;
}

static void signal_release(struct file *file)
{
    release(file->state, sizeof(struct signal_file));
}

static void signal_file_tell(struct file *file, struct text *text)
{
    const struct signal_file *signals = file->state;
    text_add(text, "sigmask:\t%016llx\n", (unsigned long long)__atomic_load_n(&signals->mask, __ATOMIC_RELAXED));
}

static const struct file_operations operations = {
    .tell = signal_file_tell,
    .read = signal_read,
    .least_read = sizeof(struct record),
    .poll = signal_poll,
    .release = signal_release,
    .stream = true,
    .stands = true,
};

static int64_t create(uint64_t mask, uint32_t flags)
{
    struct file *file;
    struct signal_file *wanted = allocate(sizeof(struct signal_file));
    if (!wanted) {
        return -ENOMEM;
    }
    wanted->mask = mask;
    int64_t result = file_create_anonymous(
        &operations, "anon_inode:[signalfd]", 0600, O_RDWR | (flags & O_NONBLOCK), wanted, &file);
    if (result < 0) {
        release(wanted, sizeof(struct signal_file));
        return result;
    }
    signal_upcalls.arrived = arrived; /* only where somebody listens: it costs each signal something */
    return install(file, (flags & SFD_CLOEXEC) != 0);
}

static int64_t change(int descriptor, uint64_t mask)
{
    struct file *file = opened_file_of_descriptor(descriptor);
    int64_t result = !file ? -EBADF : file->operations != &operations ? -EINVAL : descriptor;
    if (result >= 0) {
        struct signal_file *wanted = file->state;
        __atomic_store_n(&wanted->mask, mask, __ATOMIC_SEQ_CST);
        arrived(); /* or has been there before, and is wanted now */
    }
    file_put(file);
    return result;
}

static int64_t signalfd(const struct arguments *arguments, uint32_t flags)
{
    uint64_t mask;
    if (arguments->at[2] != sizeof(mask)) {
        return -EINVAL;
    }
    if (copy_from_user(&mask, arguments->at[1], sizeof(mask)) < 0) {
        return -EFAULT;
    }
    if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    mask &= ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
    int32_t descriptor = (int32_t)arguments->at[0];
    return descriptor == -1 ? create(mask, flags) : change(descriptor, mask);
}

int64_t sys_signalfd(const struct arguments *arguments)
{
    return signalfd(arguments, 0);
}

int64_t sys_signalfd4(const struct arguments *arguments)
{
    return signalfd(arguments, (uint32_t)arguments->at[3]);
}
