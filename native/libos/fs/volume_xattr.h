/* Extended attributes of files of volumes: the host's, user.* alone. What they would mean to a kernel is not let in. */
#ifndef ENCLAVIZE_FS_VOLUME_XATTR_H
#define ENCLAVIZE_FS_VOLUME_XATTR_H

#include "fs/volume_names.h"
#include "fs/xattr.h"

/* For inode_operations. */
int64_t volume_next_xattr(struct inode *inode, uint64_t *position, struct xattr *xattr);
int64_t volume_read_xattr(struct inode *inode, const struct xattr *xattr, void *to);
int64_t volume_set_xattr(struct inode *inode, const char *name, const void *value, size_t size, uint32_t flags);

#endif
