/* System calls about the process and the system. Most answers are fixed by the measured configuration. */
#include "process/process.h"

#define UTS_LENGTH 65

int64_t sys_getpid(const struct arguments *arguments)
{
    (void)arguments;
    return PROCESS_ID;
}

int64_t sys_getpgrp(const struct arguments *arguments) __attribute__((alias("sys_getpid")));

/* The process leads its group and its session from the start. */
int64_t sys_setsid(const struct arguments *arguments)
{
    (void)arguments;
    return -EPERM;
}

static int64_t zero(const struct arguments *arguments)
{
    (void)arguments;
    return 0;
}

int64_t sys_getppid(const struct arguments *arguments) __attribute__((alias("zero")));

int64_t sys_getpgid(const struct arguments *arguments)
{
    return process_id_is_own((uint32_t)arguments->at[0]) ? PROCESS_ID : -ESRCH;
}

int64_t sys_getsid(const struct arguments *arguments) __attribute__((alias("sys_getpgid")));

int64_t sys_setpgid(const struct arguments *arguments)
{
    return process_id_is_own((uint32_t)arguments->at[0]) && process_id_is_own((uint32_t)arguments->at[1]) ? 0 : -EPERM;
}

int64_t sys_uname(const struct arguments *arguments)
{
    char fields[6][UTS_LENGTH] = {"Linux", "localhost", KERNEL_RELEASE, KERNEL_VERSION, "x86_64", "(none)"};
    if (configuration.hostname.size) {
        format_text(fields[1], UTS_LENGTH, "%.*s", (int)configuration.hostname.size,
                    configuration.hostname.start);
    }
    return copy_to_user(arguments->at[0], fields, sizeof fields);
}

int64_t sys_sethostname(const struct arguments *arguments)
{
    (void)arguments;
    return -EPERM;
}

int64_t sys_sysinfo(const struct arguments *arguments)
{
    struct {
        int64_t uptime;
        uint64_t loads[3], total, free, shared, buffers, swap_total, swap_free;
        uint16_t processes, padding;
        uint32_t padding2;
        uint64_t high_total, high_free;
        uint32_t unit;
        uint32_t padding3;
    } info = {.processes = (uint16_t)task_count(), .unit = 1};
    _Static_assert(sizeof info == 112, "struct sysinfo");
    struct memory_counts counts;
    memory_count(current_space(), &counts);
    info.uptime = (int64_t)(clock_now_ns(CLOCK_BOOTTIME) / NS_PER_SECOND);
    info.total = counts.limit * PAGE_SIZE;
    info.free = (counts.limit - counts.committed) * PAGE_SIZE;
    return copy_to_user(arguments->at[0], &info, sizeof info);
}

int64_t sys_personality(const struct arguments *arguments) __attribute__((alias("zero")));

enum {
    PR_SET_PDEATHSIG = 1, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_SET_NAME = 15, PR_GET_NAME = 16,
    PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39,
};

#define TIMER_SLACK_DEFAULT 50000 /* ns */

int64_t sys_prctl(const struct arguments *arguments)
{
    struct task *task = current_task();
    int64_t result = credentials_prctl(arguments->at);
    if (result != -ENOSYS) {
        return result;
    }
    switch (arguments->at[0]) {
    case PR_SET_NAME: {
        char name[sizeof task->name];
        int64_t length = strncpy_from_user(name, arguments->at[1], sizeof name);
        if (length == -EFAULT) {
            return length;
        }
        name[sizeof name - 1] = 0;
        memcpy(task->name, name, sizeof name);
        if (task->id == PROCESS_ID) {
            memcpy(current_process()->name, name, sizeof name); /* what /proc/self calls it */
        }
        return 0;
    }
    case PR_GET_NAME:
        return copy_to_user(arguments->at[1], task->name, sizeof task->name);
    case PR_SET_TIMERSLACK:
        task->scheduling.timer_slack = arguments->at[1];
        return 0;
    case PR_GET_TIMERSLACK:
        return task->scheduling.timer_slack ? (int64_t)task->scheduling.timer_slack : TIMER_SLACK_DEFAULT;
    case PR_GET_NO_NEW_PRIVS:
        return 1;
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_PDEATHSIG:
    case PR_SET_DUMPABLE:
    case PR_GET_DUMPABLE:
        return 0;
    default:
        return -EINVAL;
    }
}

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };

int64_t sys_getrandom(const struct arguments *arguments)
{
    uint64_t length = arguments->at[1];
    if (arguments->at[2] & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) {
        return -EINVAL;
    }
    uint8_t piece[256];
    uint64_t done = 0;
    while (done < length) {
        uint64_t size = length - done < sizeof piece ? length - done : sizeof piece;
        random_bytes(piece, size);
        if (copy_to_user(arguments->at[0] + done, piece, size)) {
            return -EFAULT;
        }
        done += size;
    }
    return (int64_t)done;
}

/* x86 keeps stores in order and every system call of another thread enters and leaves the LibOS by locked
 * operations; but a thread that runs on without any is not forced to see: so only the query is served. */
int64_t sys_membarrier(const struct arguments *arguments)
{
    return arguments->at[0] == 0 ? 0 : -EINVAL;
}

/* There are no children. */
int64_t sys_wait4(const struct arguments *arguments)
{
    (void)arguments;
    return -ECHILD;
}

int64_t sys_waitid(const struct arguments *arguments) __attribute__((alias("sys_wait4")));
