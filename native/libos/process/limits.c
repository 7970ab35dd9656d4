/* Resource limits. They can be read; a new one is accepted and has no effect. */
#include "process/process.h"

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
    return process_id_is_own((uint32_t)arguments->at[0])
               ? limits(arguments->at[1], arguments->at[2], arguments->at[3])
               : -ESRCH;
}
