/* What signals do: between the files of the signal room only. */
#ifndef ENCLAVIZE_SIGNAL_ACTION_H
#define ENCLAVIZE_SIGNAL_ACTION_H

#include "signal/signal.h"

#define SIG_DFL 0U
#define SIG_IGN 1U
#define UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

struct signal_action {
    user_address handler; /* SIG_DFL 0, SIG_IGN 1 */
    uint64_t flags;
    user_address restorer;
    uint64_t mask;
};

struct signal_actions {
    uint32_t references; /* atomic */
    struct spinlock lock;
    struct signal_actions *next; /* of those that are free */
    struct signal_action at[SIGNAL_COUNT + 1];
};
extern struct signal_actions first_actions;

enum signal_action_flag {
    SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2,
SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_ONSTACK = 0x08000000, SA_RESTART = 0x10000000,
    SA_NODEFER = 0x40000000,
};
#define SA_RESETHAND 0x80000000U

static inline bool signal_is_valid(uint64_t signal)
{
    return signal >= 1 && signal <= SIGNAL_COUNT;
}

/* By its action, or by default. */
bool signal_is_ignored(const struct process *process, int signal);
/*
 * As each PID namespace's first process: what is sent inside, by itself and by the kernel as well, does nothing to it by
 * default (pid_namespaces(7), SIGNAL_UNKILLABLE of Linux). Faults do, and so does what the host sends, whose word it is.
 */
bool signal_is_shielded_from(const struct process *process, const struct signal_info *info);
/* What is left to do by default. */
bool signal_ends_process(int signal);
bool signal_stops_process(int signal);

/* SIG_DFL, SIG_IGN or the handler. */
user_address signal_handler(int signal);
/* The action of a signal that is being delivered: SA_RESETHAND takes effect. */
struct signal_action signal_take_action(int signal);

#endif
