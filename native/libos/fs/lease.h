/* Leases: who has one is told before somebody else opens the file (fcntl(2), "Leases"). */
#ifndef ENCLAVIZE_FS_LEASE_H
#define ENCLAVIZE_FS_LEASE_H

#include "fs/file.h"

#define LEASE_BREAK_SECONDS 45 /* /proc/sys/fs/lease-break-time: then the lease is taken away */

/* F_SETLEASE, by this descriptor; F_GETLEASE. */
int64_t lease_set(struct file *file, int32_t descriptor, uint32_t type);
int64_t lease_of(const struct file *file);
/* The file is closed. */
void lease_forget(const struct file *file);

/* Before the inode is opened with these flags, or cut (O_WRONLY): 0, nobody minds. 1: who has a lease has been told, and lease_await() waits for him.
 * -EAGAIN: the same with O_NONBLOCK. Takes no lock of the file system. */
int64_t lease_break(struct inode *inode, uint32_t flags);
/* Without any lock: 0, look again; -EINTR. */
int64_t lease_await(struct inode *inode, uint32_t flags);

#endif
