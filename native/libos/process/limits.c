/* Resource limits: getrlimit(2). */
#include "process/process.h"

#define DESCRIPTORS_SOFT 1024U
#define SIGNALS_QUEUED 4096U
#define MESSAGES_SIZE 819200U /* bytes in POSIX message queues: MQ_BYTES_MAX of Linux */

static struct spinlock limits_lock;
static const struct limit first_limits[RLIMIT_COUNT] = {
    [RLIMIT_CPU] = {UNLIMITED, UNLIMITED},
    [RLIMIT_FSIZE] = {UNLIMITED, UNLIMITED},
    [RLIMIT_DATA] = {UNLIMITED, UNLIMITED},
    [RLIMIT_STACK] = {STACK_SIZE, STACK_SIZE},
    [RLIMIT_CORE] = {0, 0},
    [RLIMIT_RSS] = {UNLIMITED, UNLIMITED},
    [RLIMIT_NOFILE] = {DESCRIPTORS_SOFT, DESCRIPTORS_MAX},
    [RLIMIT_MEMLOCK] = {UNLIMITED, UNLIMITED},
    [RLIMIT_AS] = {UNLIMITED, UNLIMITED},
    [RLIMIT_LOCKS] = {UNLIMITED, UNLIMITED},
    [RLIMIT_SIGPENDING] = {SIGNALS_QUEUED, SIGNALS_QUEUED},
    [RLIMIT_MSGQUEUE] = {MESSAGES_SIZE, MESSAGES_SIZE},
    [RLIMIT_NICE] = {0, 0},
    [RLIMIT_RTPRIO] = {0, 0},
    [RLIMIT_RTTIME] = {UNLIMITED, UNLIMITED},
};

void limits_set_first(struct process *process)
{
    memcpy(process->limits, first_limits, sizeof first_limits);
    process->limits[RLIMIT_NPROC] = (struct limit){configuration.threads, configuration.threads};
}

void limits_start(void)
{
    limits_set_first(&first_process);
}

struct limit limit_of(enum resource resource)
{
    spin_lock(&limits_lock);
    struct limit limit = current_process()->limits[resource];
    spin_unlock(&limits_lock);
    return limit;
}

uint64_t resource_limit(enum resource resource)
{
    return __atomic_load_n(&current_process()->limits[resource].soft, __ATOMIC_RELAXED);
}

void limit_raise_soft(enum resource resource)
{
    spin_lock(&limits_lock);
    struct limit *limit = &current_process()->limits[resource];
    limit->soft += limit->soft < limit->hard;
    spin_unlock(&limits_lock);
}

/* The first stack is mapped whole: what lies beyond the limit is taken away, and given back when that is raised. Not that of
 * the parent, in whose memory a process is until it executes a program. */
static int64_t limit_stack(uint64_t before)
{
    user_address top = current_process()->stack_top;
    if (space_is_shared(current_space())) {
        return 0;
    }
    user_address old = top - PAGE_UP(before), new = top - PAGE_UP(resource_limit(RLIMIT_STACK));
    return new > old ? memory_protect(old, new - old, PROT_NONE)
                     : memory_protect(new, old - new, PROT_READ | PROT_WRITE);
}

static void limit_memory(void)
{
    memory_set_limits(&(struct memory_limits){
        .mapped = resource_limit(RLIMIT_AS) == UNLIMITED ? UINT64_MAX : resource_limit(RLIMIT_AS) / PAGE_SIZE,
        .data = resource_limit(RLIMIT_DATA) == UNLIMITED ? UINT64_MAX : resource_limit(RLIMIT_DATA) / PAGE_SIZE,
        .locked = resource_limit(RLIMIT_MEMLOCK),
        .stack = resource_limit(RLIMIT_STACK),
    });
}

int64_t limits_apply_to_program(void)
{
    limit_memory();
    return resource_limit(RLIMIT_STACK) < STACK_SIZE ? limit_stack(STACK_SIZE) : 0;
}

/* What the new limit means for those who keep to it; 0, or -EAGAIN: nobody can. */
static int64_t apply(enum resource resource, const struct limit *before)
{
    switch (resource) {
    case RLIMIT_AS:
    case RLIMIT_DATA:
    case RLIMIT_MEMLOCK:
        limit_memory();
        return 0;
    case RLIMIT_STACK:
        limit_memory();
        return limit_stack(before->soft);
    case RLIMIT_CPU:
        return process_upcalls.cpu_limit_changed();
    default:
        return 0;
    }
}

static int64_t replace(enum resource resource, const struct limit *wanted)
{
    if (wanted->soft > wanted->hard) {
        return -EINVAL;
    }
    spin_lock(&limits_lock);
    struct limit before = current_process()->limits[resource];
    bool allowed = wanted->hard <= before.hard; /* nobody has CAP_SYS_RESOURCE */
    if (allowed) {
        current_process()->limits[resource] = *wanted;
    }
    spin_unlock(&limits_lock);
    int64_t error = allowed ? apply(resource, &before) : -EPERM;
    if (allowed && error) {
        spin_lock(&limits_lock);
        current_process()->limits[resource] = before;
        spin_unlock(&limits_lock);
    }
    return error;
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
    int32_t id = (int32_t)arguments->at[0];
    if (!process_id_is_own((uint32_t)id)) {
        return id > 0 && process_of_id(id) ? -EPERM : -ESRCH; /* that of others takes CAP_SYS_RESOURCE here */
    }
    return exchange_limit((uint32_t)arguments->at[1], arguments->at[2], arguments->at[3]);
}
