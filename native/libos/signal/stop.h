/* Between the files of the signal room only. */
#ifndef ENCLAVIZE_SIGNAL_STOP_H
#define ENCLAVIZE_SIGNAL_STOP_H

#include "signal/signal.h"

/* The calling process stops by default action of the signal; each of its threads does so on its way back. */
void process_stop(int signal);
/* After SIGCONT is pending: whoever goes on finds it beside what came before it. */
void process_continue(struct process *process);
/* Before a signal is sent, whoever takes it: SIGCONT and stops cancel each other (signal(7)). */
void signal_cancel_opposite(struct process *process, int signal);
/* To the process, or to one of its threads; with what SIGCONT does at once. */
int64_t signal_send_to(struct process *process, struct task *task, const struct signal_info *info);
/* Sleeps while the calling process is stopped. True: it was. */
bool wait_while_stopped(void);

#endif
