/* Standard input, output and error: descriptors of the host. What comes from there is the user's; nothing
 * about it is verified. */
#ifndef ENCLAVIZE_FS_STREAM_H
#define ENCLAVIZE_FS_STREAM_H

#include "fs/file.h"

/* Puts the host's descriptors, as far as they are open, at 0, 1 and 2 of the calling process; -1: closed. They are closed with the last file. */
int64_t stream_open_all(const int32_t host_fds[3]);

/* /dev/tty: the first of the session's that is a terminal. -ENXIO. */
int64_t stream_open_terminal(struct file *file);

#endif
