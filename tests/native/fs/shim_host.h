/* How the stand-ins ask the real host. */
#ifndef SHIM_HOST_H
#define SHIM_HOST_H

#include "boundary/boundary.h"
#include "shim.h"

#define AT_SYMLINK_NOFOLLOW 0x100

int open(const char *path, int flags, ...);
long syscall(long number, ...);

/* A negative errno where the C library has -1. */
int64_t from_errno(long result);
void join_path(char to[8192], const char *root, const char *path, size_t length);
int stat_at(int fd, const char *path, struct host_stat *to, int flags);

#endif
