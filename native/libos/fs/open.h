/* Opening by path. These take the namespace lock themselves. */
#ifndef ENCLAVIZE_FS_OPEN_H
#define ENCLAVIZE_FS_OPEN_H

#include "fs/file.h"
#include "fs/path.h"

/* The inode that relative paths start from, with a count; NULL for AT_FDCWD and for absolute paths. -EBADF.
 * Any inode with `empty` (AT_EMPTY_PATH). */
int64_t start_of(int64_t descriptor, const char *path, struct inode **start);

/* openat(2), without a descriptor; `resolve` are flags of a walk that openat2(2) has beside. */
int64_t open_at(int64_t descriptor, const char *path, uint32_t flags, uint32_t mode, uint32_t resolve, struct file **file);

/* Parent and name are there, the place is free: may something be made here? */
int64_t may_create(const struct place *place);

/* Makes a node that open() does not make, such as that of a bound socket, and gives it a count. -EEXIST. */
int64_t node_make(const char *path, const struct creation *creation, struct inode **made);

#endif
