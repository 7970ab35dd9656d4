#include "fs/call_support.h"
#include "fs/file_lock.h"
#include "fs/tree.h"

static int64_t open_user(int64_t descriptor, user_address from, uint32_t flags, uint32_t mode)
{
    char *path;
    struct file *file;
    int64_t result = path_from_user(from, &path);
    if (result < 0) {
        return result;
    }
    result = open_at(descriptor, path, flags, mode, &file);
    buffer_give(&path_buffers, path);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_open(const struct arguments *arguments)
{
    return open_user(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], (uint32_t)arguments->at[2]);
}

int64_t sys_creat(const struct arguments *arguments)
{
    return open_user(AT_FDCWD, arguments->at[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)arguments->at[1]);
}

int64_t sys_openat(const struct arguments *arguments)
{
    return open_user(
        (int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], (uint32_t)arguments->at[3]);
}

int64_t sys_close(const struct arguments *arguments)
{
    return descriptor_close((int32_t)arguments->at[0]);
}

#define CLOSE_RANGE_UNSHARE 2U
#define CLOSE_RANGE_CLOEXEC 4U

int64_t sys_close_range(const struct arguments *arguments)
{
    uint32_t first = (uint32_t)arguments->at[0], last = (uint32_t)arguments->at[1];
    uint32_t flags = (uint32_t)arguments->at[2];
    if (first > last || (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0) {
        return -EINVAL;
    }
    if ((flags & CLOSE_RANGE_UNSHARE) && task_count() > 1) {
        return -EINVAL; /* threads share one table: none can have a copy of its own */
    }
    for (int64_t at = descriptor_next(first); at >= 0 && at <= last; at = descriptor_next(at + 1)) {
        if (flags & CLOSE_RANGE_CLOEXEC) {
            descriptor_set_flags(at, true);
        } else {
            descriptor_close(at);
        }
    }
    return 0;
}

int64_t sys_dup(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return file == NULL ? -EBADF : install(file, false);
}

static int64_t duplicate_to(const struct arguments *arguments, bool close_on_exec)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = descriptor_set((int32_t)arguments->at[1], file, close_on_exec);
    if (result < 0) {
        file_put(file);
    }
    return result;
}

int64_t sys_dup2(const struct arguments *arguments)
{
    if ((int32_t)arguments->at[0] == (int32_t)arguments->at[1]) {
        return descriptor_flags((int32_t)arguments->at[0]) < 0 ? -EBADF : (int32_t)arguments->at[1];
    }
    return duplicate_to(arguments, false);
}

int64_t sys_dup3(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[2];
    if ((int32_t)arguments->at[0] == (int32_t)arguments->at[1] || (flags & ~O_CLOEXEC) != 0) {
        return -EINVAL;
    }
    return duplicate_to(arguments, (flags & O_CLOEXEC) != 0);
}

enum fcntl_command {
    F_DUPFD = 0,
    F_GETFD = 1,
    F_SETFD = 2,
    F_GETFL = 3,
    F_SETFL = 4,
    F_GETLK = 5,
    F_SETLK = 6,
    F_SETLKW = 7,
    F_SETOWN = 8,
    F_GETOWN = 9,
    F_OFD_GETLK = 36,
    F_OFD_SETLK = 37,
    F_OFD_SETLKW = 38,
    F_DUPFD_CLOEXEC = 1030,
    F_SETPIPE_SZ = 1031,
    F_GETPIPE_SZ = 1032,
    F_ADD_SEALS = 1033,
    F_GET_SEALS = 1034,
};

#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)
#define PIPE_CAPACITY 65536
#define F_SEAL_SEAL 1

static int64_t fcntl_file(struct file *file, int64_t descriptor, uint32_t command, uint64_t argument)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
        if ((int32_t)argument < 0 || argument >= resource_limit(RLIMIT_NOFILE)) {
            return -EINVAL;
        }
        file_get(file);
        int64_t result = descriptor_add(file, (int32_t)argument, command == F_DUPFD_CLOEXEC);
        if (result < 0) {
            file_put(file);
        }
        return result;
    }
    case F_GETFD:
        return descriptor_flags(descriptor);
    case F_SETFD:
        return descriptor_set_flags(descriptor, (argument & 1) != 0);
    case F_GETFL:
        return (file->flags & ~O_CLOEXEC) | (file->directory != NULL || is_regular(file->inode) || is_directory(file->inode) ? O_LARGEFILE : 0);
    case F_SETFL:
        file->flags = (file->flags & ~SETTABLE_FLAGS) | ((uint32_t)argument & SETTABLE_FLAGS);
        return 0;
    case F_GETLK:
        return file_lock_record(file, LOCK_TEST, false, argument);
    case F_SETLK:
        return file_lock_record(file, LOCK_TRY, false, argument);
    case F_SETLKW:
        return file_lock_record(file, LOCK_WAIT, false, argument);
    case F_OFD_GETLK:
        return file_lock_record(file, LOCK_TEST, true, argument);
    case F_OFD_SETLK:
        return file_lock_record(file, LOCK_TRY, true, argument);
    case F_OFD_SETLKW:
        return file_lock_record(file, LOCK_WAIT, true, argument);
    case F_SETOWN:
        return 0;
    case F_GETOWN:
        return 0;
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return (file->inode->mode & S_IFMT) == S_IFIFO ? PIPE_CAPACITY : -EBADF;
    case F_GET_SEALS:
        return F_SEAL_SEAL;
    default:
        return -EINVAL;
    }
}

int64_t sys_fcntl(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result =
        fcntl_file(file, (int32_t)arguments->at[0], (uint32_t)arguments->at[1], arguments->at[2]);
    file_put(file);
    return result;
}

int64_t sys_flock(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = file_lock_whole(file, (uint32_t)arguments->at[1]);
    file_put(file);
    return result;
}

#define MFD_CLOEXEC 1U
#define MFD_KNOWN 0x1BU /* MFD_CLOEXEC, ALLOW_SEALING, NOEXEC_SEAL, EXEC; there are no huge pages */

int64_t sys_memfd_create(const struct arguments *arguments)
{
    struct inode *inode;
    struct file *file;
    char name[NAME_LENGTH_MAX + 1];
    if (((uint32_t)arguments->at[1] & ~MFD_KNOWN) != 0) {
        return -EINVAL;
    }
    int64_t result = strncpy_from_user(name, arguments->at[0], sizeof(name));
    if (result < 0) {
        return result == -ENAMETOOLONG ? -EINVAL : result;
    }
    result = tree_create_file(&memory_file_system, 0777, &inode);
    if (result == 0) {
        namespace_lock();
        result = file_create(inode, O_RDWR, &file);
        namespace_unlock();
        inode_put(inode);
    }
    return result < 0 ? result : install(file, (arguments->at[1] & MFD_CLOEXEC) != 0);
}
