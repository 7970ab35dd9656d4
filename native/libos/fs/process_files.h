/* What threads and processes have of the file system: descriptors, directories, a program. */
#ifndef ENCLAVIZE_FS_PROCESS_FILES_H
#define ENCLAVIZE_FS_PROCESS_FILES_H

#include "fs/path.h"

/* Fills the process room's upcalls that are about it. */
void process_files_start(void);
/* The first process stands in the root and has no descriptors. The namespace lock is held. */
int64_t files_create_first(void);
/* What the calling thread may share with others becomes its own: a copy. 0 or -ENOMEM, and then nothing has changed. */
int64_t files_unshare(bool descriptors, bool whereabouts);

#endif
