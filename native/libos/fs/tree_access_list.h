/* Access lists of a tree's nodes: those of the image, and those that were set since; and what new nodes get. */
#ifndef ENCLAVIZE_FS_TREE_ACCESS_LIST_H
#define ENCLAVIZE_FS_TREE_ACCESS_LIST_H

#include "fs/access_list.h"
#include "fs/tree_node.h"

/* For inode_operations. */
int64_t tree_access_list(const struct inode *inode, enum access_list_kind kind, const struct access_list **list);
int64_t tree_set_access_list(struct inode *inode, enum access_list_kind kind, struct access_list *list);

/* A new node gets its lists and its mode. -ENOMEM, -EIO. */
int64_t tree_inherit_access(struct node *node, const struct inode *directory, uint32_t mode_mask);
void tree_access_lists_destroy(struct node *node);

#endif
