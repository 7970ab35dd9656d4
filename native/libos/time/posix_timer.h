/* Between the files of the time room only. */
#ifndef ENCLAVIZE_TIME_POSIX_TIMER_H
#define ENCLAVIZE_TIME_POSIX_TIMER_H

#include "process/process.h"

void posix_timers_start(void);
/* The process ends, or executes another program: all its timers go. */
void posix_timers_end(const struct process *process);

#endif
