/* Scheduling: what a thread asks for is checked and remembered. The host schedules; it is not told. sched(7) */
#include "process/process.h"

enum { SCHED_OTHER = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_IDLE = 5, SCHED_DEADLINE = 6, SCHED_MAX = 6 };
#define RESET_ON_FORK 0x40000000U
#define NICE_MIN (-20)
#define NICE_MAX 19

int64_t sys_sched_yield(const struct arguments *arguments)
{
    (void)arguments;
    space_yield();
    if (!task_yields_to_nobody()) {
        host_yield();
    }
    return 0;
}

struct target {
    int32_t id;
    void (*visit)(struct scheduling *scheduling, void *context);
    void *context;
    bool found;
};

static bool visit_task(struct task *task, void *context)
{
    struct target *target = context;
    if (task->id == target->id) {
        target->visit(&task->scheduling, target->context);
        target->found = true;
    }
    return !target->found;
}

/* Visits the thread with this id, 0: the calling one; -ESRCH. */
static int64_t visit(int32_t id, void (*each)(struct scheduling *scheduling, void *context), void *context)
{
    struct target target = {.id = id ? id : current_task()->id, .visit = each, .context = context};
    task_each(visit_task, &target);
    return target.found ? 0 : -ESRCH;
}

struct ownership {
    int32_t id;
    bool is_given;
};

static bool look_at_owner(struct task *task, void *context)
{
    struct ownership *ownership = context;
    uint32_t user = credentials()->user.effective;
    if (task->id != ownership->id) {
        return true;
    }
    ownership->is_given = user == task->credentials.user.effective || user == task->credentials.user.real;
    return false;
}

/* check_same_owner() of Linux: others' threads want CAP_SYS_NICE. 0 or -EPERM. */
static int64_t check_owner(int32_t id)
{
    struct ownership ownership = {.id = id ? id : current_task()->id, .is_given = true};
    task_each(look_at_owner, &ownership);
    return ownership.is_given ? 0 : -EPERM;
}

/* A word of the CPU set. */
static uint64_t processors(void)
{
    return UINT64_MAX >> (64 - processor_count());
}

static uint64_t affinity_of(const struct scheduling *scheduling)
{
    return scheduling->affinity ? scheduling->affinity : processors();
}

uint64_t task_processors(const struct task *task)
{
    return affinity_of(&task->scheduling);
}

static void get_affinity(struct scheduling *scheduling, void *context)
{
    *(uint64_t *)context = affinity_of(scheduling);
}

static void set_affinity(struct scheduling *scheduling, void *context)
{
    scheduling->affinity = *(const uint64_t *)context;
}

int64_t sys_sched_getaffinity(const struct arguments *arguments)
{
    uint64_t mask, size = (uint32_t)arguments->at[1];
    if (size < sizeof mask || size % sizeof mask) {
        return -EINVAL;
    }
    int64_t error = visit((int32_t)arguments->at[0], get_affinity, &mask);
    if (error) {
        return error;
    }
    return copy_to_user(arguments->at[2], &mask, sizeof mask) ? -EFAULT : (int64_t)sizeof mask;
}

int64_t sys_sched_setaffinity(const struct arguments *arguments)
{
    uint64_t mask = 0, size = (uint32_t)arguments->at[1];
    if (copy_from_user(&mask, arguments->at[2], size < sizeof mask ? size : sizeof mask)) {
        return -EFAULT;
    }
    uint64_t before;
    int64_t error = visit((int32_t)arguments->at[0], get_affinity, &before);
    error = error ? error : check_owner((int32_t)arguments->at[0]);
    mask &= processors();
    if (error || !mask) {
        return error ? error : -EINVAL;
    }
    return visit((int32_t)arguments->at[0], set_affinity, &mask);
}

/* Threads are told different processors as far as there are some: programs keep data for each. */
uint32_t processor_of(uint64_t mask, uint64_t thread)
{
    for (uint64_t before = thread % (uint64_t)__builtin_popcountll(mask); before > 0; before--) {
        mask &= mask - 1;
    }
    return (uint32_t)__builtin_ctzll(mask);
}

int64_t sys_getcpu(const struct arguments *arguments)
{
    uint32_t processor = processor_of(task_processors(current_task()), current_thread()->index), node = 0;
    if (arguments->at[0] && copy_to_user(arguments->at[0], &processor, sizeof processor)) {
        return -EFAULT;
    }
    return arguments->at[1] ? copy_to_user(arguments->at[1], &node, sizeof node) : 0;
}

static void get_policy(struct scheduling *scheduling, void *context)
{
    *(uint32_t *)context = scheduling->policy;
}

static void set_policy(struct scheduling *scheduling, void *context)
{
    scheduling->policy = *(const uint32_t *)context;
}

int64_t sys_sched_getscheduler(const struct arguments *arguments)
{
    uint32_t policy = 0;
    int32_t id = (int32_t)arguments->at[0];
    int64_t error = id < 0 ? -EINVAL : visit(id, get_policy, &policy);
    return error ? error : policy;
}

static bool is_realtime(uint32_t policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* sched_setscheduler(2): real-time policies want CAP_SYS_NICE or RLIMIT_RTPRIO, which nobody has. */
static int64_t check_policy(uint32_t policy, int32_t priority)
{
    bool known = policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || is_realtime(policy);
    if (!known || (is_realtime(policy) ? priority < 1 || priority > 99 : priority != 0)) {
        return -EINVAL;
    }
    return is_realtime(policy) ? -EPERM : 0;
}

/* Children that get more than they may is what it prevents: CAP_SYS_NICE ends it, which nobody has. */
static int64_t check_reset(uint32_t before, uint32_t policy)
{
    return before & ~policy & RESET_ON_FORK ? -EPERM : 0;
}

int64_t sys_sched_setscheduler(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0], priority;
    uint32_t policy = (uint32_t)arguments->at[1];
    if (id < 0 || (int32_t)policy < 0 || !arguments->at[2]) {
        return -EINVAL;
    }
    if (copy_from_user(&priority, arguments->at[2], sizeof priority)) {
        return -EFAULT;
    }
    uint32_t before;
    int64_t error = visit(id, get_policy, &before);
    error = error ? error : check_policy(policy & ~RESET_ON_FORK, priority);
    error = error ? error : check_owner(id);
    error = error ? error : check_reset(before, policy);
    return error ? error : visit(id, set_policy, &policy);
}

int64_t sys_sched_setparam(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0], priority;
    if (id < 0 || !arguments->at[1]) {
        return -EINVAL;
    }
    if (copy_from_user(&priority, arguments->at[1], sizeof priority)) {
        return -EFAULT;
    }
    uint32_t policy;
    int64_t error = visit(id, get_policy, &policy);
    error = error ? error : check_policy(policy & ~RESET_ON_FORK, priority);
    return error ? error : check_owner(id);
}

int64_t sys_sched_getparam(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0], priority = 0;
    if (id < 0 || !arguments->at[1]) {
        return -EINVAL;
    }
    uint32_t policy;
    int64_t error = visit(id, get_policy, &policy);
    return error ? error : copy_to_user(arguments->at[1], &priority, sizeof priority);
}

static int64_t priority_bound(uint64_t policy, int64_t realtime)
{
    return policy > SCHED_MAX || policy == 4 ? -EINVAL : is_realtime((uint32_t)policy) ? realtime : 0;
}

int64_t sys_sched_get_priority_max(const struct arguments *arguments)
{
    return priority_bound((uint32_t)arguments->at[0], 99);
}

int64_t sys_sched_get_priority_min(const struct arguments *arguments)
{
    return priority_bound((uint32_t)arguments->at[0], 1);
}

/* sched_setattr(2): struct sched_attr, and how much of it the first version had. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t clamp_low, clamp_high;
};
#define ATTRIBUTES_FIRST_SIZE 48U
_Static_assert(sizeof(struct attributes) == 56, "SCHED_ATTR_SIZE_VER1");

#define LEAST_RUNTIME 1024U /* ns: DL_SCALE */

enum { FLAG_RESET_ON_FORK = 1, FLAG_KEEP_POLICY = 8, FLAG_KEEP_PARAMETERS = 16, FLAG_CLAMPS = 0x60, FLAGS_ALL = 0x7F };

/* 0; -EFAULT, -EINVAL; -E2BIG: the size of what is known goes to the caller. */
static int64_t import_attributes(struct attributes *to, user_address from)
{
    uint8_t image[PAGE_SIZE];
    uint32_t size, known = sizeof *to;
    if (copy_from_user(&size, from, sizeof size)) {
        return -EFAULT;
    }
    size = size ? size : ATTRIBUTES_FIRST_SIZE;
    bool fits = size >= ATTRIBUTES_FIRST_SIZE && size <= sizeof image;
    if (fits && copy_from_user(image, from, size)) {
        return -EFAULT;
    }
    for (uint32_t at = known; fits && at < size; at++) {
        fits = image[at] == 0;
    }
    if (!fits) {
        return copy_to_user(from, &known, sizeof known) ? -EFAULT : -E2BIG;
    }
    *to = (struct attributes){0};
    memcpy(to, image, size < known ? size : known);
    to->nice = to->nice < NICE_MIN ? NICE_MIN : to->nice > NICE_MAX ? NICE_MAX : to->nice;
    return (to->flags & FLAG_CLAMPS) && size < known ? -EINVAL : 0;
}

static void get_all(struct scheduling *scheduling, void *context)
{
    *(struct scheduling *)context = *scheduling;
}

static void set_all(struct scheduling *scheduling, void *context)
{
    const struct scheduling *wanted = context;
    scheduling->policy = wanted->policy;
    scheduling->nice = wanted->nice;
}

/* __checkparam_dl() of Linux; and nobody may have it. */
static int64_t check_deadline(const struct attributes *wanted)
{
    bool is_good = !wanted->priority && wanted->deadline && wanted->runtime >= LEAST_RUNTIME &&
                   wanted->runtime <= wanted->deadline && (!wanted->period || wanted->deadline <= wanted->period);
    return is_good ? -EPERM : -EINVAL;
}

int64_t sys_sched_setattr(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    struct attributes wanted;
    struct scheduling now;
    if (!arguments->at[1] || id < 0 || (uint32_t)arguments->at[2]) {
        return -EINVAL;
    }
    int64_t error = import_attributes(&wanted, arguments->at[1]);
    if (error || (int32_t)wanted.policy < 0) {
        return error ? error : -EINVAL;
    }
    error = visit(id, get_all, &now);
    if (error || (wanted.flags & ~(uint64_t)FLAGS_ALL)) {
        return error ? error : -EINVAL;
    }
    bool keeps = wanted.flags & FLAG_KEEP_PARAMETERS;
    uint32_t policy = wanted.flags & FLAG_KEEP_POLICY ? now.policy & ~RESET_ON_FORK : wanted.policy;
    uint32_t reset = wanted.flags & FLAG_KEEP_POLICY       ? now.policy & RESET_ON_FORK
                     : wanted.flags & FLAG_RESET_ON_FORK ? RESET_ON_FORK
                                                           : 0;
    error = policy == SCHED_DEADLINE ? check_deadline(&wanted) : check_policy(policy, (int32_t)wanted.priority);
    error = error ? error : check_owner(id);
    error = error ? error : check_reset(now.policy, reset);
    if (error) {
        return error;
    }
    if (!keeps && wanted.nice < now.nice) {
        return -EPERM;
    }
    now.policy = policy | reset;
    now.nice = keeps ? now.nice : (int8_t)wanted.nice;
    return visit(id, set_all, &now);
}

int64_t sys_sched_getattr(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    uint64_t size = (uint32_t)arguments->at[2];
    struct scheduling now;
    if (!arguments->at[1] || id < 0 || size < ATTRIBUTES_FIRST_SIZE || size > PAGE_SIZE ||
        (uint32_t)arguments->at[3]) {
        return -EINVAL;
    }
    int64_t error = visit(id, get_all, &now);
    if (error) {
        return error;
    }
    size = size < sizeof(struct attributes) ? size : sizeof(struct attributes);
    const struct attributes answer = {
        .size = (uint32_t)size,
        .policy = now.policy & ~RESET_ON_FORK,
        .flags = now.policy & RESET_ON_FORK ? FLAG_RESET_ON_FORK : 0,
        .nice = now.nice,
    };
    return copy_to_user(arguments->at[1], &answer, size);
}

#define SLICE_NS 4000000 /* what Linux answers for policies that are not real-time */

int64_t sys_sched_rr_get_interval(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    uint32_t policy;
    int64_t error = id < 0 ? -EINVAL : visit(id, get_policy, &policy);
    const struct timespec slice = {.nanoseconds = SLICE_NS};
    return error ? error : copy_to_user(arguments->at[1], &slice, sizeof slice);
}
