#include "fs/call_support.h"

#define RWF_FLAGS 0x1FU
#define RWF_APPEND 0x10U

static int64_t on_file(struct file *file, int64_t result)
{
    file_put(file);
    return result;
}

int64_t sys_read(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return file == NULL ? -EBADF
                        : on_file(file, read_to_user(file, arguments->at[1], arguments->at[2], NULL));
}

int64_t sys_write(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return file == NULL ? -EBADF
                        : on_file(file, write_from_user(file, arguments->at[1], arguments->at[2], NULL));
}

typedef int64_t transfer(struct file *file, user_address address, uint64_t length, uint64_t *offset);

static int64_t at_offset(const struct arguments *arguments, transfer *piece)
{
    uint64_t offset = arguments->at[3];
    if ((int64_t)offset < 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    return on_file(
        file, file->operations->stream ? -ESPIPE : piece(file, arguments->at[1], arguments->at[2], &offset));
}

int64_t sys_pread64(const struct arguments *arguments)
{
    return at_offset(arguments, read_to_user);
}

int64_t sys_pwrite64(const struct arguments *arguments)
{
    return at_offset(arguments, write_from_user);
}

/* Piece by piece; stops at a short one. A pipe's writes are atomic up to 4 KiB: those are gathered first. */
static int64_t transfer_vector(
    struct file *file, transfer *piece, const struct iovec *vector, size_t count, uint64_t *offset)
{
    int64_t done = 0;
    for (size_t at = 0; at < count; at++) {
        if (vector[at].length == 0) {
            continue;
        }
        int64_t result = piece(file, vector[at].base, vector[at].length, offset);
        if (result < 0) {
            return done > 0 ? done : result;
        }
        done += result;
        if ((uint64_t)result < vector[at].length || (file->operations->stream && piece == read_to_user)) {
            break;
        }
    }
    return done;
}

static int64_t write_gathered(struct file *file, const struct iovec *vector, size_t count)
{
    uint8_t *buffer = buffer_take(&path_buffers);
    size_t length = 0;
    uint64_t none = 0;
    int64_t result = buffer == NULL ? -ENOMEM : 0;
    for (size_t at = 0; at < count && result == 0; at++) {
        result = copy_from_user(buffer + length, vector[at].base, (size_t)vector[at].length);
        length += (size_t)vector[at].length;
    }
    if (result == 0) {
        result = file->operations->write(file, buffer, length, &none);
    }
    buffer_give(&path_buffers, buffer);
    return result;
}

static int64_t vector_call(
    int64_t descriptor, user_address from, uint64_t count, transfer *piece, uint64_t *offset)
{
    struct iovec few[8];
    struct iovec *vector = few;
    if (count > IOV_MAX) {
        return -EINVAL;
    }
    if (count > ARRAY_LENGTH(few) && (vector = allocate(count * sizeof(struct iovec))) == NULL) {
        return -ENOMEM;
    }
    struct file *file = file_of_descriptor((int32_t)descriptor);
    int64_t result = file == NULL ? -EBADF : iovec_import(vector, from, count);
    if (result >= 0 && offset != NULL && file->operations->stream) {
        result = -ESPIPE;
    }
    if (result >= 0 && file->operations->vector != NULL) {
        result = file->operations->vector(file, vector, count, piece == write_from_user);
    } else if (result >= 0) {
        bool gather = piece == write_from_user && file->operations->stream &&
                      result <= (int64_t)PATH_BUFFER_SIZE && count > 1 && is_writable(file) &&
                      file->operations->write != NULL;
        result = gather ? write_gathered(file, vector, count)
                        : transfer_vector(file, piece, vector, count, offset);
    }
    file_put(file);
    if (vector != few) {
        release(vector, count * sizeof(struct iovec));
    }
    return result;
}

int64_t sys_readv(const struct arguments *arguments)
{
    return vector_call((int64_t)arguments->at[0], arguments->at[1], arguments->at[2], read_to_user, NULL);
}

int64_t sys_writev(const struct arguments *arguments)
{
    return vector_call((int64_t)arguments->at[0], arguments->at[1], arguments->at[2], write_from_user, NULL);
}

static int64_t vector_at(const struct arguments *arguments, transfer *piece)
{
    uint64_t offset = arguments->at[3];
    if ((int64_t)offset < 0) {
        return -EINVAL;
    }
    return vector_call((int64_t)arguments->at[0], arguments->at[1], arguments->at[2], piece, &offset);
}

int64_t sys_preadv(const struct arguments *arguments)
{
    return vector_at(arguments, read_to_user);
}

int64_t sys_pwritev(const struct arguments *arguments)
{
    return vector_at(arguments, write_from_user);
}

/* Offset -1: the file's own position. */
static int64_t vector_flags(const struct arguments *arguments, transfer *piece)
{
    uint64_t flags = arguments->at[5];
    if ((flags & ~(uint64_t)RWF_FLAGS) != 0 || (flags & RWF_APPEND) != 0) {
        return -EOPNOTSUPP;
    }
    if ((int64_t)arguments->at[3] == -1) {
        return vector_call((int64_t)arguments->at[0], arguments->at[1], arguments->at[2], piece, NULL);
    }
    return vector_at(arguments, piece);
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

static int64_t seek_to(const struct file *file, int64_t offset, uint32_t whence)
{
    int64_t size =
        is_regular(file->inode) ? (int64_t)__atomic_load_n(&file->inode->size, __ATOMIC_ACQUIRE) : 0;
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
    case SEEK_DATA: /* no holes, as lseek(2) allows */
        return offset < 0 || offset >= size ? -ENXIO : offset;
    case SEEK_HOLE:
        return offset < 0 || offset >= size ? -ENXIO : size;
    default:
        return -EINVAL;
    }
    return position < 0 ? -EINVAL : position;
}

int64_t sys_lseek(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result;
    if (file->flags & O_PATH) {
        result = -EBADF;
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

enum ioctl_request { FIONREAD = 0x541B, FIONBIO = 0x5421, FIONCLEX = 0x5450, FIOCLEX = 0x5451 };

static int64_t ioctl_file(struct file *file, int64_t descriptor, uint32_t request, user_address argument)
{
    int32_t value = 0;
    switch (request) {
    case FIONCLEX:
    case FIOCLEX:
        return descriptor_set_flags(descriptor, request == FIOCLEX);
    case FIONBIO:
        if (copy_from_user(&value, argument, sizeof(value)) < 0) {
            return -EFAULT;
        }
        file->flags = value != 0 ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK;
        return 0;
    case FIONREAD:
        if (is_regular(file->inode)) {
            value = (int32_t)(file->inode->size - file->position);
            return copy_to_user(argument, &value, sizeof(value));
        }
        break;
    default:
        break;
    }
    return file->operations->ioctl != NULL ? file->operations->ioctl(file, request, argument) : -ENOTTY;
}

int64_t sys_ioctl(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    if (file->flags & O_PATH) {
        return on_file(file, -EBADF);
    }
    return on_file(
        file, ioctl_file(file, (int32_t)arguments->at[0], (uint32_t)arguments->at[1], arguments->at[2]));
}

/* Copies between two files inside the enclave. NULL offset: the file's own position. */
static int64_t copy_between(
    struct file *from, uint64_t *from_offset, struct file *to, uint64_t *to_offset, uint64_t length)
{
    uint8_t *buffer = buffer_take(&data_buffers);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    uint64_t done = 0;
    int64_t result = 0;
    while (done < length) {
        size_t part = length - done < EXCHANGE_DATA_SIZE ? (size_t)(length - done) : EXCHANGE_DATA_SIZE;
        uint64_t before = *from_offset;
        result = from->operations->read(from, buffer, part, from_offset);
        if (result <= 0) {
            break;
        }
        int64_t got = result;
        uint64_t allowed = (uint64_t)got;
        result = limit_write(to, *to_offset, &allowed);
        if (result == 0) {
            result = to->operations->write(to, buffer, (size_t)allowed, to_offset);
        }
        if (result < 0) {
            *from_offset = before;
            break;
        }
        *from_offset = before + (uint64_t)result;
        done += (uint64_t)result;
        if (result < got) {
            break;
        }
    }
    buffer_give(&data_buffers, buffer);
    return done > 0 ? (int64_t)done : result;
}

static int64_t offset_from_user(user_address from, uint64_t *own, uint64_t *offset)
{
    if (from == 0) {
        *offset = *own;
        return 0;
    }
    if (copy_from_user(offset, from, sizeof(*offset)) < 0) {
        return -EFAULT;
    }
    return (int64_t)*offset < 0 ? -EINVAL : 0;
}

static int64_t offset_to_user(user_address to, uint64_t *own, uint64_t offset)
{
    if (to == 0) {
        *own = offset;
        return 0;
    }
    return copy_to_user(to, &offset, sizeof(offset));
}

/* sendfile and copy_file_range. */
static int64_t copy_call(int64_t from_descriptor, user_address from_user, int64_t to_descriptor,
    user_address to_user, uint64_t length)
{
    struct file *from = file_of_descriptor((int32_t)from_descriptor);
    struct file *to = file_of_descriptor((int32_t)to_descriptor);
    uint64_t from_offset, to_offset;
    int64_t result = 0;
    if (from == NULL || to == NULL || !is_readable(from) || !is_writable(to)) {
        result = -EBADF;
    } else if (from->operations->read == NULL || to->operations->write == NULL || from->operations->stream) {
        result = -EINVAL;
    } else if ((result = offset_from_user(from_user, &from->position, &from_offset)) == 0) {
        result = offset_from_user(to_user, &to->position, &to_offset);
    }
    if (result == 0) {
        result = copy_between(from, &from_offset, to, &to_offset, length);
    }
    if (result > 0) {
        if (offset_to_user(from_user, &from->position, from_offset) < 0 ||
            offset_to_user(to_user, &to->position, to_offset) < 0) {
            result = -EFAULT;
        }
    }
    file_put(from);
    file_put(to);
    return result;
}

int64_t sys_sendfile(const struct arguments *arguments)
{
    return copy_call(
        (int64_t)arguments->at[1], arguments->at[2], (int64_t)arguments->at[0], 0, arguments->at[3]);
}

int64_t sys_copy_file_range(const struct arguments *arguments)
{
    if (arguments->at[5] != 0) {
        return -EINVAL;
    }
    return copy_call((int64_t)arguments->at[0], arguments->at[1], (int64_t)arguments->at[2], arguments->at[3],
        arguments->at[4]);
}

int64_t sys_truncate(const struct arguments *arguments)
{
    struct place place;
    if ((int64_t)arguments->at[1] < 0) {
        return -EINVAL;
    }
    int64_t result = at_begin(AT_FDCWD, arguments->at[0], WALK_FOLLOW, &place);
    if (result < 0) {
        return result;
    }
    struct inode *inode = place.inode;
    if (is_directory(inode)) {
        result = -EISDIR;
    } else if (!is_regular(inode) || inode->operations->truncate == NULL) {
        result = -EINVAL;
    } else if ((result = inode_access(inode, MAY_WRITE)) == 0 && (result = limit_size(inode, arguments->at[1])) == 0) {
        result = inode->operations->truncate(inode, arguments->at[1]);
    }
    at_end(&place);
    return result;
}

int64_t sys_ftruncate(const struct arguments *arguments)
{
    if ((int64_t)arguments->at[1] < 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = -EINVAL;
    if (is_writable(file) && is_regular(file->inode) && file->inode->operations->truncate != NULL) {
        namespace_lock();
        result = limit_size(file->inode, arguments->at[1]);
        if (result == 0) {
            result = file->inode->operations->truncate(file->inode, arguments->at[1]);
        }
        namespace_unlock();
    }
    return on_file(file, result);
}

int64_t sys_fallocate(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t offset = (int64_t)arguments->at[2], length = (int64_t)arguments->at[3];
    int64_t result;
    if (offset < 0 || length <= 0) {
        result = -EINVAL;
    } else if (!is_writable(file)) {
        result = -EBADF;
    } else if (file->operations->allocate == NULL) {
        result = file->operations->stream ? -ESPIPE : -ENODEV;
    } else if ((uint64_t)offset > UINT64_MAX / 2 - (uint64_t)length) {
        result = -EFBIG;
    } else if ((result = limit_size(file->inode, (uint64_t)offset + (uint64_t)length)) == 0) {
        result =
            file->operations->allocate(file, (uint32_t)arguments->at[1], (uint64_t)offset, (uint64_t)length);
    }
    return on_file(file, result);
}

int64_t sys_fsync(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    bool holds_data = is_regular(file->inode) || is_directory(file->inode);
    int64_t result = (file->flags & O_PATH) ? -EBADF : holds_data ? 0 : -EINVAL;
    if (result == 0 && file->operations->sync != NULL) {
        result = file->operations->sync(file);
    }
    return on_file(file, result);
}

int64_t sys_fdatasync(const struct arguments *arguments)
{
    return sys_fsync(arguments);
}

int64_t sys_sync(const struct arguments *arguments)
{
    (void)arguments;
    return 0;
}

int64_t sys_syncfs(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return file == NULL ? -EBADF : on_file(file, 0);
}

int64_t sys_fadvise64(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return file == NULL ? -EBADF : on_file(file, file->operations->stream ? -ESPIPE : 0);
}
