/* Gramine's loader as a child: made by loader_create(), let go by loader_run(). */
#ifndef ENCLAVIZE_PAL_GRAMINE_LOADER_H
#define ENCLAVIZE_PAL_GRAMINE_LOADER_H

#include "pal.h"
#include "words.h"

/* Makes the child, which waits. Its number, or a negative errno told to fail(). */
int loader_create(const struct words *words, const struct pal_stdio_fds *stdio);

/* Lets the child start the loader, and waits for its end. 0, or a negative errno told to fail(). */
int loader_run(int *exit_value);

/* Passes a signal on as far as Gramine takes it. */
void loader_signal(int number);

/* Ends the child if it is still there. */
void loader_destroy(void);

#endif
