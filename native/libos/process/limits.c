/* Resource limits: getrlimit(2). */
#include "process/process.h"

#define DESCRIPTORS_SOFT 1024U
#define SIGNALS_QUEUED 4096U

static struct spinlock limits_lock;
static struct limit limits[RLIMIT_COUNT] = {
    [RLIMIT_CPU] = {UNLIMITED, UNLIMITED},
    [RLIMIT_FSIZE] = {UNLIMITED, UNLIMITED},
    [RLIMIT_DATA] = {UNLIMITED, UNLIMITED},
    [RLIMIT_STACK] = {STACK_SIZE, UNLIMITED},
    [RLIMIT_CORE] = {0, 0},
    [RLIMIT_RSS] = {UNLIMITED, UNLIMITED},
    [RLIMIT_NOFILE] = {DESCRIPTORS_SOFT, DESCRIPTORS_MAX},
    [RLIMIT_MEMLOCK] = {UNLIMITED, UNLIMITED},
    [RLIMIT_AS] = {UNLIMITED, UNLIMITED},
    [RLIMIT_LOCKS] = {UNLIMITED, UNLIMITED},
    [RLIMIT_SIGPENDING] = {SIGNALS_QUEUED, SIGNALS_QUEUED},
    [RLIMIT_MSGQUEUE] = {0, 0},
    [RLIMIT_NICE] = {0, 0},
    [RLIMIT_RTPRIO] = {0, 0},
    [RLIMIT_RTTIME] = {UNLIMITED, UNLIMITED},
};

void limits_start(void)
{
    limits[RLIMIT_NPROC] = (struct limit){configuration.threads, configuration.threads};
}

struct limit limit_of(enum resource resource)
{
    spin_lock(&limits_lock);
    struct limit limit = limits[resource];
    spin_unlock(&limits_lock);
    return limit;
}

uint64_t resource_limit(enum resource resource)
{
    return __atomic_load_n(&limits[resource].soft, __ATOMIC_RELAXED);
}

static int64_t replace(enum resource resource, const struct limit *wanted)
{
    if (wanted->soft > wanted->hard) {
        return -EINVAL;
    }
    spin_lock(&limits_lock);
    bool allowed = wanted->hard <= limits[resource].hard; /* nobody has CAP_SYS_RESOURCE */
    if (allowed) {
        limits[resource] = *wanted;
    }
    spin_unlock(&limits_lock);
    if (allowed && (resource == RLIMIT_AS || resource == RLIMIT_DATA)) {
        memory_set_limits(resource_limit(RLIMIT_AS) / PAGE_SIZE, resource_limit(RLIMIT_DATA) / PAGE_SIZE);
    }
    return allowed ? 0 : -EPERM;
}

static int64_t exchange_limit(uint64_t number, user_address new, user_address old)
{
    if (number >= RLIMIT_COUNT) {
        return -EINVAL;
    }
    enum resource resource = (enum resource)number;
    struct limit before = limit_of(resource), wanted;
    if (new) {
        if (copy_from_user(&wanted, new, sizeof wanted)) {
            return -EFAULT;
        }
        int64_t error = replace(resource, &wanted);
        if (error) {
            return error;
        }
    }
    return old ? copy_to_user(old, &before, sizeof before) : 0;
}

int64_t sys_getrlimit(const struct arguments *arguments)
{
    return exchange_limit((uint32_t)arguments->at[0], 0, arguments->at[1]);
}

int64_t sys_setrlimit(const struct arguments *arguments)
{
    return exchange_limit((uint32_t)arguments->at[0], arguments->at[1], 0);
}

int64_t sys_prlimit64(const struct arguments *arguments)
{
    if (!process_id_is_own((uint32_t)arguments->at[0])) {
        return -ESRCH;
    }
    return exchange_limit((uint32_t)arguments->at[1], arguments->at[2], arguments->at[3]);
}
