#ifndef ENCLAVIZE_FS_EXECUTABLE_H
#define ENCLAVIZE_FS_EXECUTABLE_H

#include "fs/file.h"

/* process_upcalls.open_executable */
int64_t open_executable(int descriptor, const char *path, uint32_t flags, struct file **file);

#endif
