/* prctl(2): what a thread or the process says of itself. What nobody here can act on is remembered and told. */
#include "process/process.h"

enum {
    PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_GET_TIMING = 13,
    PR_SET_TIMING = 14, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21, PR_GET_TSC = 25, PR_SET_TSC = 26,
    PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_TASK_PERF_EVENTS_DISABLE = 31,
    PR_TASK_PERF_EVENTS_ENABLE = 32, PR_MCE_KILL = 33, PR_MCE_KILL_GET = 34, PR_SET_MM = 35, PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37,
    PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42, PR_SET_IO_FLUSHER = 57,
    PR_GET_IO_FLUSHER = 58,
};
enum { PR_TSC_ENABLE = 1 };

#define TIMER_SLACK_DEFAULT 50000 /* ns */

static int64_t put(user_address to, int32_t value)
{
    return copy_to_user(to, &value, sizeof value);
}

static int64_t set_name(struct task *task, user_address from)
{
    char name[sizeof task->name];
    int64_t length = strncpy_from_user(name, from, sizeof name);
    if (length == -EFAULT) {
        return length;
    }
    name[sizeof name - 1] = 0;
    memcpy(task->name, name, sizeof name);
    if (task->id == task->process->id) {
        memcpy(current_process()->name, name, sizeof name); /* what /proc/self calls it */
    }
    return 0;
}

uint64_t timer_slack(const struct task *task)
{
    const struct scheduling *scheduling = &task->scheduling;
    uint64_t usual = scheduling->default_timer_slack ? scheduling->default_timer_slack : TIMER_SLACK_DEFAULT;
    return scheduling->timer_slack ? scheduling->timer_slack : usual;
}

enum { PR_MCE_KILL_CLEAR = 0, PR_MCE_KILL_SET = 1 };
enum { PR_MCE_KILL_LATE = 0, PR_MCE_KILL_EARLY = 1, PR_MCE_KILL_DEFAULT = 2 };

/* When pages with broken memory are told of. */
static int64_t set_broken_memory(struct process_attributes *attributes, const uint64_t at[5])
{
    bool sets = at[1] == PR_MCE_KILL_SET;
    if (at[1] > PR_MCE_KILL_SET || at[3] || at[4] || (sets ? at[2] > PR_MCE_KILL_DEFAULT : at[2] != 0)) {
        return -EINVAL;
    }
    attributes->broken_memory = sets ? (uint8_t)(at[2] + 1) : 0;
    return 0;
}

int64_t sys_prctl(const struct arguments *arguments)
{
    struct task *task = current_task();
    struct process_attributes *attributes = &current_process()->attributes;
    int64_t result = credentials_prctl(arguments->at);
    if (result != -ENOSYS) {
        return result;
    }
    const uint64_t *at = arguments->at;
    bool has_rest = at[2] || at[3] || at[4];
    switch (at[0]) {
    case PR_SET_PDEATHSIG:
        if (at[1] > SIGNAL_COUNT) {
            return -EINVAL;
        }
        task->parent_death_signal = (uint8_t)at[1];
        return 0;
    case PR_GET_PDEATHSIG:
        return put(at[1], task->parent_death_signal);
    case PR_GET_DUMPABLE:
        return !attributes->is_not_dumpable;
    case PR_SET_DUMPABLE:
        if (at[1] > 1) {
            return -EINVAL;
        }
        attributes->is_not_dumpable = at[1] == 0;
        return 0;
    case PR_GET_TIMING: /* statistical, the only kind there is */
        return 0;
    case PR_SET_TIMING:
        return at[1] ? -EINVAL : 0;
    case PR_SET_NAME:
        return set_name(task, at[1]);
    case PR_GET_NAME:
        return copy_to_user(at[1], task->name, sizeof task->name);
    case PR_GET_SECCOMP:
        return 0;
    case PR_GET_TSC:
        return put(at[1], PR_TSC_ENABLE);
    case PR_SET_TSC:
        return at[1] == PR_TSC_ENABLE ? 0 : -EINVAL;
    case PR_SET_TIMERSLACK:
        task->scheduling.timer_slack = at[1];
        return 0;
    case PR_GET_TIMERSLACK:
        return (int64_t)timer_slack(task);
    case PR_TASK_PERF_EVENTS_DISABLE: /* there are none */
    case PR_TASK_PERF_EVENTS_ENABLE:
        return 0;
    case PR_MCE_KILL:
        return set_broken_memory(attributes, at);
    case PR_MCE_KILL_GET:
        return at[1] || has_rest ? -EINVAL : attributes->broken_memory ? attributes->broken_memory - 1 : PR_MCE_KILL_DEFAULT;
    case PR_SET_MM: /* these want CAP_SYS_RESOURCE, which nobody has */
    case PR_SET_IO_FLUSHER:
    case PR_GET_IO_FLUSHER:
        return -EPERM;
    case PR_SET_CHILD_SUBREAPER:
        attributes->reaps_orphans = at[1] != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put(at[1], attributes->reaps_orphans);
    case PR_GET_TID_ADDRESS:
        return copy_to_user(at[1], &task->clear_child_tid, sizeof task->clear_child_tid);
    case PR_SET_THP_DISABLE:
        if (has_rest) {
            return -EINVAL;
        }
        attributes->has_no_huge_pages = at[1] != 0;
        return 0;
    case PR_GET_THP_DISABLE:
        return at[1] || has_rest ? -EINVAL : attributes->has_no_huge_pages;
    default:
        return -EINVAL;
    }
}
