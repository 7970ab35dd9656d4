/*
 * Volumes of the measured configuration: directories or files of the host, passed through. Unprotected: the
 * host can read and change everything in them, and answers as it likes. What it answers is checked to be
 * well-formed.
 */
#ifndef ENCLAVIZE_FS_VOLUME_H
#define ENCLAVIZE_FS_VOLUME_H

#include "fs/inode.h"

/* `path` without leading slash; `flags` of enum volume_flag. -ENOENT: the host has nothing there. */
int64_t volume_create(const char *path, uint32_t flags, struct inode **root);

#endif
