#include "fs/call_support.h"
#include "fs/file_transfer.h"
#include "fs/lease.h"
#include "fs/notify.h"
#include "fs/seal.h"

int64_t sys_read(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return !file ? -EBADF
                 : on_file(file, read_to_user(file, arguments->at[1], arguments->at[2], NULL));
}

int64_t sys_write(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return !file ? -EBADF
                 : on_file(file, write_from_user(file, arguments->at[1], arguments->at[2], NULL));
}

static int64_t at_offset(const struct arguments *arguments, transfer *move)
{
    uint64_t offset = arguments->at[3];
    if ((int64_t)offset < 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    return on_file(
        file, file->operations->stream ? -ESPIPE : move(file, arguments->at[1], arguments->at[2], &offset));
}

int64_t sys_pread64(const struct arguments *arguments)
{
    return at_offset(arguments, read_to_user);
}

int64_t sys_pwrite64(const struct arguments *arguments)
{
    return at_offset(arguments, write_from_user);
}

static int64_t vector_call(const struct arguments *arguments, transfer *move, uint64_t *offset, uint32_t flags)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    return on_file(file, offset && file->operations->stream
                             ? -ESPIPE
                             : transfer_vectors(file, arguments->at[1], arguments->at[2], move, offset, flags));
}

int64_t sys_readv(const struct arguments *arguments)
{
    return vector_call(arguments, read_to_user, NULL, 0);
}

int64_t sys_writev(const struct arguments *arguments)
{
    return vector_call(arguments, write_from_user, NULL, 0);
}

static int64_t vector_at(const struct arguments *arguments, transfer *move, uint32_t flags)
{
    uint64_t offset = arguments->at[3];
    return (int64_t)offset < 0 ? -EINVAL : vector_call(arguments, move, &offset, flags);
}

int64_t sys_preadv(const struct arguments *arguments)
{
    return vector_at(arguments, read_to_user, 0);
}

int64_t sys_pwritev(const struct arguments *arguments)
{
    return vector_at(arguments, write_from_user, 0);
}

/* Offset -1: the file's own position. */
static int64_t vector_flags(const struct arguments *arguments, transfer *move)
{
    uint32_t flags = (uint32_t)arguments->at[5];
    return (int64_t)arguments->at[3] == -1 ? vector_call(arguments, move, NULL, flags) : vector_at(arguments, move, flags);
}

int64_t sys_preadv2(const struct arguments *arguments)
{
    return vector_flags(arguments, read_to_user);
}

int64_t sys_pwritev2(const struct arguments *arguments)
{
    return vector_flags(arguments, write_from_user);
}

enum whence { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 };

static int64_t seek_to(struct file *file, int64_t offset, uint32_t whence)
{
    bool needs_size = is_regular(file->inode) && whence >= SEEK_END;
    int64_t size = needs_size ? (int64_t)size_now_of(file->inode) : 0;
    int64_t position;
    switch (whence) {
    case SEEK_SET:
        position = offset;
        break;
    case SEEK_CUR:
        position = __builtin_add_overflow((int64_t)file->position, offset, &position) ? -1 : position;
        break;
    case SEEK_END:
        position = __builtin_add_overflow(size, offset, &position) ? -1 : position;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        if (!is_regular(file->inode)) {
            return -EINVAL;
        }
        if (offset < 0 || offset >= size) {
            return -ENXIO;
        }
        if (file->operations->seek) {
            return file->operations->seek(file, (uint64_t)offset, whence == SEEK_HOLE);
        }
        return whence == SEEK_DATA ? offset : size; /* no holes are known, as lseek(2) allows */
    default:
        return -EINVAL;
    }
    return position < 0 ? -EINVAL : position;
}

int64_t sys_lseek(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result;
    if ((uint32_t)arguments->at[2] > SEEK_HOLE) {
        result = -EINVAL;
    } else if (file->operations->stands) {
        result = 0;
    } else if (file->operations->stream) {
        result = -ESPIPE;
    } else {
        mutex_lock(&file->position_lock);
        result = seek_to(file, (int64_t)arguments->at[1], (uint32_t)arguments->at[2]);
        if (result >= 0) {
            file->position = (uint64_t)result;
        }
        mutex_unlock(&file->position_lock);
    }
    return on_file(file, result);
}

/* 1: *leased has a lease that has to go first. */
static int64_t truncate_path(user_address path, uint64_t size, struct inode **leased)
{
    struct place place;
    int64_t result = at_begin(AT_FDCWD, path, WALK_FOLLOW, &place);
    if (result < 0) {
        return result;
    }
    struct inode *inode = place.inode;
    if (is_directory(inode)) {
        result = -EISDIR;
    } else if (!is_regular(inode) || !inode->operations->truncate) {
        result = -EINVAL;
    } else if ((result = inode_access(inode, MAY_WRITE)) == 0 && (result = lease_break(inode, O_WRONLY)) == 0 &&
               (result = limit_size(inode, size)) == 0) {
        result = inode->operations->truncate(inode, size);
        if (result == 0) {
            notify_place(&place, IN_MODIFY);
        }
    }
    *leased = result > 0 ? inode_get(inode) : NULL;
    at_end(&place);
    return result;
}

int64_t sys_truncate(const struct arguments *arguments)
{
    struct inode *leased;
    if ((int64_t)arguments->at[1] < 0) {
        return -EINVAL;
    }
    for (;;) {
        int64_t result = truncate_path(arguments->at[0], arguments->at[1], &leased);
        if (result <= 0) {
            return result;
        }
        result = lease_await(leased, O_WRONLY);
        inode_put(leased);
        if (result < 0) {
            return result;
        }
    }
}

int64_t sys_ftruncate(const struct arguments *arguments)
{
    if ((int64_t)arguments->at[1] < 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result = (file->flags & O_PATH) ? -EBADF : -EINVAL;
    if (is_writable(file) && is_regular(file->inode) && file->inode->operations->truncate) {
        namespace_lock();
        result = limit_size(file->inode, arguments->at[1]);
        if (result == 0) {
            result = file->inode->operations->truncate(file->inode, arguments->at[1]);
        }
        namespace_unlock();
        if (result == 0) {
            notify_file_changed(file, IN_MODIFY);
        }
    }
    return on_file(file, result);
}

/* vfs_fallocate() of Linux. */
static int64_t check_allocate(const struct file *file, uint32_t mode, int64_t offset, int64_t length)
{
    if (offset < 0 || length <= 0) {
        return -EINVAL;
    }
    if ((mode & FALLOC_FL_PUNCH_HOLE) && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
        return -EOPNOTSUPP;
    }
    if (!is_writable(file)) {
        return -EBADF;
    }
    switch (file->inode->mode & S_IFMT) {
    case S_IFIFO:
        return -ESPIPE;
    case S_IFDIR:
        return -EISDIR;
    case S_IFREG:
        break;
    default:
        return -ENODEV;
    }
    if (offset > INT64_MAX - length) {
        return -EFBIG;
    }
    if (!file->operations->allocate) {
        return -EOPNOTSUPP;
    }
    if (mode & FALLOC_FL_PUNCH_HOLE) {
        return is_sealed(file->inode, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) ? -EPERM : 0;
    }
    return limit_size(file->inode, (uint64_t)offset + (uint64_t)length);
}

static int64_t allocate_range(struct file *file, uint32_t mode, uint64_t offset, uint64_t length)
{
    int64_t result = check_allocate(file, mode, (int64_t)offset, (int64_t)length);
    if (result == 0) {
        result = file->operations->allocate(file, mode, offset, length);
    }
    if (result == 0) {
        notify_file(file, IN_MODIFY);
    }
    return result;
}

int64_t file_punch_hole(struct file *file, uint64_t offset, uint64_t length)
{
    return allocate_range(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int64_t sys_fallocate(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    return on_file(file, allocate_range(file, (uint32_t)arguments->at[1], arguments->at[2], arguments->at[3]));
}

/* Nothing is read before it is asked for; the checks are Linux's. */
int64_t sys_readahead(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file || !is_readable(file)) {
        file_put(file);
        return -EBADF;
    }
    return on_file(file, is_regular(file->inode) ? 0 : -EINVAL);
}

#define FADVISE_LAST 5U /* POSIX_FADV_NOREUSE */

int64_t sys_fadvise64(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    bool is_pipe = (file->inode->mode & S_IFMT) == S_IFIFO;
    bool is_valid = (int64_t)arguments->at[2] >= 0 && (uint32_t)arguments->at[3] <= FADVISE_LAST;
    return on_file(file, is_pipe ? -ESPIPE : is_valid ? 0 : -EINVAL);
}
