/* Scheduling: one policy, one priority, the processors of the enclave. */
#include "process/process.h"

/* What is accepted and changes nothing. */
static int64_t accept(const struct arguments *arguments)
{
    (void)arguments;
    return 0;
}

int64_t sys_sched_yield(const struct arguments *arguments)
{
    (void)arguments;
    host_yield();
    return 0;
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

int64_t sys_sched_setaffinity(const struct arguments *arguments) __attribute__((alias("accept")));
/* SCHED_OTHER */
int64_t sys_sched_getscheduler(const struct arguments *arguments) __attribute__((alias("accept")));
int64_t sys_getpriority(const struct arguments *arguments)
{
    (void)arguments;
    return 20; /* nice 0, as the raw call encodes it */
}
int64_t sys_setpriority(const struct arguments *arguments) __attribute__((alias("accept")));
int64_t sys_sched_setparam(const struct arguments *arguments) __attribute__((alias("accept")));

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
