/* Content of the regular files of a tree: verified data of the image, under pages of memory where it was
 * written. */
#ifndef ENCLAVIZE_FS_TREE_FILE_H
#define ENCLAVIZE_FS_TREE_FILE_H

#include "fs/file.h"
#include "fs/tree_node.h"

/* For a node that has just been made. */
void tree_file_start(struct node *node);
/* The namespace lock is held. */
int64_t tree_file_open(struct node *node, struct file *file);
int64_t tree_file_truncate(struct node *node, uint64_t size);
/* inode_operations.block_count */
uint64_t tree_file_block_count(struct inode *inode);
/* A regular file whose data is the image's and on the host, and that nobody has written. */
bool tree_file_is_measured(const struct inode *inode);
/* The image's content of such a file, whatever was written since. Bytes, -EIO or -ENOMEM. */
int64_t tree_file_read_measured(struct inode *inode, void *to, size_t length, uint64_t offset);
void tree_file_destroy(struct node *node);

#endif
