/* Host descriptors behind the numbers that the enclave uses, and paths below the container's root. */
#ifndef ENCLAVIZE_PAL_OCALL_FILES_H
#define ENCLAVIZE_PAL_OCALL_FILES_H

#include <stdint.h>
#include <sys/stat.h>

#include "ocall.h"

#define HANDLES_MAX 65536U

/* The descriptor for an enclave's fd: 0, 1, 2 are the standard streams. -1: none. */
int host_descriptor(int64_t fd);
/* Gives a descriptor a number (>= 3), or closes it and returns -EMFILE. */
int64_t host_descriptor_add(int descriptor);
/* Closes one that was given such a number. */
void host_descriptor_remove(int64_t fd);

/* Whether there is anything to read, an end or an error included. */
enum host_input look_at_input(int descriptor);

/* struct host_stat into the data area. */
void put_stat(struct request *call, const struct stat *status);

/* The path at `offset` of the data area, NUL-terminated into `path` (PATH_MAX). 0; -EINVAL; -ENAMETOOLONG. */
int take_path(const struct request *call, uint64_t offset, uint64_t length, char *path);

/* Opens below the container's root; no component may be a symbolic link. A descriptor or a negative errno. */
int open_below_root(const char *path, int flags, unsigned mode);
/* The same, but links are followed inside the root. */
int open_in_root(const char *path, int flags);

#endif
