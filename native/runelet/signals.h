/* What PID 1 does with signals: what `docker run --init` would do with them. */
#ifndef RUNELET_SIGNALS_H
#define RUNELET_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Those that are passed on. */
sigset_t asynchronous_signals(void);

/* Begin to receive signals, in a thread of their own. Call before any other thread exists. False after an error message. */
bool start_signal_thread(void);

/* The same for these signals alone. Without SIGCHLD, children are left to whoever made them. */
bool start_signal_thread_for(const sigset_t *signals);

/* The PAL tells signals of the container's terminal from others by this, which is added to them. */
void mark_signals_of_terminal(int mark);

/* From now on signals go to the application. Before, one that ends a program ends the runelet with 128 + its number. `pid` is the
 * application's process as the PAL calls it: a child of that number is the PAL's to wait for. */
void forward_signals(int pid);

#endif
