/* Character devices, by number: the same whether they stand in /dev or in the image. */
#ifndef ENCLAVIZE_FS_DEVICE_H
#define ENCLAVIZE_FS_DEVICE_H

#include "fs/file.h"

#define ENTROPY_BITS 256 /* POOL_READY_BITS of Linux: there is always enough */

/* -ENXIO for a device that is not there. */
int64_t device_open(struct inode *inode, struct file *file);

/* The root of /dev. */
int64_t device_create_directory(struct inode **root);

#endif
