/* What a process has of the file system: descriptors, directories, its program. */
#ifndef ENCLAVIZE_FS_PROCESS_FILES_H
#define ENCLAVIZE_FS_PROCESS_FILES_H

#include "fs/path.h"

/* Fills the process room's upcalls that are about it. */
void process_files_start(void);
/* A new process stands in the root and has no descriptors. The namespace lock is held. */
int64_t process_files_create(struct process *process);
/* What the calling process, of one thread, may share with others becomes its own: a copy. 0 or -ENOMEM, and then nothing has changed. */
int64_t process_files_unshare(bool descriptors, bool whereabouts);

#endif
