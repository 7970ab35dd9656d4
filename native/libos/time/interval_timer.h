#ifndef ENCLAVIZE_TIME_INTERVAL_TIMER_H
#define ENCLAVIZE_TIME_INTERVAL_TIMER_H

#include "time/time.h"

/* The process ends: nothing rings any more. */
void interval_timers_end(struct process *process);

#endif
