/* Who has a signal waiting: between the files of the signal room only. */
#ifndef ENCLAVIZE_SIGNAL_PENDING_H
#define ENCLAVIZE_SIGNAL_PENDING_H

#include "signal/signal.h"

#define SI_USER 0
#define SI_TKILL (-6)
#define SI_KERNEL 0x80
#define SYNCHRONOUS                                                                                          \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |                   \
     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

/* All that wait for the task or for the process, blocked or not. */
uint64_t signals_pending(const struct task *task);
/* Takes one of the wanted signals; false: none waits. */
bool signal_take(struct task *task, uint64_t wanted, struct signal_info *info);
/* Marks it pending, whatever its action, and tells nobody. */
void signal_mark(struct task *task, const struct signal_info *info);
/* It is ignored from now on: what waits of it for the calling task and for the process goes. */
void signal_forget(int signal);

/* What waits for the thread goes; another is told of what waits for the process. */
void signal_thread_ends(struct task *task);
/* A thread that was told of a signal to the process ends or blocks it: tell another. */
void signal_pass_on(void);
/* Signals of the host (bit n - 1) have come in. */
void signal_take_from_host(uint64_t mask);

#endif
