/* Between the files of the signal room only. */
#ifndef ENCLAVIZE_SIGNAL_EXCEPTIONS_H
#define ENCLAVIZE_SIGNAL_EXCEPTIONS_H

#include "signal/signal.h"

/* cpu_upcalls.exception */
bool exception_serve(struct context *context, const struct exception_info *info);

/* A synchronous exception: ends the process when the signal is blocked or ignored, as the kernel does. */
void signal_force(struct context *context, const struct signal_info *info);

#endif
