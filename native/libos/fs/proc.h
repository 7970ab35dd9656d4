/* /proc and /sys, as far as programs need them. */
#ifndef ENCLAVIZE_FS_PROC_H
#define ENCLAVIZE_FS_PROC_H

#include "fs/file.h"

int64_t proc_create(struct inode **root);
int64_t sys_create(struct inode **root);

/* What /proc/filesystems says: a line for each kind, its name behind a tab. */
extern const char proc_file_systems[];

#endif
