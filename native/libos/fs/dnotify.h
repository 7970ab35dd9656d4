/* F_NOTIFY of fcntl(2): the owner of an open directory hears by a signal that something in it has changed. What inotify replaced. */
#ifndef ENCLAVIZE_FS_DNOTIFY_H
#define ENCLAVIZE_FS_DNOTIFY_H

#include "fs/inotify.h"

/* Of a happening, beside what inotify tells: something got another name in the same directory. */
#define DNOTIFY_RENAMED 0x00010000U

/* 0 for `events`: not any more. -ENOTDIR, -ENOMEM. */
int64_t dnotify_set(struct file *file, int32_t descriptor, uint32_t events);
/* The file is closed. */
void dnotify_forget(const struct file *file);

/* As inotify_is_used() and inotify_tell(). */
bool dnotify_is_used(void);
void dnotify_tell(const struct inode *watched, const struct happening *happening);

#endif
