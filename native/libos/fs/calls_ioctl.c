/* ioctl(2): what is asked of a descriptor or of any file (do_vfs_ioctl() of Linux); the rest is the kind's own. */
#include "fs/call_support.h"
#include "fs/owner.h"

enum ioctl_request {
    FIGETBSZ = 2,
    FIONREAD = 0x541B,
    FIONBIO = 0x5421,
    FIONCLEX = 0x5450,
    FIOCLEX = 0x5451,
    FIOASYNC = 0x5452,
    FIOQSIZE = 0x5460,
    FICLONE = 0x40049409,
    FICLONERANGE = 0x4020940D,
    FS_IOC_SETFLAGS = 0x40086602,
    FS_IOC_GETFLAGS = 0x80086601,
    FS_IOC_FSGETXATTR = 0x801C581F,
};

static int64_t set_nonblocking(struct file *file, user_address argument)
{
    int32_t value;
    if (copy_from_user(&value, argument, sizeof(value)) < 0) {
        return -EFAULT;
    }
    file->flags = value != 0 ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK;
    return 0;
}

static int64_t set_asynchronous(struct file *file, int32_t descriptor, user_address argument)
{
    int32_t value;
    if (copy_from_user(&value, argument, sizeof(value)) < 0) {
        return -EFAULT;
    }
    if (file->operations->tells_owner == OWNER_HEARS_NOTHING) {
        return value != 0 ? -ENOTTY : 0;
    }
    return owner_set_async(file, descriptor, value != 0);
}

static int64_t tell_occupied(struct inode *inode, user_address to)
{
    if (!is_regular(inode) && !is_directory(inode)) {
        return -ENOTTY;
    }
    namespace_lock();
    int64_t bytes = (int64_t)inode_blocks(inode) * 512;
    namespace_unlock();
    return copy_to_user(to, &bytes, sizeof(bytes));
}

struct clone_range {
    int64_t source;
    uint64_t source_offset, length, offset;
};

/* do_clone_file_range() of Linux, in its order, up to where it asks the file system: none here can share blocks. */
static int64_t refuse_clone(const struct file *to, const struct file *from)
{
    const struct inode *target = to->inode, *source = from->inode;
    if (target->file_system != source->file_system) {
        return -EXDEV;
    }
    if (is_directory(target) || is_directory(source)) {
        return -EISDIR;
    }
    if (!is_regular(target) || !is_regular(source)) {
        return -EINVAL;
    }
    return !is_readable(from) || !is_writable(to) || (to->flags & O_APPEND) ? -EBADF : -EOPNOTSUPP;
}

static int64_t clone_from(const struct file *file, int32_t descriptor)
{
    struct file *source = opened_file_of_descriptor(descriptor);
    return !source ? -EBADF : on_file(source, refuse_clone(file, source));
}

static int64_t clone_range(const struct file *file, user_address argument)
{
    struct clone_range range;
    return copy_from_user(&range, argument, sizeof(range)) < 0 ? -EFAULT : clone_from(file, (int32_t)range.source);
}

static int64_t set_file_flags(struct file *file, user_address argument)
{
    struct inode *inode = file->inode;
    uint32_t flags;
    if (copy_from_user(&flags, argument, sizeof(flags)) < 0) {
        return -EFAULT;
    }
    namespace_lock();
    int64_t result = inode->file_system->read_only ? -EROFS : !is_owner(inode) ? -EPERM : 0;
    if (result == 0 && (flags & FS_NEVER_CHANGED)) {
        result = -EPERM; /* CAP_LINUX_IMMUTABLE, which nobody has */
    } else if (result == 0 && (flags & ~(uint32_t)FS_KEPT_FLAGS)) {
        result = -EOPNOTSUPP;
    } else if (result == 0) {
        inode->kept_flags = (uint8_t)flags;
        inode->ctime = time_now();
    }
    namespace_unlock();
    return result;
}

/* struct fsxattr, all of which but the flags is 0 in memory. */
struct extended_flags {
    uint32_t flags, unused[6];
};
_Static_assert(sizeof(struct extended_flags) == 28, "struct fsxattr");
enum { FS_XFLAG_NOATIME = 0x40, FS_XFLAG_NODUMP = 0x80 };

static int64_t of_flags(struct file *file, uint32_t request, user_address argument)
{
    const uint32_t flags = __atomic_load_n(&file->inode->kept_flags, __ATOMIC_RELAXED);
    struct extended_flags extended = {
        .flags = ((flags & FS_NODUMP_FL) ? FS_XFLAG_NODUMP : 0) | ((flags & FS_NOATIME_FL) ? FS_XFLAG_NOATIME : 0)};
    if (!file->inode->operations->keeps_flags || (!is_regular(file->inode) && !is_directory(file->inode))) {
        return -ENOTTY;
    }
    switch (request) {
    case FS_IOC_SETFLAGS:
        return set_file_flags(file, argument);
    case FS_IOC_GETFLAGS:
        return copy_to_user(argument, &flags, sizeof(flags));
    default:
        return copy_to_user(argument, &extended, sizeof(extended));
    }
}

static int64_t of_kind(struct file *file, uint32_t request, user_address argument)
{
    return file->operations->ioctl ? file->operations->ioctl(file, request, argument) : -ENOTTY;
}

static int64_t ioctl_file(struct file *file, int64_t descriptor, uint32_t request, user_address argument)
{
    int32_t value;
    switch (request) {
    case FIONCLEX:
    case FIOCLEX:
        return descriptor_set_flags(descriptor, request == FIOCLEX);
    case FIONBIO:
        return set_nonblocking(file, argument);
    case FIOASYNC:
        return set_asynchronous(file, (int32_t)descriptor, argument);
    case FIOQSIZE:
        return tell_occupied(file->inode, argument);
    case FIGETBSZ:
        value = BLOCK_SIZE;
        return copy_to_user(argument, &value, sizeof(value));
    case FICLONE:
        return clone_from(file, (int32_t)argument);
    case FICLONERANGE:
        return clone_range(file, argument);
    case FS_IOC_SETFLAGS:
    case FS_IOC_GETFLAGS:
    case FS_IOC_FSGETXATTR:
        return of_flags(file, request, argument);
    case FIONREAD:
        if (!is_regular(file->inode)) {
            return of_kind(file, request, argument);
        }
        value = (int32_t)(size_now_of(file->inode) - file->position);
        return copy_to_user(argument, &value, sizeof(value));
    default:
        return of_kind(file, request, argument);
    }
}

int64_t sys_ioctl(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    return on_file(
        file, ioctl_file(file, (int32_t)arguments->at[0], (uint32_t)arguments->at[1], arguments->at[2]));
}
