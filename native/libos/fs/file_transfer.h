/* Reads and writes of files: what one call moves between a file and pieces of application memory. */
#ifndef ENCLAVIZE_FS_FILE_TRANSFER_H
#define ENCLAVIZE_FS_FILE_TRANSFER_H

#include "fs/file.h"

/* `offset` NULL: the file's own position. */
typedef int64_t transfer(struct file *file, user_address address, uint64_t length, uint64_t *offset);
int64_t read_to_user(struct file *file, user_address to, uint64_t length, uint64_t *offset);
int64_t write_from_user(struct file *file, user_address from, uint64_t length, uint64_t *offset);

enum transfer_flag { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8 };
/* May one transfer be asked for with these? 0 or -EOPNOTSUPP. */
int64_t check_transfer_flags(const struct file *file, uint32_t flags);
/* A write is done: what RWF_DSYNC and RWF_SYNC want of it; its result, or the error of that. */
int64_t after_transfer(struct file *file, uint32_t flags, int64_t result);
/* readv(2) and writev(2) of a file, with those flags; `move` is one of the two above. */
int64_t transfer_vectors(
    struct file *file, user_address from, uint64_t count, transfer *move, uint64_t *offset, uint32_t flags);

/* Writes LibOS memory as write(2) does, within its limits. */
int64_t write_within_limits(struct file *file, const void *from, size_t length, uint64_t *offset);

/* RLIMIT_FSIZE and seals, for a new size: 0, -EFBIG and SIGXFSZ, or -EPERM. */
int64_t limit_size(const struct inode *inode, uint64_t size);

#endif
