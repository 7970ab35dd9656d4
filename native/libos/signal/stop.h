/* Between the files of the signal room only. */
#ifndef ENCLAVIZE_SIGNAL_STOP_H
#define ENCLAVIZE_SIGNAL_STOP_H

#include "signal/signal.h"

/* The calling process stops by default action of the signal; each of its threads does so on its way back. */
void process_stop(int signal);
void process_continue(struct process *process);
/* What the sending of a signal does at once, whoever takes it: SIGCONT and stops cancel each other (signal(7)). */
void signal_sent(struct process *process, int signal);
/* Sleeps while the calling process is stopped. True: it was. */
bool wait_while_stopped(void);

#endif
