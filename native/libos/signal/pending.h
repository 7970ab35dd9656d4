/* Who has a signal waiting: between the files of the signal room only. */
#ifndef ENCLAVIZE_SIGNAL_PENDING_H
#define ENCLAVIZE_SIGNAL_PENDING_H

#include "signal/signal.h"

#define SYNCHRONOUS                                                                                          \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |                   \
     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

/* Marks it pending, whatever its action, and tells nobody. */
void signal_mark(struct task *task, const struct signal_info *info);
/* It is ignored from now on: what waits of it goes. */
void signal_forget(int signal);

/* What waits for the thread goes; another is told of what waits for the process. */
void signal_thread_ends(struct task *task);
/* What waits for the process goes, and nothing comes any more. */
void signal_process_ends(struct process *process);
/* The calling thread does not take these any more: others are told of those that wait for the process. */
void signal_pass_on(uint64_t signals);
/* What the calling thread blocks from now on; what it does not take any more is passed on (__set_task_blocked() of Linux). */
void signal_set_mask(struct task *task, uint64_t mask);
/* The upcalls about processes (process_signals.c). */
void process_signals_start(void);
/* Signals that waited go: of the process, and of its threads. */
void signal_discard(struct process *process, uint64_t signals);
/* Signals of the host (bit n - 1) have come in. */
void signal_take_from_host(uint64_t mask);
/* And those for commands from outside (commands.c). */
void signal_take_for_commands(void);
/* Those that the measured configuration lets in. */
extern uint64_t signals_of_host;

#endif
