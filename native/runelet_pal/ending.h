/* How the runelet ends, when a PAL does not let it come to its own end. */
#ifndef RUNELET_PAL_ENDING_H
#define RUNELET_PAL_ENDING_H

#include <stdbool.h>

#include "exit_codes.h"

/* Say why the program does not run, or how it was lost: on standard error and, before the program runs, in the status. */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Say on standard error in which call of the PAL a fault or an exit() has come, and end with 128 + the signal, or with 125. */
bool watch_for_ends(void);

/* End the process with `code` after that time, if it is still there. */
void end_within(unsigned seconds, int code);

/* Write out what the PAL has left in buffers, and end. */
_Noreturn void end(int code);

#endif
