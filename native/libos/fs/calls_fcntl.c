#include "fs/call_support.h"
#include "fs/dnotify.h"
#include "fs/file_lock.h"
#include "fs/lease.h"
#include "fs/owner.h"
#include "fs/pipe.h"
#include "fs/seal.h"

enum fcntl_command {
    F_DUPFD = 0,
    F_GETFD = 1,
    F_SETFD = 2,
    F_GETFL = 3,
    F_SETFL = 4,
    F_GETLK = 5,
    F_SETLK = 6,
    F_SETLKW = 7,
    F_OFD_GETLK = 36,
    F_OFD_SETLK = 37,
    F_OFD_SETLKW = 38,
    F_SETLEASE = 1024,
    F_GETLEASE = 1025,
    F_NOTIFY = 1026,
    F_DUPFD_CLOEXEC = 1030,
    F_SETPIPE_SZ = 1031,
    F_GETPIPE_SZ = 1032,
    F_ADD_SEALS = 1033,
    F_GET_SEALS = 1034,
    F_GET_RW_HINT = 1035,
    F_SET_RW_HINT = 1036,
};

#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

static int64_t duplicate(struct file *file, uint64_t lowest, bool close_on_exec)
{
    if ((int32_t)lowest < 0 || lowest >= resource_limit(RLIMIT_NOFILE)) {
        return -EINVAL;
    }
    file_get(file);
    int64_t result = descriptor_add(file, (int32_t)lowest, close_on_exec);
    if (result < 0) {
        file_put(file);
    }
    return result;
}

/* Whatever was opened by name is open for large files, too; not so what is only a path. */
uint32_t file_status_flags(const struct file *file)
{
    const struct inode *inode = file->inode;
    bool large = (file->flags & O_PATH) == 0 &&
                 (file->name || is_regular(inode) || is_directory(inode));
    return (file->flags & ~O_CLOEXEC) | (large ? O_LARGEFILE : 0);
}

static int64_t set_status_flags(struct file *file, int32_t descriptor, uint32_t flags)
{
    if ((flags & ~file->flags & O_NOATIME) && !is_owner(file->inode)) {
        return -EPERM;
    }
    if ((flags & O_DIRECT) && !takes_direct(file) && (file->inode->mode & S_IFMT) != S_IFIFO) {
        return -EINVAL; /* of pipes it is packets */
    }
    int64_t result = owner_set_async(file, descriptor, (flags & O_ASYNC) != 0);
    if (result < 0) {
        return result;
    }
    file->flags = (file->flags & ~SETTABLE_FLAGS) | (flags & SETTABLE_FLAGS);
    return 0;
}

static int64_t pipe_size_call(struct file *file, uint32_t command, uint64_t argument)
{
    struct pipe *pipe = pipe_of(file);
    if (!pipe) {
        return -EBADF;
    }
    return command == F_GETPIPE_SZ ? pipe_size(pipe) : pipe_set_size(pipe, (uint32_t)argument);
}

#define WRITE_HINT_MAX 5U /* RWH_WRITE_LIFE_EXTREME */

/* How long what is written will live: nothing here goes by it. */
static int64_t write_hint_call(struct inode *inode, uint32_t command, user_address argument)
{
    uint64_t hint = __atomic_load_n(&inode->write_hint, __ATOMIC_RELAXED);
    if (command == F_GET_RW_HINT) {
        return copy_to_user(argument, &hint, sizeof(hint));
    }
    if (!is_owner(inode)) {
        return -EPERM;
    }
    if (copy_from_user(&hint, argument, sizeof(hint)) < 0) {
        return -EFAULT;
    }
    if (hint > WRITE_HINT_MAX) {
        return -EINVAL;
    }
    __atomic_store_n(&inode->write_hint, (uint8_t)hint, __ATOMIC_RELAXED);
    return 0;
}

static int64_t fcntl_file(struct file *file, int64_t descriptor, uint32_t command, uint64_t argument)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(file, argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return descriptor_flags(descriptor);
    case F_SETFD:
        return descriptor_set_flags(descriptor, (argument & 1) != 0);
    case F_GETFL:
        return file_status_flags(file);
    case F_SETFL:
        return set_status_flags(file, (int32_t)descriptor, (uint32_t)argument);
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
    case F_SETLEASE:
        return lease_set(file, (int32_t)descriptor, (uint32_t)argument);
    case F_GETLEASE:
        return lease_of(file);
    case F_NOTIFY:
        return dnotify_set(file, (int32_t)descriptor, (uint32_t)argument);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return pipe_size_call(file, command, argument);
    case F_ADD_SEALS:
        return seals_add(file, (uint32_t)argument);
    case F_GET_SEALS:
        return seals_of(file);
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
        return write_hint_call(file->inode, command, argument);
    default:
        return owner_call(file, command, argument);
    }
}

/* check_fcntl_cmd() of Linux: of a path, little can be asked. */
static bool is_for_paths(uint32_t command)
{
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD || command == F_SETFD ||
           command == F_GETFL;
}

int64_t sys_fcntl(const struct arguments *arguments)
{
    struct file *file = file_or_path_at(arguments, 0);
    uint32_t command = (uint32_t)arguments->at[1];
    if (!file) {
        return -EBADF;
    }
    int64_t result = (file->flags & O_PATH) && !is_for_paths(command)
                         ? -EBADF
                         : fcntl_file(file, (int32_t)arguments->at[0], command, arguments->at[2]);
    file_put(file);
    return result;
}

#define LOCK_MAND 32U

int64_t sys_flock(const struct arguments *arguments)
{
    if (arguments->at[1] & LOCK_MAND) {
        return 0; /* Linux ignores such requests (5.15 and later) */
    }
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result = file_lock_whole(file, (uint32_t)arguments->at[1]);
    file_put(file);
    return result;
}
