/* The first task: between the files of the process room only. */
#ifndef ENCLAVIZE_PROCESS_TASK_H
#define ENCLAVIZE_PROCESS_TASK_H

#include "process/process.h"

/* Makes the calling thread run as the first task. */
void task_start_first(void);

#endif
