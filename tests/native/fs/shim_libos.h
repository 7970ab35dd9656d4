/* What the stand-ins know of each other. */
#ifndef SHIM_LIBOS_H
#define SHIM_LIBOS_H

#include "process/process.h"
#include "shim.h"
#include "signal/signal.h"

extern struct process first_process;

#endif
