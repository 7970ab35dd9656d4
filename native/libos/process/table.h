/* Processes in their list: between the files of the process room only. */
#ifndef ENCLAVIZE_PROCESS_TABLE_H
#define ENCLAVIZE_PROCESS_TABLE_H

#include "process/task.h"

/* Of processes and threads together. */
uint64_t process_new_serial(void);
/* A zeroed one, in no list; NULL: out of memory. */
struct process *process_make(void);
/* With the parent that its sister has by now, if it has one. */
void process_list(struct process *process, const struct process *sister);
/* From the list, if it is there, to those that are free. The lock of the lists is held. */
void process_unlist(struct process *process);

#endif
