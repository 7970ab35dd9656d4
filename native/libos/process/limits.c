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
    [RLIMIT_CORE] = {0, UNLIMITED}, /* remembered: memory of an enclave is never dumped */
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
    /* Servers raise it as under an engine; clone() goes by the threads there are, too. */
    process->limits[RLIMIT_NPROC] = (struct limit){configuration.threads, UNLIMITED};
}

void limits_start(void)
{
    limits_set_first(&first_process);
}

struct limit limit_of_process(const struct process *process, enum resource resource)
{
    spin_lock(&limits_lock);
    struct limit limit = process->limits[resource];
    spin_unlock(&limits_lock);
    return limit;
}

struct limit limit_of(enum resource resource)
{
    return limit_of_process(current_process(), resource);
}

static uint64_t soft_limit(const struct process *process, enum resource resource)
{
    return __atomic_load_n(&process->limits[resource].soft, __ATOMIC_RELAXED);
}

uint64_t resource_limit(enum resource resource)
{
    return soft_limit(current_process(), resource);
}

void limit_raise_soft(struct process *process, enum resource resource)
{
    spin_lock(&limits_lock);
    struct limit *limit = &process->limits[resource];
    limit->soft += limit->soft < limit->hard;
    spin_unlock(&limits_lock);
}

/* The first stack is mapped whole: what lies beyond the limit is taken away, and given back when that is raised. Not that of
 * the parent, in whose memory a process is until it executes a program. The calling thread is in the process's space. */
static int64_t limit_stack(const struct process *process, uint64_t before)
{
    user_address top = process->stack_top;
    if (space_is_shared(current_space())) {
        return 0;
    }
    user_address old = top - PAGE_UP(before), new = top - PAGE_UP(soft_limit(process, RLIMIT_STACK));
    return new > old ? memory_protect(old, new - old, PROT_NONE)
                     : memory_protect(new, old - new, PROT_READ | PROT_WRITE);
}

static uint64_t in_pages(uint64_t limit)
{
    return limit == UNLIMITED ? UINT64_MAX : limit / PAGE_SIZE;
}

/* The same. */
static void limit_memory(const struct process *process)
{
    memory_set_limits(&(struct memory_limits){
        .mapped = in_pages(soft_limit(process, RLIMIT_AS)),
        .data = in_pages(soft_limit(process, RLIMIT_DATA)),
        .locked = soft_limit(process, RLIMIT_MEMLOCK),
        .stack = soft_limit(process, RLIMIT_STACK),
    });
}

int64_t limits_apply_to_program(void)
{
    const struct process *process = current_process();
    limit_memory(process);
    return soft_limit(process, RLIMIT_STACK) < STACK_SIZE ? limit_stack(process, STACK_SIZE) : 0;
}

/* What the new limit means for those who keep to it; 0, or -EAGAIN: nobody can. */
static int64_t apply_here(struct process *process, enum resource resource, const struct limit *before)
{
    switch (resource) {
    case RLIMIT_AS:
    case RLIMIT_DATA:
    case RLIMIT_MEMLOCK:
        limit_memory(process);
        return 0;
    case RLIMIT_STACK:
        limit_memory(process);
        return limit_stack(process, before->soft);
    case RLIMIT_CPU:
        return process_upcalls.cpu_limit_changed(process);
    default:
        return 0;
    }
}

static int64_t apply(const struct subject *subject, enum resource resource, const struct limit *before)
{
    struct space *own = current_space();
    bool is_of_memory = resource == RLIMIT_AS || resource == RLIMIT_DATA || resource == RLIMIT_MEMLOCK || resource == RLIMIT_STACK;
    if (!is_of_memory || subject->process == current_process()) {
        return apply_here(subject->process, resource, before);
    }
    struct subject_facts facts;
    if (subject_visit(subject, &facts)) {
        return 0; /* it has no memory any more */
    }
    int64_t error = apply_here(subject->process, resource, before);
    space_end_visit(own);
    return error;
}

struct limit_exchange {
    enum resource resource;
    const struct limit *wanted; /* NULL: it is only asked for */
    struct limit before;
    int64_t error;
};

static void exchange_listed(struct process *process, struct task *task, void *context)
{
    (void)task;
    struct limit_exchange *exchange = context;
    struct limit *limit = &process->limits[exchange->resource];
    const struct limit *wanted = exchange->wanted;
    spin_lock(&limits_lock);
    exchange->before = *limit;
    if (wanted) {
        exchange->error = wanted->soft > wanted->hard ? -EINVAL : wanted->hard > limit->hard ? -EPERM : 0; /* nobody has CAP_SYS_RESOURCE */
        *limit = exchange->error ? *limit : *wanted;
    }
    spin_unlock(&limits_lock);
}

/* do_prlimit() of Linux. */
static int64_t exchange_limit(const struct subject *subject, uint64_t number, const struct limit *wanted, struct limit *before)
{
    struct limit_exchange exchange = {.resource = (enum resource)number, .wanted = wanted};
    if (number >= RLIMIT_COUNT) {
        return -EINVAL;
    }
    int64_t error = subject_with(subject, exchange_listed, &exchange);
    error = error ? error : exchange.error;
    *before = exchange.before;
    if (error || !wanted) {
        return error;
    }
    error = apply(subject, exchange.resource, before);
    if (error) {
        struct limit_exchange back = {.resource = exchange.resource, .wanted = before};
        (void)subject_with(subject, exchange_listed, &back);
    }
    return error;
}

int64_t sys_getrlimit(const struct arguments *arguments)
{
    const struct subject self = subject_self();
    struct limit limit;
    int64_t error = exchange_limit(&self, (uint32_t)arguments->at[0], NULL, &limit);
    return error ? error : copy_to_user(arguments->at[1], &limit, sizeof limit);
}

int64_t sys_setrlimit(const struct arguments *arguments)
{
    const struct subject self = subject_self();
    struct limit wanted, before;
    return copy_from_user(&wanted, arguments->at[1], sizeof wanted) ? -EFAULT
                                                                    : exchange_limit(&self, (uint32_t)arguments->at[0], &wanted, &before);
}

/* check_prlimit_permission() of Linux, without CAP_SYS_RESOURCE. */
static int64_t check_permission(const struct subject_facts *facts)
{
    const struct credentials *own = credentials(), *other = &facts->credentials;
    bool is_same = credentials_are_all(&other->user, own->user.real) && credentials_are_all(&other->group, own->group.real);
    return facts->is_own || is_same ? 0 : -EPERM;
}

int64_t sys_prlimit64(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    struct subject subject = subject_self();
    struct subject_facts facts;
    struct limit wanted, before;
    if (arguments->at[2] && copy_from_user(&wanted, arguments->at[2], sizeof wanted)) {
        return -EFAULT;
    }
    int64_t error = id ? subject_of_id(id, &subject) : 0;
    error = error ? error : subject_look(&subject, &facts);
    error = error ? error : check_permission(&facts);
    subject.thread_serial = 0; /* limits are the process's */
    error = error ? error : exchange_limit(&subject, (uint32_t)arguments->at[1], arguments->at[2] ? &wanted : NULL, &before);
    return !error && arguments->at[3] ? copy_to_user(arguments->at[3], &before, sizeof before) : error;
}
