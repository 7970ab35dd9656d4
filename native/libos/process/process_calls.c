/* System calls about the process and the system: identity, limits, scheduling. Most answers are fixed by the
 * measured configuration. */
#include "process/process.h"

#define UTS_LENGTH 65

int64_t sys_getpid(const struct arguments *arguments)
{
    (void)arguments;
    return PROCESS_ID;
}

int64_t sys_getpgrp(const struct arguments *arguments) __attribute__((alias("sys_getpid")));
int64_t sys_setsid(const struct arguments *arguments) __attribute__((alias("sys_getpid")));

static int64_t zero(const struct arguments *arguments)
{
    (void)arguments;
    return 0;
}

int64_t sys_getppid(const struct arguments *arguments) __attribute__((alias("zero")));
int64_t sys_sched_yield(const struct arguments *arguments)
{
    (void)arguments;
    host_yield();
    return 0;
}

static bool is_own_id(uint64_t id)
{
    return id == 0 || id == PROCESS_ID;
}

int64_t sys_getpgid(const struct arguments *arguments)
{
    return is_own_id((uint32_t)arguments->at[0]) ? PROCESS_ID : -ESRCH;
}

int64_t sys_getsid(const struct arguments *arguments) __attribute__((alias("sys_getpgid")));

int64_t sys_setpgid(const struct arguments *arguments)
{
    return is_own_id((uint32_t)arguments->at[0]) && is_own_id((uint32_t)arguments->at[1]) ? 0 : -EPERM;
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
    memory_count(&counts);
    info.uptime = (int64_t)(clock_now_ns(CLOCK_BOOTTIME) / NS_PER_SECOND);
    info.total = counts.limit * PAGE_SIZE;
    info.free = (counts.limit - counts.committed) * PAGE_SIZE;
    return copy_to_user(arguments->at[0], &info, sizeof info);
}

enum resource { RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_COUNT = 16 };
#define UNLIMITED UINT64_MAX
#define DESCRIPTORS_SOFT 1024U
#define DESCRIPTORS_HARD 4096U

struct limit {
    uint64_t soft, hard;
};

static struct limit limit_of(uint64_t resource)
{
    switch (resource) {
    case RLIMIT_STACK:
        return (struct limit){STACK_SIZE, UNLIMITED};
    case RLIMIT_CORE:
        return (struct limit){0, 0};
    case RLIMIT_NPROC:
        return (struct limit){configuration.threads, configuration.threads};
    case RLIMIT_NOFILE:
        return (struct limit){DESCRIPTORS_SOFT, DESCRIPTORS_HARD};
    default:
        return (struct limit){UNLIMITED, UNLIMITED};
    }
}

/* Limits can be read; a new one is accepted and has no effect. */
static int64_t limits(uint64_t resource, user_address new, user_address old)
{
    if (resource >= RLIMIT_COUNT) {
        return -EINVAL;
    }
    struct limit limit = limit_of(resource), wanted;
    if (new && copy_from_user(&wanted, new, sizeof wanted)) {
        return -EFAULT;
    }
    if (new && wanted.soft > wanted.hard) {
        return -EINVAL;
    }
    if (new && wanted.hard > limit.hard) {
        return -EPERM;
    }
    return old ? copy_to_user(old, &limit, sizeof limit) : 0;
}

int64_t sys_getrlimit(const struct arguments *arguments)
{
    return limits(arguments->at[0], 0, arguments->at[1]);
}

int64_t sys_setrlimit(const struct arguments *arguments)
{
    return limits(arguments->at[0], arguments->at[1], 0);
}

int64_t sys_prlimit64(const struct arguments *arguments)
{
    return is_own_id((uint32_t)arguments->at[0])
               ? limits(arguments->at[1], arguments->at[2], arguments->at[3])
               : -ESRCH;
}

/* A word of the CPU set of sched_getaffinity(2). */
static uint64_t processors(void)
{
    return (1ULL << processor_count()) - 1;
}

int64_t sys_sched_getaffinity(const struct arguments *arguments)
{
    uint64_t mask = processors();
    if (arguments->at[1] < sizeof mask || arguments->at[1] % sizeof mask) {
        return -EINVAL;
    }
    return copy_to_user(arguments->at[2], &mask, sizeof mask) ? -EFAULT : (int64_t)sizeof mask;
}

int64_t sys_sched_setaffinity(const struct arguments *arguments) __attribute__((alias("zero")));
/* SCHED_OTHER */
int64_t sys_sched_getscheduler(const struct arguments *arguments) __attribute__((alias("zero")));
int64_t sys_getpriority(const struct arguments *arguments)
{
    (void)arguments;
    return 20; /* nice 0, as the raw call encodes it */
}
int64_t sys_setpriority(const struct arguments *arguments) __attribute__((alias("zero")));
int64_t sys_sched_setparam(const struct arguments *arguments) __attribute__((alias("zero")));

int64_t sys_sched_setscheduler(const struct arguments *arguments)
{
    return arguments->at[1] ? -EPERM : 0;
}

int64_t sys_sched_getparam(const struct arguments *arguments)
{
    int32_t priority = 0;
    return copy_to_user(arguments->at[1], &priority, sizeof priority);
}

enum { SCHED_FIFO = 1, SCHED_RR = 2, SCHED_MAX = 6 };

static int64_t priority_bound(uint64_t policy, int64_t realtime)
{
    return policy > SCHED_MAX ? -EINVAL : policy == SCHED_FIFO || policy == SCHED_RR ? realtime : 0;
}

int64_t sys_sched_get_priority_max(const struct arguments *arguments)
{
    return priority_bound(arguments->at[0], 99);
}

int64_t sys_sched_get_priority_min(const struct arguments *arguments)
{
    return priority_bound(arguments->at[0], 1);
}

int64_t sys_getcpu(const struct arguments *arguments)
{
    uint32_t none = 0;
    if (arguments->at[0] && copy_to_user(arguments->at[0], &none, sizeof none)) {
        return -EFAULT;
    }
    return arguments->at[1] ? copy_to_user(arguments->at[1], &none, sizeof none) : 0;
}

int64_t sys_personality(const struct arguments *arguments) __attribute__((alias("zero")));

enum {
    PR_SET_PDEATHSIG = 1, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_SET_NAME = 15, PR_GET_NAME = 16,
    PR_SET_TIMERSLACK = 29, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39,
};

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
        return 0;
    }
    case PR_GET_NAME:
        return copy_to_user(arguments->at[1], task->name, sizeof task->name);
    case PR_GET_NO_NEW_PRIVS:
        return 1;
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_PDEATHSIG:
    case PR_SET_DUMPABLE:
    case PR_GET_DUMPABLE:
    case PR_SET_TIMERSLACK:
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
