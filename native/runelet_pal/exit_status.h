/* What a PAL stores in exit_value: the API does not say, so the node's list does. */
#ifndef RUNELET_PAL_EXIT_STATUS_H
#define RUNELET_PAL_EXIT_STATUS_H

#include <limits.h>
#include <stdbool.h>

enum exit_form { EXIT_CODE, EXIT_WAIT_STATUS };

#define EXIT_UNTOLD INT_MIN /* what exit_value is before the PAL sets it */

/* The exit code as engines show it, 128 + n after signal n; -1 if the value is no end of a program in this form. */
int exit_code_of(enum exit_form form, int exit_value);

#endif
