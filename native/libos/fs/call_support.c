#include "fs/call_support.h"

#include "fs/notify.h"
#include "fs/seal.h"
#include "signal/signal.h"

int64_t path_from_user(user_address from, char **path)
{
    *path = buffer_take(&path_buffers);
    if (*path == NULL) {
        return -ENOMEM;
    }
    int64_t result = strncpy_from_user(*path, from, PATH_BUFFER_SIZE);
    if (result < 0) {
        buffer_give(&path_buffers, *path);
        *path = NULL;
        return result;
    }
    return 0;
}

int64_t at_begin(int64_t descriptor, user_address from, uint32_t flags, struct place *place)
{
    char *path;
    struct inode *start;
    int64_t result = path_from_user(from, &path);
    if (result < 0) {
        return result;
    }
    result = start_of(descriptor, path, &start);
    if (result == 0) {
        namespace_lock();
        result = path_walk(start, path, flags, place);
        if (result < 0) {
            namespace_unlock();
        }
        inode_put(start);
    }
    buffer_give(&path_buffers, path);
    return result;
}

void at_end(struct place *place)
{
    place_release(place);
    namespace_unlock();
}

int64_t install(struct file *file, bool close_on_exec)
{
    int64_t result = descriptor_add(file, 0, close_on_exec);
    if (result < 0) {
        file_put(file);
    }
    return result;
}

int64_t install_two(struct file *files[2], bool close_on_exec, user_address to)
{
    int32_t descriptors[2];
    int64_t result = install(files[0], close_on_exec);
    if (result < 0) {
        file_put(files[1]);
        return result;
    }
    descriptors[0] = (int32_t)result;
    result = install(files[1], close_on_exec);
    if (result >= 0) {
        descriptors[1] = (int32_t)result;
        result = copy_to_user(to, descriptors, sizeof(descriptors));
        if (result < 0) {
            descriptor_close(descriptors[1]);
        }
    }
    if (result < 0) {
        descriptor_close(descriptors[0]);
    }
    return result;
}

/* Small transfers need no large buffer, and the smallest none of a pool, which costs two locks. */
#define FEW_BYTES 256U

static struct buffer_pool *pool_for(uint64_t length)
{
    return length <= FEW_BYTES ? NULL : length <= PATH_BUFFER_SIZE ? &path_buffers : &data_buffers;
}

static size_t piece_of(uint64_t length)
{
    return length < EXCHANGE_DATA_SIZE ? (size_t)length : EXCHANGE_DATA_SIZE;
}

#define TRANSFER_MAX 0x7FFFF000ULL /* MAX_RW_COUNT of Linux */

static int64_t read_pieces(struct file *file, user_address to, uint64_t length, uint64_t *offset)
{
    if (file->operations->stream && length > 0 && !user_is_writable(to)) {
        return -EFAULT; /* before the bytes are gone */
    }
    uint8_t few[FEW_BYTES];
    struct buffer_pool *pool = pool_for(length);
    void *buffer = pool != NULL ? buffer_take(pool) : few;
    if (buffer == NULL) {
        return -ENOMEM;
    }
    uint64_t done = 0;
    int64_t result;
    do {
        size_t part = piece_of(length - done);
        uint64_t before = *offset;
        result = file->operations->read(file, buffer, part, offset);
        if (result <= 0) {
            break;
        }
        size_t taken = copy_some_to_user(to + done, buffer, (size_t)result);
        if (taken < (size_t)result) {
            taken = file->operations->stream ? 0 : taken; /* filemap_read(), seq_read_iter() of Linux; each stream has a rule of its own */
            done += taken;
            *offset = before + taken;
            result = -EFAULT;
            break;
        }
        done += taken;
        if (taken < part) {
            break;
        }
    } while (done < length && !file->operations->stream);
    if (pool != NULL) {
        buffer_give(pool, buffer);
    }
    return done > 0 ? (int64_t)done : result;
}

int64_t limit_write(const struct file *file, uint64_t offset, uint64_t *length)
{
    uint64_t limit = resource_limit(RLIMIT_FSIZE);
    if (!is_regular(file->inode)) {
        return 0;
    }
    uint64_t at = file->flags & O_APPEND ? size_now_of(file->inode) : offset;
    if (at >= limit) {
        signal_send_current(SIGXFSZ);
        return -EFBIG;
    }
    *length = limit - at < *length ? limit - at : *length;
    return seals_limit_write(file->inode, at, length);
}

int64_t limit_size(const struct inode *inode, uint64_t size)
{
    if (size > resource_limit(RLIMIT_FSIZE) && size > __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE)) {
        signal_send_current(SIGXFSZ);
        return -EFBIG;
    }
    return seals_check_size(inode, size);
}

/* generic_perform_write() of Linux. */
static bool writes_in_part(const struct file *file)
{
    return is_regular(file->inode) && !file->operations->stream && !file->operations->generated;
}

static int64_t write_pieces(struct file *file, user_address from, uint64_t length, uint64_t *offset)
{
    int64_t refusal = limit_write(file, *offset, &length);
    if (refusal != 0) {
        return refusal;
    }
    uint8_t few[FEW_BYTES];
    struct buffer_pool *pool = pool_for(length);
    void *buffer = pool != NULL ? buffer_take(pool) : few;
    if (buffer == NULL) {
        return -ENOMEM;
    }
    uint64_t done = 0;
    int64_t result;
    do {
        size_t part = piece_of(length - done);
        size_t given = copy_some_from_user(buffer, from + done, part);
        result = given == part || (given > 0 && writes_in_part(file)) ? file->operations->write(file, buffer, given, offset) : -EFAULT;
        if (result <= 0) {
            break;
        }
        done += (uint64_t)result;
        if ((size_t)result < part) {
            break;
        }
    } while (done < length);
    if (pool != NULL) {
        buffer_give(pool, buffer);
    }
    return done > 0 ? (int64_t)done : result;
}

typedef int64_t transfer(struct file *file, user_address address, uint64_t length, uint64_t *offset);

/* With the file's own position, calls on one open file take turns; streams have none. */
static int64_t with_position(
    struct file *file, transfer *pieces, user_address address, uint64_t length, uint64_t *offset)
{
    bool is_message = pieces == write_pieces && file->operations->vector != NULL; /* may be empty */
    if (length == 0 && !is_message) {
        return 0;
    }
    if (offset != NULL && (int64_t)length > 0 && (int64_t)(*offset + length) < 0) {
        return -EINVAL; /* rw_verify_area() of Linux */
    }
    length = length < TRANSFER_MAX ? length : TRANSFER_MAX;
    if (offset != NULL) {
        return pieces(file, address, length, offset);
    }
    if (file->operations->stream) {
        uint64_t none = 0;
        return pieces(file, address, length, &none);
    }
    mutex_lock(&file->position_lock);
    int64_t result = pieces(file, address, length, &file->position);
    mutex_unlock(&file->position_lock);
    return result;
}

static void count_transfer(uint64_t *bytes, uint64_t *calls, int64_t result)
{
    __atomic_fetch_add(bytes, result > 0 ? (uint64_t)result : 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
}

int64_t read_to_user(struct file *file, user_address to, uint64_t length, uint64_t *offset)
{
    if (!is_readable(file)) {
        return -EBADF;
    }
    if (file->operations->read == NULL) {
        return is_directory(file->inode) ? -EISDIR : -EINVAL;
    }
    int64_t result = with_position(file, read_pieces, to, length, offset);
    count_transfer(&current_process()->io.read_bytes, &current_process()->io.reads, result);
    if (result > 0) {
        notify_file(file, IN_ACCESS);
    }
    return result;
}

int64_t write_from_user(struct file *file, user_address from, uint64_t length, uint64_t *offset)
{
    if (!is_writable(file)) {
        return -EBADF;
    }
    if (file->operations->write == NULL) {
        return -EINVAL;
    }
    int64_t result = with_position(file, write_pieces, from, length, offset);
    count_transfer(&current_process()->io.written_bytes, &current_process()->io.writes, result);
    if (result > 0) {
        notify_file(file, IN_MODIFY);
    }
    return result;
}

int64_t optional_timeout(uint64_t *timeout_ns, user_address from)
{
    *timeout_ns = NO_TIMEOUT;
    return from == 0 ? 0 : timeout_from_user(timeout_ns, from);
}
