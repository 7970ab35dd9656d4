#include "fs/call_support.h"
#include "fs/file_lock.h"
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
    F_SETOWN = 8,
    F_GETOWN = 9,
    F_SETSIG = 10,
    F_GETSIG = 11,
    F_SETOWN_EX = 15,
    F_GETOWN_EX = 16,
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
                 (file->name != NULL || is_regular(inode) || is_directory(inode));
    return (file->flags & ~O_CLOEXEC) | (large ? O_LARGEFILE : 0);
}

static int64_t set_status_flags(struct file *file, uint32_t flags)
{
    if ((flags & ~file->flags & O_NOATIME) && !is_owner(file->inode)) {
        return -EPERM;
    }
    file->flags = (file->flags & ~SETTABLE_FLAGS) | (flags & SETTABLE_FLAGS);
    return 0;
}

static int64_t pipe_size_call(struct file *file, uint32_t command, uint64_t argument)
{
    struct pipe *pipe = pipe_of(file);
    if (pipe == NULL) {
        return -EBADF;
    }
    return command == F_GETPIPE_SZ ? pipe_size(pipe) : pipe_set_size(pipe, (uint32_t)argument);
}

enum owner_type { F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP };

struct owner {
    int32_t type, id;
};

static int64_t set_owner(struct file *file, int32_t type, int32_t id)
{
    if (type < F_OWNER_TID || type > F_OWNER_PGRP) {
        return -EINVAL;
    }
    bool is_there = id == 0 || (type == F_OWNER_TID ? task_of_id(id) != NULL : type == F_OWNER_PID ? process_of_id(id) != NULL : id == current_process()->group);
    if (!is_there) {
        return -ESRCH;
    }
    file->owner.type = (uint32_t)type;
    file->owner.id = id;
    return 0;
}

int64_t file_set_owner(struct file *file, int32_t who)
{
    return who == INT32_MIN ? -EINVAL : set_owner(file, who < 0 ? F_OWNER_PGRP : F_OWNER_PID, who < 0 ? -who : who);
}

int32_t file_owner(const struct file *file)
{
    return file->owner.type == F_OWNER_PGRP ? -file->owner.id : file->owner.id;
}

/* What is set is remembered. Nobody is told of anything: O_ASYNC cannot be set. */
static int64_t of_owner(struct file *file, uint32_t command, uint64_t argument)
{
    int32_t value = (int32_t)argument;
    struct owner owner = {.type = (int32_t)file->owner.type, .id = file->owner.id};
    switch (command) {
    case F_SETOWN:
        return file_set_owner(file, value);
    case F_GETOWN:
        return file_owner(file);
    case F_SETOWN_EX:
        return copy_from_user(&owner, argument, sizeof(owner)) < 0 ? -EFAULT : set_owner(file, owner.type, owner.id);
    case F_GETOWN_EX:
        return copy_to_user(argument, &owner, sizeof(owner));
    case F_SETSIG:
        if (argument > SIGNAL_COUNT) {
            return -EINVAL;
        }
        file->owner.signal = value;
        return 0;
    default: /* F_GETSIG */
        return file->owner.signal;
    }
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
        return set_status_flags(file, (uint32_t)argument);
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
    case F_GETOWN:
    case F_SETSIG:
    case F_GETSIG:
    case F_SETOWN_EX:
    case F_GETOWN_EX:
        return of_owner(file, command, argument);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return pipe_size_call(file, command, argument);
    case F_ADD_SEALS:
        return seals_add(file, (uint32_t)argument);
    case F_GET_SEALS:
        return seals_of(file);
    default:
        return -EINVAL;
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
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = (file->flags & O_PATH) && !is_for_paths(command)
                         ? -EBADF
                         : fcntl_file(file, (int32_t)arguments->at[0], command, arguments->at[2]);
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
