/*
 * Commands: further processes in the enclave, which pal_create_process() makes while the first one is there. Each runs on the thread that calls
 * pal_exec() for it, and on others that it makes. What may run is for the enclave to say.
 */
#ifndef ENCLAVIZE_PAL_COMMAND_H
#define ENCLAVIZE_PAL_COMMAND_H

#include <stdbool.h>

#include "pal.h"

/* Its number, or a negative errno told to fail(). Everything is copied but the descriptors. */
int command_create(char **arguments, char **environment, const struct pal_stdio_fds *stdio);

/* Runs it to its end. 0, -ESRCH, -EAGAIN: no TCS is free, -EMFILE, ... */
int command_run(int number, int *exit_value);

/* -ESRCH. */
int command_signal(int number, int signal, bool is_from_terminal);

/* From the terminal of the first process, for the group in its foreground. */
void command_signal_of_terminal(int signal);

/* The enclave has ended, and all commands with it. */
void commands_end(void);
/* Forgets those that never ran. */
void commands_release(void);

#endif
