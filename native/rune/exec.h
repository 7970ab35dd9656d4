/* `exec` into a TEE container: the command becomes one for the enclave, by way of the container's runelet. */
#ifndef RUNE_EXEC_H
#define RUNE_EXEC_H

#include "command_line.h"

#define RUNELET "/.enclave/bin/runelet" /* enclavize/tee/layout.py */

/* runc's command line for the same with `runelet exec --` before the command, in `argv` or in the file that --process names. NULL with *reason set:
 * what cannot be understood, so that it is refused. Allocated, and the process ends soon. */
char **enclave_exec(const struct command_line *line, char **argv, const char **reason);

#endif
