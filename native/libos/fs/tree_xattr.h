/* Extended attributes of a tree's nodes: those of the image, until one of them is changed; then all are kept here. */
#ifndef ENCLAVIZE_FS_TREE_XATTR_H
#define ENCLAVIZE_FS_TREE_XATTR_H

#include "fs/tree_node.h"
#include "fs/xattr.h"

int64_t tree_next_xattr(struct inode *inode, uint64_t *position, struct xattr *xattr);
int64_t tree_read_xattr(struct inode *inode, const struct xattr *xattr, void *to);
/* Without a value it is removed. -EEXIST, -ENODATA, -ENOSPC. */
int64_t tree_set_xattr(struct inode *inode, const char *name, const void *value, size_t size, uint32_t flags);
void tree_xattrs_destroy(struct node *node);

#endif
