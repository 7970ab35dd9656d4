/* Between the files of the time room only. */
#ifndef ENCLAVIZE_TIME_CPU_LIMIT_H
#define ENCLAVIZE_TIME_CPU_LIMIT_H

#include "time/time.h"

void cpu_limit_start(void);
void cpu_limit_end(struct process *process);

#endif
