/* Signal-driven I/O: who owns an open file, and hears of it by a signal (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC). */
#ifndef ENCLAVIZE_FS_OWNER_H
#define ENCLAVIZE_FS_OWNER_H

#include "fs/file.h"
#include "fs/poller.h"

/* si_code of the signal (sigaction(2)). */
enum owner_reason { POLL_IN = 1, POLL_OUT = 2, POLL_MSG = 3 };

/* F_SETOWN and its kin; -EINVAL for commands that are none of them. */
int64_t owner_call(struct file *file, uint32_t command, uint64_t argument);
/* The file has the caller as its owner, if it has none yet. */
void owner_default(struct file *file);
/* `descriptor`: by which the owner knows the file. */
void owner_tell(const struct file *file, int32_t descriptor, enum owner_reason reason);

/* From now on (not) what happens to the file is told to its owner. 0 also where Linux takes the flag and does nothing. -EOPNOTSUPP: the host has the
 * file, and tells nobody. */
int64_t owner_set_async(struct file *file, int32_t descriptor, bool on);
/* The file is closed. */
void owner_forget(struct file *file);

/* For poller.c: something has come to be read, or there is room. */
void owner_source_changed(struct event_source *source, enum owner_reason reason);

#endif
