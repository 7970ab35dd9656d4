/* The actions of signals, as sigaction(2) sets them. */
#include "signal/action.h"

#include "signal/pending.h"

/* Default actions other than the end of the process (signal(7)). */
#define IGNORED_BY_DEFAULT                                                                                   \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT))
#define STOPS_BY_DEFAULT                                                                                     \
    (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

struct signal_actions first_actions = {.references = 1};

static struct signal_action *current_actions(void)
{
    return current_process()->actions->at;
}

user_address signal_handler(int signal)
{
    return __atomic_load_n(&current_actions()[signal].handler, __ATOMIC_RELAXED);
}

bool signal_stops_process(int signal)
{
    return STOPS_BY_DEFAULT & SIGNAL_BIT(signal);
}

bool signal_ends_process(int signal)
{
    return !((IGNORED_BY_DEFAULT | STOPS_BY_DEFAULT) & SIGNAL_BIT(signal));
}

bool signal_is_ignored(const struct process *process, int signal)
{
    user_address handler = __atomic_load_n(&process->actions->at[signal].handler, __ATOMIC_RELAXED);
    /* nobody stops the first process: it would be the container */
    bool stops = process != &first_process && signal_stops_process(signal);
    return handler == SIG_IGN || (handler == SIG_DFL && !stops && !signal_ends_process(signal));
}

/* Linux tells those in a namespace of nobody outside of it: si_pid is 0. */
static bool is_of_host(const struct signal_info *info)
{
    return info->code == SI_USER && info->first == 0;
}

bool signal_is_shielded_from(const struct process *process, const struct signal_info *info)
{
    return process == &first_process && !is_of_host(info) &&
           __atomic_load_n(&process->actions->at[info->signal].handler, __ATOMIC_RELAXED) == SIG_DFL;
}

void signal_handling(const struct process *process, uint64_t *ignored, uint64_t *caught)
{
    const struct signal_actions *actions = __atomic_load_n(&process->actions, __ATOMIC_ACQUIRE); /* recycled, never given back */
    *ignored = *caught = 0;
    for (int signal = 1; actions && signal <= SIGNAL_COUNT; signal++) {
        user_address handler = __atomic_load_n(&actions->at[signal].handler, __ATOMIC_RELAXED);
        *(handler == SIG_IGN ? ignored : caught) |= handler == SIG_DFL ? 0 : SIGNAL_BIT(signal);
    }
}

struct signal_action signal_take_action(int signal)
{
    struct signal_actions *actions = current_process()->actions;
    spin_lock(&actions->lock);
    struct signal_action action = actions->at[signal];
    if (action.handler > SIG_IGN && (action.flags & SA_RESETHAND)) {
        actions->at[signal].handler = SIG_DFL;
    }
    spin_unlock(&actions->lock);
    return action;
}

int64_t sys_rt_sigaction(const struct arguments *arguments)
{
    uint64_t signal = arguments->at[0];
    struct signal_action new, old;
    if (!signal_is_valid(signal) || arguments->at[3] != sizeof new.mask) {
        return -EINVAL;
    }
    bool changes = arguments->at[1] != 0;
    if (changes &&
        ((UNBLOCKABLE & SIGNAL_BIT(signal)) || copy_from_user(&new, arguments->at[1], sizeof new))) {
        return (UNBLOCKABLE & SIGNAL_BIT(signal)) ? -EINVAL : -EFAULT;
    }
    struct signal_actions *actions = current_process()->actions;
    spin_lock(&actions->lock);
    old = actions->at[signal];
    if (changes) {
        actions->at[signal] = new;
        actions->at[signal].mask &= ~UNBLOCKABLE;
    }
    spin_unlock(&actions->lock);
    if (changes && signal_is_ignored(current_process(), (int)signal)) {
        signal_forget((int)signal);
    }
    return arguments->at[2] ? copy_to_user(arguments->at[2], &old, sizeof old) : 0;
}
