#include "fs/file_transfer.h"

#include "fs/buffer.h"
#include "fs/notify.h"
#include "fs/poller.h"
#include "fs/seal.h"
#include "signal/signal.h"

/* Small transfers need no large buffer, and the smallest none of a pool, which costs two locks. */
#define FEW_BYTES 256U

#define TRANSFER_MAX 0x7FFFF000ULL /* MAX_RW_COUNT of Linux */

static struct buffer_pool *pool_for(uint64_t length)
{
    return length <= FEW_BYTES ? NULL : length <= PATH_BUFFER_SIZE ? &path_buffers : &data_buffers;
}

static size_t part_of(uint64_t length)
{
    return length < EXCHANGE_DATA_SIZE ? (size_t)length : EXCHANGE_DATA_SIZE;
}

static int64_t look_for_input(void *file, struct poller *poller)
{
    return file_poll(file, POLLIN, poller);
}

/* What Linux asks before it asks the file (vfs_read(), vfs_write()). */
static bool are_possible(const struct pieces *pieces)
{
    bool is_possible = true;
    for (size_t at = 0; at < pieces->count && is_possible; at++) {
        is_possible = user_range_is_possible(pieces->vector[at].base, pieces->vector[at].length);
    }
    return is_possible;
}

/* Who has no room for what comes hears of that when there is something, and it is not lost to him. 0: nothing will come, so no room is needed. */
static int64_t await_input(struct file *file)
{
    int64_t events = poll_until(look_for_input, file, (file->flags & O_NONBLOCK) ? 0 : NO_TIMEOUT);
    return events < 0 ? events : events == 0 ? -EAGAIN : events & POLLIN ? -EFAULT : 0;
}

static int64_t read_pieces(struct file *file, const struct pieces *to, uint64_t *offset)
{
    uint64_t total = to->total;
    uint64_t room = file->operations->stream ? writable_length(to, EXCHANGE_DATA_SIZE) : total;
    if (room < part_of(total)) {
        if (file->operations->vector) {
            return file->operations->vector(file, to->vector, to->count, false);
        }
        int64_t result = room > 0 ? 0 : await_input(file);
        if (result < 0) {
            return result;
        }
        total = room > 0 && (file->inode->mode & S_IFMT) == S_IFIFO ? room : total; /* what there is no room for stays in the pipe */
    }
    uint8_t few[FEW_BYTES];
    struct buffer_pool *pool = pool_for(total);
    void *buffer = pool ? buffer_take(pool) : few;
    if (!buffer) {
        return -ENOMEM;
    }
    uint64_t done = 0;
    int64_t result;
    do {
        size_t part = part_of(total - done);
        uint64_t before = *offset;
        result = file->operations->read(file, buffer, part, offset);
        if (result <= 0) {
            break;
        }
        size_t taken = copy_some_to_pieces(to, done, buffer, (size_t)result);
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
    } while (done < total && !file->operations->stream);
    if (pool) {
        buffer_give(pool, buffer);
    }
    return done > 0 ? (int64_t)done : result;
}

/* RLIMIT_FSIZE and seals: cut the length of a write to a regular file; -EFBIG and SIGXFSZ, or -EPERM, where nothing may be written. */
static int64_t limit_write(const struct file *file, uint64_t offset, uint64_t *length)
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

/* While somebody writes to a regular file, nobody else does (generic_file_write_iter() of Linux): what one call writes stays together, and the end of
 * the file, which limits are about, is where it goes. */
static struct mutex *writing_of(const struct file *file)
{
    return file->operations->writing ? file->operations->writing(file) : &file->inode->writing;
}

static void writing_begin(struct file *file)
{
    if (is_regular(file->inode)) {
        mutex_lock(writing_of(file));
    }
}

static void writing_end(struct file *file)
{
    if (is_regular(file->inode)) {
        mutex_unlock(writing_of(file));
    }
}

int64_t write_within_limits(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    uint64_t allowed = length;
    writing_begin(file);
    int64_t result = limit_write(file, *offset, &allowed);
    result = result < 0 ? result : file->operations->write(file, from, (size_t)allowed, offset);
    writing_end(file);
    return result;
}

/* Of memory that ends too early: files take all that there is (generic_perform_write() of Linux), pipes whole pages (pipe_write()). */
static size_t usable_part(const struct file *file, size_t given, size_t part)
{
    return given == part || has_pages(file) ? given : PAGE_DOWN(given);
}

static int64_t look_for_output(void *file, struct poller *poller)
{
    return file_poll(file, POLLOUT, poller);
}

/* Memory that cannot be read is told of when something could be written (pipe_write() of Linux). */
static int64_t refuse_memory(struct file *file, const struct pieces *from)
{
    if (!file->operations->stream) {
        return -EFAULT;
    }
    if (file->operations->vector) { /* a socket knows what is told first */
        return file->operations->vector(file, from->vector, from->count, true);
    }
    int64_t events = poll_until(look_for_output, file, (file->flags & O_NONBLOCK) ? 0 : NO_TIMEOUT);
    bool has_no_reader = events > 0 && (events & POLLERR) && (file->inode->mode & S_IFMT) == S_IFIFO;
    if (has_no_reader) {
        signal_send_current(SIGPIPE);
    }
    return events < 0 ? events : events == 0 ? -EAGAIN : has_no_reader ? -EPIPE : -EFAULT;
}

static int64_t write_parts(struct file *file, const struct pieces *from, uint64_t length, void *buffer, uint64_t *offset)
{
    uint64_t done = 0;
    int64_t result;
    do {
        size_t part = part_of(length - done);
        size_t given = usable_part(file, copy_some_from_pieces(buffer, from, done, part), part);
        result = given > 0 || part == 0 ? file->operations->write(file, buffer, given, offset) : done > 0 ? -EFAULT : refuse_memory(file, from);
        if (result <= 0) {
            break;
        }
        done += (uint64_t)result;
        if ((size_t)result < part) {
            break;
        }
    } while (done < length);
    return done > 0 ? (int64_t)done : result;
}

static int64_t write_pieces(struct file *file, const struct pieces *from, uint64_t *offset)
{
    uint8_t few[FEW_BYTES];
    struct buffer_pool *pool = pool_for(from->total);
    void *buffer = pool ? buffer_take(pool) : few;
    if (!buffer) {
        return -ENOMEM;
    }
    uint64_t length = from->total;
    writing_begin(file);
    int64_t result = limit_write(file, *offset, &length);
    result = result < 0 ? result : write_parts(file, from, length, buffer, offset);
    writing_end(file);
    if (pool) {
        buffer_give(pool, buffer);
    }
    return result;
}

typedef int64_t move_pieces(struct file *file, const struct pieces *pieces, uint64_t *offset);

/* With the file's own position, calls on one open file take turns; streams have none. */
static int64_t with_position(struct file *file, move_pieces *move, const struct pieces *pieces, uint64_t *offset)
{
    bool is_message = move == write_pieces && file->operations->vector; /* may be empty */
    if (pieces->total == 0 && !is_message) {
        return 0;
    }
    if (offset && (int64_t)pieces->total > 0 && (int64_t)(*offset + pieces->total) < 0) {
        return -EINVAL; /* rw_verify_area() of Linux */
    }
    const struct pieces moved = {
        .vector = pieces->vector, .count = pieces->count, .total = pieces->total < TRANSFER_MAX ? pieces->total : TRANSFER_MAX};
    if (offset) {
        return move(file, &moved, offset);
    }
    if (file->operations->stream) {
        uint64_t none = 0;
        return move(file, &moved, &none);
    }
    mutex_lock(&file->position_lock);
    int64_t result = move(file, &moved, &file->position);
    mutex_unlock(&file->position_lock);
    return result;
}

/* Of the calling thread: nobody else counts there. */
static void count_transfer(uint64_t *bytes, uint64_t *calls, int64_t result)
{
    __atomic_store_n(bytes, *bytes + (result > 0 ? (uint64_t)result : 0), __ATOMIC_RELAXED);
    __atomic_store_n(calls, *calls + 1, __ATOMIC_RELAXED);
}

static int64_t read_all(struct file *file, const struct pieces *to, uint64_t *offset)
{
    if (!is_readable(file)) {
        return -EBADF;
    }
    if (!file->operations->read && !is_directory(file->inode)) {
        return -EINVAL;
    }
    if (!are_possible(to)) {
        return -EFAULT;
    }
    if (!file->operations->read) {
        return -EISDIR;
    }
    if (to->total < file->operations->least_read) {
        return -EINVAL;
    }
    int64_t result = with_position(file, read_pieces, to, offset);
    count_transfer(&current_task()->io.read_bytes, &current_task()->io.reads, result);
    if (result > 0) {
        notify_file(file, IN_ACCESS);
    }
    return result;
}

static int64_t write_all(struct file *file, const struct pieces *from, uint64_t *offset)
{
    if (!is_writable(file)) {
        return -EBADF;
    }
    if (!file->operations->write) {
        return -EINVAL;
    }
    if (!are_possible(from)) {
        return -EFAULT;
    }
    int64_t result = with_position(file, write_pieces, from, offset);
    count_transfer(&current_task()->io.written_bytes, &current_task()->io.writes, result);
    if (result > 0) {
        notify_file(file, IN_MODIFY);
    }
    return result;
}

int64_t read_to_user(struct file *file, user_address to, uint64_t length, uint64_t *offset)
{
    const struct iovec piece = {.base = to, .length = length};
    return read_all(file, &(struct pieces){.vector = &piece, .count = 1, .total = length}, offset);
}

int64_t write_from_user(struct file *file, user_address from, uint64_t length, uint64_t *offset)
{
    const struct iovec piece = {.base = from, .length = length};
    return write_all(file, &(struct pieces){.vector = &piece, .count = 1, .total = length}, offset);
}

/* kiocb_set_rw_flags() of Linux. What waits cannot be asked not to for one call; nor can one write append. */
int64_t check_transfer_flags(const struct file *file, uint32_t flags)
{
    bool is_known = (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT)) == 0;
    return is_known && !((flags & RWF_NOWAIT) && file->operations->stream) ? 0 : -EOPNOTSUPP;
}

int64_t after_transfer(struct file *file, uint32_t flags, int64_t result)
{
    if (result <= 0 || (flags & (RWF_DSYNC | RWF_SYNC)) == 0 || !file->operations->sync) {
        return result;
    }
    int64_t error = file->operations->sync(file);
    return error < 0 ? error : result;
}

static int64_t read_each(struct file *file, const struct iovec *vector, size_t count, uint64_t *offset)
{
    uint64_t done = 0;
    int64_t result = 0;
    for (size_t at = 0; at < count && result >= 0; at++) {
        result = read_to_user(file, vector[at].base, vector[at].length, offset);
        done += result > 0 ? (uint64_t)result : 0;
        if (result >= 0 && (uint64_t)result < vector[at].length) {
            break;
        }
    }
    return done > 0 ? (int64_t)done : result;
}

int64_t transfer_vectors(
    struct file *file, user_address from, uint64_t count, transfer *move, uint64_t *offset, uint32_t flags)
{
    struct iovec few[8];
    struct iovec *vector = few;
    bool writes = move == write_from_user;
    if (!(writes ? is_writable(file) : is_readable(file))) {
        return -EBADF;
    }
    const struct file_operations *operations = file->operations;
    bool is_able = operations->vector || (writes ? operations->write != NULL : operations->read || is_directory(file->inode));
    if (!is_able || count > IOV_MAX) {
        return -EINVAL;
    }
    if (count > ARRAY_LENGTH(few) && !(vector = allocate(count * sizeof(struct iovec)))) {
        return -ENOMEM;
    }
    int64_t result = iovec_import(vector, from, count);
    int64_t error = result < 0 ? result : check_transfer_flags(file, flags);
    if (error < 0) {
        result = error;
    } else if (result > 0 && file->operations->vector) { /* of nothing nobody is asked: do_iter_write() */
        result = file->operations->vector(file, vector, count, writes);
    } else if (result > 0 && !writes && file->operations->reads_by_piece) {
        result = read_each(file, vector, (size_t)count, offset);
    } else if (result > 0) {
        const struct pieces pieces = {.vector = vector, .count = (size_t)count, .total = (uint64_t)result};
        result = (writes ? write_all : read_all)(file, &pieces, offset);
    }
    if (vector != few) {
        release(vector, count * sizeof(struct iovec));
    }
    return writes ? after_transfer(file, flags, result) : result;
}
