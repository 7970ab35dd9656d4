/* The container's own /etc/hosts, /etc/resolv.conf and /etc/hostname, where the measured policy lets them in.
 */
#ifndef ENCLAVIZE_FS_HOST_FILE_H
#define ENCLAVIZE_FS_HOST_FILE_H

#include "fs/inode.h"

typedef int64_t mount_function(struct inode *start, const char *path, struct inode *root);

/* A file that the host does not give, or that is not well-formed, leaves the image's own in place; a line
 * says so. */
void host_files_mount(mount_function *mount);

#endif
