/* Priorities of threads, of processes' groups and of users: getpriority(2), ioprio_get(2). They are remembered: the host schedules. */
#include "process/process.h"

#define NICE_MIN (-20)
#define NICE_MAX 19
#define NICE_ZERO 20 /* the raw call's answer: 20 - nice */

enum { PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2 };

struct target {
    uint32_t kind; /* PRIO_* */
    uint32_t id;
    void (*visit)(struct scheduling *scheduling, void *context);
    void *context;
    bool found;
};

static bool is_meant(const struct target *target, const struct task *task)
{
    switch (target->kind) {
    case PRIO_PGRP:
        return (uint32_t)task->process->group == target->id;
    case PRIO_USER:
        return task->credentials.user.real == target->id;
    default:
        return (uint32_t)task->id == target->id;
    }
}

static bool visit_task(struct task *task, void *context)
{
    struct target *target = context;
    if (is_meant(target, task)) {
        target->visit(&task->scheduling, target->context);
        target->found = true;
    }
    return target->kind != PRIO_PROCESS || !target->found;
}

struct niceness {
    int32_t lowest;
};

static void get_nice(struct scheduling *scheduling, void *context)
{
    struct niceness *nice = context;
    nice->lowest = scheduling->nice < nice->lowest ? scheduling->nice : nice->lowest;
}

/* Whom getpriority(2) and setpriority(2) mean. */
static int64_t name_target(const struct arguments *arguments, struct target *target)
{
    *target = (struct target){.kind = (uint32_t)arguments->at[0], .id = (uint32_t)arguments->at[1]};
    switch (target->kind) {
    case PRIO_PROCESS:
        target->id = target->id ? target->id : (uint32_t)current_task()->id;
        return 0;
    case PRIO_PGRP:
        target->id = target->id ? target->id : (uint32_t)current_process()->group;
        return 0;
    case PRIO_USER:
        target->id = target->id ? target->id : credentials()->user.real;
        return 0;
    default:
        return -EINVAL;
    }
}

static int64_t visit_named(const struct arguments *arguments,
                           void (*each)(struct scheduling *scheduling, void *context), void *context)
{
    struct target target;
    int64_t error = name_target(arguments, &target);
    target.visit = each;
    target.context = context;
    if (!error) {
        task_each(visit_task, &target);
    }
    return error ? error : target.found ? 0 : -ESRCH;
}

int64_t sys_getpriority(const struct arguments *arguments)
{
    struct niceness nice = {.lowest = NICE_MAX};
    int64_t error = visit_named(arguments, get_nice, &nice);
    return error ? error : NICE_ZERO - nice.lowest;
}

struct nice_change {
    struct target target;
    int8_t wanted;
    uint32_t user;
    int64_t result;
};

/* set_one_prio() of Linux: the last refusal is the answer; lower values want CAP_SYS_NICE or RLIMIT_NICE. */
static bool set_nice(struct task *task, void *context)
{
    struct nice_change *change = context;
    const struct ids *owner = &task->credentials.user;
    if (!is_meant(&change->target, task)) {
        return true;
    }
    if (change->user != owner->real && change->user != owner->effective) {
        change->result = -EPERM;
    } else if (change->wanted < task->scheduling.nice) {
        change->result = -EACCES;
    } else {
        change->result = change->result == -ESRCH ? 0 : change->result;
        task->scheduling.nice = change->wanted;
    }
    return true;
}

int64_t sys_setpriority(const struct arguments *arguments)
{
    int32_t wanted = (int32_t)arguments->at[2];
    struct nice_change change = {.user = credentials()->user.effective, .result = -ESRCH};
    int64_t error = name_target(arguments, &change.target);
    if (error) {
        return error;
    }
    change.wanted = (int8_t)(wanted < NICE_MIN ? NICE_MIN : wanted > NICE_MAX ? NICE_MAX : wanted);
    task_each(set_nice, &change);
    return change.result;
}

enum { IOPRIO_CLASS_NONE = 0, IOPRIO_CLASS_REALTIME = 1, IOPRIO_CLASS_BEST_EFFORT = 2, IOPRIO_CLASS_IDLE = 3 };
#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_LEVEL_MASK 7U
#define IOPRIO_WHO_PROCESS 1 /* then as for getpriority(2): group, user */

static int64_t check_io_priority(uint32_t priority)
{
    switch (priority >> IOPRIO_CLASS_SHIFT & 7) {
    case IOPRIO_CLASS_NONE:
        return priority & IOPRIO_LEVEL_MASK ? -EINVAL : 0;
    case IOPRIO_CLASS_REALTIME:
        return -EPERM;
    case IOPRIO_CLASS_BEST_EFFORT:
    case IOPRIO_CLASS_IDLE:
        return 0;
    default:
        return -EINVAL;
    }
}

static void set_io_priority(struct scheduling *scheduling, void *context)
{
    scheduling->io_priority = *(const uint16_t *)context;
}

static void get_io_priority(struct scheduling *scheduling, void *context)
{
    *(uint16_t *)context = scheduling->io_priority;
}

/* Of several, the one that comes first. */
static void get_best_io_priority(struct scheduling *scheduling, void *context)
{
    uint16_t *best = context, own = scheduling->io_priority;
    if (own >> IOPRIO_CLASS_SHIFT == IOPRIO_CLASS_NONE) {
        own = (uint16_t)(IOPRIO_CLASS_BEST_EFFORT << IOPRIO_CLASS_SHIFT | (scheduling->nice + NICE_ZERO) / 5);
    }
    *best = own < *best ? own : *best;
}

static struct arguments as_for_priority(const struct arguments *arguments)
{
    return (struct arguments){{(uint32_t)arguments->at[0] - IOPRIO_WHO_PROCESS, arguments->at[1]}};
}

int64_t sys_ioprio_set(const struct arguments *arguments)
{
    uint16_t priority = (uint16_t)arguments->at[2];
    const struct arguments named = as_for_priority(arguments);
    int64_t error = check_io_priority(priority);
    return error ? error : visit_named(&named, set_io_priority, &priority);
}

int64_t sys_ioprio_get(const struct arguments *arguments)
{
    bool is_one = (uint32_t)arguments->at[0] == IOPRIO_WHO_PROCESS;
    uint16_t priority = UINT16_MAX;
    const struct arguments named = as_for_priority(arguments);
    int64_t error = visit_named(&named, is_one ? get_io_priority : get_best_io_priority, &priority);
    return error ? error : priority;
}
