/*
 * A tree of inodes in enclave memory: alone it is a tmpfs; over the measured image it is the container's
 * root.
 *
 * Nodes of the image come into being when a name leads to them, one node for each nid, and go again when
 * nobody uses them. A node that was changed stays. Nothing is ever copied up: a changed directory is a table
 * of names over the measured names, a changed file is a table of pages over the measured data.
 */
#ifndef ENCLAVIZE_FS_TREE_H
#define ENCLAVIZE_FS_TREE_H

#include "fs/inode.h"

/* The root of the image. */
int64_t tree_open_image(struct inode **root);

/* A new empty tmpfs. */
int64_t tree_create(const struct file_system *file_system, uint32_t mode, struct inode **root);

/* A regular file without a name (memfd_create). */
int64_t tree_create_file(const struct file_system *file_system, uint32_t mode, struct inode **inode);

/* A file's content is that of the image: false for what was written. True for inodes of other kinds. */
bool tree_is_as_measured(const struct inode *inode);

/* Where a FIFO keeps its pipe. */
void **tree_pipe(struct inode *fifo);

extern const struct file_system root_file_system;
extern const struct file_system memory_file_system;
extern const struct file_system unnamed_file_system; /* of memory files that never have a name */

#define TMPFS_MAGIC 0x01021994U

#endif
