/* New nodes of a tree, with a name and without. */
#ifndef ENCLAVIZE_FS_TREE_CREATE_H
#define ENCLAVIZE_FS_TREE_CREATE_H

#include "fs/inode.h"

int64_t tree_create_inode(
    struct inode *directory, struct name name, const struct creation *creation, struct inode **created);
int64_t tree_create_unnamed(struct inode *directory, const struct creation *creation, struct inode **created);

#endif
