/* Standard input, output and error: descriptors of the host. What comes from there is the user's; nothing
 * about it is verified. */
#ifndef ENCLAVIZE_FS_STREAM_H
#define ENCLAVIZE_FS_STREAM_H

#include "fs/file.h"

/* Puts the host's 0, 1 and 2, as far as they are open, at the same descriptors. */
int64_t stream_open_standard(void);

/* /dev/tty: the first of them that is a terminal. -ENXIO. */
int64_t stream_open_terminal(struct file *file);
bool stream_has_terminal(void);

#endif
