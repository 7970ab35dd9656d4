/* Advisory locks: flock(2), and the record locks of fcntl_locking(2), of the process and of open file descriptions. */
#ifndef ENCLAVIZE_FS_FILE_LOCK_H
#define ENCLAVIZE_FS_FILE_LOCK_H

#include "fs/file.h"

/* flock(2): 0, -EAGAIN, -EINTR, -EINVAL, -ENOLCK. */
int64_t file_lock_whole(struct file *file, uint32_t operation);

enum lock_action { LOCK_TEST, LOCK_TRY, LOCK_WAIT };
/* F_GETLK and its kin; `of_description`: the F_OFD_ ones. `lock` is a struct flock. */
int64_t file_lock_record(struct file *file, enum lock_action action, bool of_description, user_address lock);

/* A descriptor of the file was closed: the record locks on it of those who have the table end. */
void file_unlock_process(const struct file *file, const struct descriptor_table *table);
/* The last reference goes: locks of this description end. */
void file_unlock_description(const struct file *file);

/* /proc/locks. */
struct text;
void file_locks_tell(struct text *text);

#endif
