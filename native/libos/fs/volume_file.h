/* Content of the regular files of volumes: the host's, under pages of memory while they are mapped shared. */
#ifndef ENCLAVIZE_FS_VOLUME_FILE_H
#define ENCLAVIZE_FS_VOLUME_FILE_H

#include "fs/file.h"

/* A descriptor of the host's, which open files, mappings and inodes share. */
struct host_descriptor;
int host_descriptor_fd(const struct host_descriptor *descriptor);
bool host_descriptor_writes(const struct host_descriptor *descriptor); /* NULL: no */
void host_descriptor_put(struct host_descriptor *descriptor);          /* NULL is fine */

/* The namespace lock is held. Takes the host's descriptor over, unless it fails: -ENOMEM or what the host says. */
int64_t volume_file_open(struct file *file, int fd);
/* That of an open file, with one more count. */
struct host_descriptor *volume_file_descriptor(const struct file *file);
/* By a descriptor that can write. The namespace lock is held. */
int64_t volume_file_truncate(struct inode *inode, int fd, uint64_t size);

#endif
