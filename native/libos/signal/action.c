/* The actions of signals, as sigaction(2) sets them. */
#include "signal/action.h"

#include "signal/pending.h"

/* Default actions other than the end of the process (signal(7)). There is nobody to stop a process for:
 * stopping is left out. */
#define IGNORED_BY_DEFAULT                                                                                   \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT) |                 \
     SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

static struct spinlock lock;
static struct signal_action actions[SIGNAL_COUNT + 1];

user_address signal_handler(int signal)
{
    return __atomic_load_n(&actions[signal].handler, __ATOMIC_RELAXED);
}

bool signal_ends_process(int signal)
{
    return !(IGNORED_BY_DEFAULT & SIGNAL_BIT(signal));
}

bool signal_is_ignored(int signal)
{
    user_address handler = signal_handler(signal);
    return handler == SIG_IGN || (handler == SIG_DFL && (IGNORED_BY_DEFAULT & SIGNAL_BIT(signal)));
}

struct signal_action signal_take_action(int signal)
{
    spin_lock(&lock);
    struct signal_action action = actions[signal];
    if (action.handler > SIG_IGN && (action.flags & SA_RESETHAND)) {
        actions[signal].handler = SIG_DFL;
    }
    spin_unlock(&lock);
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
    spin_lock(&lock);
    old = actions[signal];
    if (changes) {
        actions[signal] = new;
        actions[signal].mask &= ~UNBLOCKABLE;
    }
    spin_unlock(&lock);
    if (changes && signal_is_ignored((int)signal)) {
        signal_forget((int)signal);
    }
    return arguments->at[2] ? copy_to_user(arguments->at[2], &old, sizeof old) : 0;
}
