/* Descriptors of the one process: pidfd_open(2). */
#ifndef ENCLAVIZE_FS_PIDFD_H
#define ENCLAVIZE_FS_PIDFD_H

#include "fs/file.h"

/* process_upcalls.is_process_descriptor */
bool is_pidfd(int descriptor);

#endif
