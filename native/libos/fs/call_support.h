/* What the handlers of the file system's calls share. */
#ifndef ENCLAVIZE_FS_CALL_SUPPORT_H
#define ENCLAVIZE_FS_CALL_SUPPORT_H

#include "fs/buffer.h"
#include "fs/open.h"

#define AT_SYMLINK_NOFOLLOW 0x100U
#define AT_EACCESS 0x200U
#define AT_REMOVEDIR 0x200U
#define AT_SYMLINK_FOLLOW 0x400U
#define AT_NO_AUTOMOUNT 0x800U
#define AT_EMPTY_PATH 0x1000U
#define AT_STATX_SYNC_TYPE 0x6000U

/* A path from the application; give it back with buffer_give(&path_buffers, path). -EFAULT, -ENAMETOOLONG,
 * -ENOMEM. */
int64_t path_from_user(user_address from, char **path);

/* Walks a path of the application. 0: the namespace lock is held and `place` is filled, until at_end(). */
int64_t at_begin(int64_t descriptor, user_address path, uint32_t walk_flags, struct place *place);
void at_end(struct place *place);

/* Flags of the *at calls to flags of a walk. */
static inline uint32_t walk_flags(uint64_t flags)
{
    return ((flags & AT_SYMLINK_NOFOLLOW) ? 0 : WALK_FOLLOW) | ((flags & AT_EMPTY_PATH) ? WALK_EMPTY : 0);
}

/* The file behind a descriptor, with a count; NULL: EBADF, as for one that was opened with O_PATH. */
static inline struct file *file_at(const struct arguments *arguments, uint32_t index)
{
    return opened_file_of_descriptor((int)arguments->at[index]);
}

/* The same, for the few calls that take O_PATH (open(2)). */
static inline struct file *file_or_path_at(const struct arguments *arguments, uint32_t index)
{
    return file_of_descriptor((int)arguments->at[index]);
}

/* The last word of a call on a file: its count is given back. */
static inline int64_t on_file(struct file *file, int64_t result)
{
    file_put(file);
    return result;
}

/* The timeout of a wait: milliseconds, or none if they are negative. */
static inline uint64_t milliseconds(uint64_t argument)
{
    int32_t value = (int32_t)argument;
    return value < 0 ? NO_TIMEOUT : (uint64_t)value * 1000000;
}

/* The same as a timespec; NULL: none. */
int64_t optional_timeout(uint64_t *timeout_ns, user_address from);

/* Makes a descriptor of a fresh file; on failure the file is put. */
int64_t install(struct file *file, bool close_on_exec);

/* The same for two, whose descriptors are written to `to` as two ints. */
int64_t install_two(struct file *files[2], bool close_on_exec, user_address to);

#endif
