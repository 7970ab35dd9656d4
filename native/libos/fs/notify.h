/* What happens to files and names, told to inotify in Linux's order (include/linux/fsnotify.h). All of it costs one look
 * while nobody watches. */
#ifndef ENCLAVIZE_FS_NOTIFY_H
#define ENCLAVIZE_FS_NOTIFY_H

#include "fs/inotify.h"
#include "fs/path.h"

/* To an open file, under the name that it was opened by. Any lock may be held. */
void notify_file(struct file *file, uint32_t event);
/* The same for attributes and the size, of which those hear, too, who watch with IN_EXCL_UNLINK: Linux passes them without a
 * path. */
void notify_file_changed(struct file *file, uint32_t event);
void notify_opened(struct file *file);

/* The namespace lock is held for these. */
void notify_place(const struct place *place, uint32_t event);
void notify_name(const struct inode *directory, struct name name, uint32_t event);
void notify_inode(const struct inode *inode, uint32_t event); /* whatever its names */
/* What changing attributes means to watchers; 0: nothing. */
uint32_t notify_attributes(uint32_t which);

/* A name was removed; `last`: what it led to has no other one. */
void notify_removed(const struct place *place, bool last);
/* What was at `old` is at `new` now. `replaced` (or NULL) was there, and `last` says that it has no other name. */
void notify_moved(const struct place *old, const struct place *new, struct inode *replaced, bool last);
void notify_exchanged(const struct place *one, const struct place *other);

/* It has no name, and no file is open: it ends. Any lock may be held. */
void notify_end(const struct inode *inode);

#endif
