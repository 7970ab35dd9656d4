/* Descriptors of processes: pidfd_open(2). */
#ifndef ENCLAVIZE_FS_PIDFD_H
#define ENCLAVIZE_FS_PIDFD_H

#include "fs/file.h"

bool is_pidfd(const struct file *file);
/* process_upcalls.process_of_descriptor */
int32_t process_of_pidfd(int descriptor, bool *is_nonblocking);
/* process_upcalls.process_ended */
void pidfd_process_ended(void);
/* process_upcalls.make_descriptor: a descriptor, close-on-exec; flags: O_NONBLOCK. */
int64_t pidfd_create(struct process *process, uint32_t flags);

#endif
