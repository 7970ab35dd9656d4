/* Seals of files in memory (memfd_create(2), fcntl(2)): what may not be done to them any more. */
#ifndef ENCLAVIZE_FS_SEAL_H
#define ENCLAVIZE_FS_SEAL_H

#include "fs/file.h"

enum seal {
    F_SEAL_SEAL = 0x01,
    F_SEAL_SHRINK = 0x02,
    F_SEAL_GROW = 0x04,
    F_SEAL_WRITE = 0x08,
    F_SEAL_FUTURE_WRITE = 0x10,
    F_SEAL_EXEC = 0x20,
    F_ALL_SEALS = 0x3F,
};

static inline bool is_sealed(const struct inode *inode, uint32_t seals)
{
    return (__atomic_load_n(&inode->seals, __ATOMIC_ACQUIRE) & seals) != 0;
}

/* F_GET_SEALS, F_ADD_SEALS. -EINVAL: not a file in memory. -EPERM: not opened for writing, or F_SEAL_SEAL.
 * -EBUSY: mapped so that it can be written. */
int64_t seals_of(const struct file *file);
int64_t seals_add(struct file *file, uint32_t seals);

/* Cuts the length of a write as far as it may go; -EPERM. */
int64_t seals_limit_write(const struct inode *inode, uint64_t offset, uint64_t *length);
/* May it have this size? 0 or -EPERM. */
int64_t seals_check_size(const struct inode *inode, uint64_t size);

#endif
