/* Content of the regular files of volumes: the host's, under pages of memory while they are mapped shared. */
#ifndef ENCLAVIZE_FS_VOLUME_FILE_H
#define ENCLAVIZE_FS_VOLUME_FILE_H

#include "fs/file.h"

/* The namespace lock is held. Takes the host's descriptor over, unless it fails: -ENOMEM or what the host says. */
int64_t volume_file_open(struct file *file, int fd);
/* By a descriptor that can write. The namespace lock is held. */
int64_t volume_file_truncate(struct inode *inode, int fd, uint64_t size);

#endif
