/* What a process has of the file system: descriptors, directories, its program. */
#ifndef ENCLAVIZE_FS_PROCESS_FILES_H
#define ENCLAVIZE_FS_PROCESS_FILES_H

#include "fs/path.h"

/* Fills the process room's upcalls that are about it. */
void process_files_start(void);
/* A new process stands in the root and has no descriptors. The namespace lock is held. */
int64_t process_files_create(struct process *process);

#endif
