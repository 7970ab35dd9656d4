/* Calls that move data from file to file: sendfile, copy_file_range, splice, tee, vmsplice. Whatever goes through a pipe is
 * copied: pages are never shared with the application. */
#include "fs/call_support.h"
#include "fs/file_transfer.h"
#include "fs/notify.h"
#include "fs/pipe.h"
#include "signal/signal.h"

/* Where one side of a move is: with an offset of the caller's or the file's own position. */
struct side {
    struct file *file;
    user_address user;
    uint64_t offset;
};

static int64_t offset_from_user(struct side *side)
{
    if (side->user == 0) {
        side->offset = side->file ? side->file->position : 0;
        return 0;
    }
    return copy_from_user(&side->offset, side->user, sizeof(side->offset));
}

static int64_t offset_to_user(const struct side *side)
{
    if (side->user == 0) {
        side->file->position = side->file->operations->stream ? 0 : side->offset;
        return 0;
    }
    return copy_to_user(side->user, &side->offset, sizeof(side->offset));
}

static bool can_read(const struct file *file)
{
    return file && is_readable(file);
}

static bool can_write(const struct file *file)
{
    return file && is_writable(file);
}

/* Writes as write(2) does. */
static int64_t write_side(struct side *to, const void *from, size_t length)
{
    int64_t result = write_within_limits(to->file, from, length, &to->offset);
    if (result > 0) {
        notify_file(to->file, IN_MODIFY);
    }
    return result;
}

static int64_t read_side(struct side *from, void *to, size_t length)
{
    int64_t result = from->file->operations->read(from->file, to, length, &from->offset);
    if (result > 0) {
        notify_file(from->file, IN_ACCESS);
    }
    return result;
}

static size_t piece_of(uint64_t length)
{
    return length < EXCHANGE_DATA_SIZE ? (size_t)length : EXCHANGE_DATA_SIZE;
}

/* What could be read but not written is read again by the next call. */
static int64_t copy_between(struct side *from, struct side *to, uint64_t length)
{
    uint8_t *buffer = buffer_take(&data_buffers);
    if (!buffer) {
        return -ENOMEM;
    }
    uint64_t done = 0;
    int64_t result = 0;
    while (done < length) {
        uint64_t before = from->offset;
        int64_t got = result = read_side(from, buffer, piece_of(length - done));
        if (result > 0) {
            result = write_side(to, buffer, (size_t)got);
            from->offset = before + (result > 0 ? (uint64_t)result : 0);
        }
        if (result <= 0) {
            break;
        }
        done += (uint64_t)result;
        if (result < got) {
            break;
        }
    }
    buffer_give(&data_buffers, buffer);
    return done > 0 ? (int64_t)done : result;
}

/* do_sendfile() of Linux. */
static int64_t send_file(struct side *in, struct side *out, uint64_t length)
{
    if (!can_read(in->file)) {
        return -EBADF;
    }
    if (in->user != 0 && in->file->operations->stream) {
        return -ESPIPE;
    }
    if ((int64_t)in->offset < 0 || (int64_t)length < 0) {
        return -EINVAL;
    }
    if (!can_write(out->file)) {
        return -EBADF;
    }
    bool to_pipe = pipe_of(out->file) != NULL;
    if (!in->file->operations->read || in->file->operations->stream || is_directory(in->file->inode) ||
        !out->file->operations->write || (!to_pipe && (out->file->flags & O_APPEND))) {
        return -EINVAL;
    }
    return copy_between(in, out, length);
}

int64_t sys_sendfile(const struct arguments *arguments)
{
    struct side out = {.file = file_at(arguments, 0)};
    struct side in = {.file = file_at(arguments, 1), .user = arguments->at[2]};
    int64_t result = offset_from_user(&in) < 0 ? -EFAULT : 0;
    if (result == 0) {
        (void)offset_from_user(&out);
        result = send_file(&in, &out, arguments->at[3]);
        if (result > 0) {
            (void)offset_to_user(&out);
        }
        if ((in.user != 0 || result > 0) && offset_to_user(&in) < 0) {
            result = -EFAULT;
        }
    }
    file_put(in.file);
    file_put(out.file);
    return result;
}

static bool overlap(const struct side *in, const struct side *out, uint64_t length)
{
    return in->file->inode == out->file->inode && in->offset < out->offset + length &&
           out->offset < in->offset + length;
}

/* generic_copy_file_checks() of Linux. */
static int64_t copy_range(struct side *in, struct side *out, uint64_t length)
{
    const struct file *from = in->file, *to = out->file;
    if (is_directory(from->inode) || is_directory(to->inode)) {
        return -EISDIR;
    }
    if (!is_regular(from->inode) || !is_regular(to->inode)) {
        return -EINVAL;
    }
    if (!is_readable(from) || !is_writable(to) || (to->flags & O_APPEND)) {
        return -EBADF;
    }
    if (from->inode->file_system != to->inode->file_system) {
        return -EXDEV;
    }
    if (in->offset + length < in->offset || out->offset + length < out->offset) {
        return -EOVERFLOW;
    }
    uint64_t size = size_now_of(from->inode);
    length = in->offset >= size ? 0 : length < size - in->offset ? length : size - in->offset;
    if (overlap(in, out, length) || (int64_t)(in->offset | out->offset) < 0) {
        return -EINVAL;
    }
    if (!from->operations->read || !to->operations->write) {
        return -EINVAL;
    }
    return length == 0 ? 0 : copy_between(in, out, length);
}

int64_t sys_copy_file_range(const struct arguments *arguments)
{
    struct side in = {.file = file_at(arguments, 0), .user = arguments->at[1]};
    struct side out = {.file = file_at(arguments, 2), .user = arguments->at[3]};
    int64_t result = arguments->at[5] != 0                                     ? -EINVAL
                     : !in.file || !out.file                                   ? -EBADF
                     : offset_from_user(&in) < 0 || offset_from_user(&out) < 0 ? -EFAULT
                                                                               : 0;
    if (result == 0) {
        result = copy_range(&in, &out, arguments->at[4]);
        if (result > 0 && (offset_to_user(&in) < 0 || offset_to_user(&out) < 0)) {
            result = -EFAULT;
        }
    }
    file_put(in.file);
    file_put(out.file);
    return result;
}

enum splice_flag { SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8, SPLICE_F_ALL = 15 };

static int64_t told_of_broken(int64_t result)
{
    if (result == -EPIPE) {
        signal_send_current(SIGPIPE);
    }
    return result;
}

/* From a pipe to a pipe: what is there and fits, once. `keep`: it stays in the first one, too (tee). */
static int64_t pipe_to_pipe(struct pipe *from, struct pipe *to, uint64_t length, bool nonblocking, bool keep)
{
    uint8_t *buffer = buffer_take(&data_buffers);
    if (!buffer) {
        return -ENOMEM;
    }
    int64_t result = pipe_await_room(to, nonblocking);
    if (result > 0) {
        uint64_t room = (uint64_t)result;
        result = pipe_claim(from, nonblocking, buffer, piece_of(length < room ? length : room));
    }
    if (result > 0) {
        result = pipe_put_some(to, nonblocking, buffer, (size_t)result);
        pipe_settle(from, result > 0 && !keep ? (size_t)result : 0);
    }
    buffer_give(&data_buffers, buffer);
    return told_of_broken(result);
}

/* iter_file_splice_write() of Linux waits for data only while there was none at all. */
static int64_t pipe_to_file(struct pipe *from, struct side *to, uint64_t length, bool nonblocking)
{
    uint8_t *buffer = buffer_take(&data_buffers);
    if (!buffer) {
        return -ENOMEM;
    }
    uint64_t done = 0;
    int64_t result = 0;
    while (done < length) {
        int64_t got = result = pipe_claim(from, nonblocking || done > 0, buffer, piece_of(length - done));
        if (result <= 0) {
            break;
        }
        result = write_side(to, buffer, (size_t)got);
        pipe_settle(from, result > 0 ? (size_t)result : 0);
        if (result <= 0) {
            break;
        }
        done += (uint64_t)result;
        if (result < got) {
            break;
        }
    }
    buffer_give(&data_buffers, buffer);
    return done > 0 ? (int64_t)done : result;
}

static int64_t file_to_pipe(struct side *from, struct pipe *to, uint64_t length, bool nonblocking)
{
    uint8_t *buffer = buffer_take(&data_buffers);
    if (!buffer) {
        return -ENOMEM;
    }
    int64_t result = pipe_await_room(to, nonblocking);
    if (result > 0) {
        uint64_t room = (uint64_t)result;
        uint64_t before = from->offset;
        int64_t got = result = read_side(from, buffer, piece_of(length < room ? length : room));
        if (got > 0) {
            /* a stream's bytes are gone from it: they wait for room that somebody else has taken meanwhile */
            result = from->file->operations->stream ? pipe_put(to, false, buffer, (size_t)got)
                                                    : pipe_put_some(to, nonblocking, buffer, (size_t)got);
            from->offset = before + (result > 0 ? (uint64_t)result : 0);
        }
    }
    buffer_give(&data_buffers, buffer);
    return told_of_broken(result);
}

static bool is_nonblocking(const struct file *file)
{
    return (file->flags & O_NONBLOCK) != 0;
}

/* eventfd, timerfd, signalfd and their like have no splice operations in Linux. */
static bool is_anonymous(const struct file *file)
{
    return (file->inode->mode & S_IFMT) == 0;
}

/* do_splice() of Linux. */
static int64_t splice(struct side *in, struct side *out, uint64_t length, bool nonblocking)
{
    struct pipe *from = pipe_of(in->file), *to = pipe_of(out->file);
    if (!is_readable(in->file) || !is_writable(out->file)) {
        return -EBADF;
    }
    if (from && to) {
        return from == to ? -EINVAL
                          : pipe_to_pipe(from, to, length,
                                nonblocking || is_nonblocking(in->file) || is_nonblocking(out->file), false);
    }
    if ((!from && !to) || is_anonymous(in->file) || is_anonymous(out->file)) {
        return -EINVAL;
    }
    struct side *file = from ? out : in;
    bool stream = file->file->operations->stream;
    if (file->user != 0 && stream) {
        return -EINVAL;
    }
    if (from && (out->file->flags & O_APPEND)) {
        return -EINVAL;
    }
    if (!stream && (int64_t)file->offset < 0) {
        return -EINVAL;
    }
    if (from) {
        return !out->file->operations->write
                   ? -EINVAL
                   : pipe_to_file(from, out, length, nonblocking || is_nonblocking(in->file));
    }
    return !in->file->operations->read || is_directory(in->file->inode)
               ? -EINVAL
               : file_to_pipe(in, to, length, nonblocking || is_nonblocking(out->file));
}

static int64_t splice_call(struct side *in, struct side *out, uint64_t length, uint32_t flags)
{
    if (!in->file || !out->file) {
        return -EBADF;
    }
    if ((pipe_of(in->file) && in->user != 0) || (pipe_of(out->file) && out->user != 0)) {
        return -ESPIPE;
    }
    if (offset_from_user(out) < 0 || offset_from_user(in) < 0) {
        return -EFAULT;
    }
    struct side *moved = pipe_of(in->file) ? out : in;
    int64_t result = splice(in, out, length, (flags & SPLICE_F_NONBLOCK) != 0);
    if (result > 0 && !pipe_of(moved->file) && offset_to_user(moved) < 0) {
        result = -EFAULT;
    }
    return result;
}

int64_t sys_splice(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[5];
    if (arguments->at[4] == 0) {
        return 0;
    }
    if ((flags & ~(uint32_t)SPLICE_F_ALL) != 0) {
        return -EINVAL;
    }
    struct side in = {.file = file_at(arguments, 0), .user = arguments->at[1]};
    struct side out = {.file = file_at(arguments, 2), .user = arguments->at[3]};
    int64_t result = splice_call(&in, &out, arguments->at[4], flags);
    file_put(in.file);
    file_put(out.file);
    return result;
}

static int64_t tee(struct file *in, struct file *out, uint64_t length, uint32_t flags)
{
    if (!can_read(in) || !can_write(out)) {
        return -EBADF;
    }
    struct pipe *from = pipe_of(in), *to = pipe_of(out);
    if (!from || !to || from == to) {
        return -EINVAL;
    }
    bool nonblocking = (flags & SPLICE_F_NONBLOCK) || is_nonblocking(in) || is_nonblocking(out);
    return pipe_to_pipe(from, to, length, nonblocking, true);
}

int64_t sys_tee(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[3];
    if ((flags & ~(uint32_t)SPLICE_F_ALL) != 0) {
        return -EINVAL;
    }
    if (arguments->at[2] == 0) {
        return 0;
    }
    struct file *in = file_at(arguments, 0), *out = file_at(arguments, 1);
    int64_t result = tee(in, out, arguments->at[2], flags);
    file_put(in);
    file_put(out);
    return result;
}

/* One piece of memory to the pipe, or from it: bytes, or an errno. */
static int64_t splice_memory(struct pipe *pipe, bool writes, const struct iovec *piece, bool nonblocking)
{
    uint8_t *buffer = buffer_take(&data_buffers);
    size_t length = piece_of(piece->length);
    int64_t result = !buffer ? -ENOMEM : 0;
    if (result == 0 && writes) {
        result = copy_from_user(buffer, piece->base, length);
        if (result == 0) {
            result = told_of_broken(pipe_put_some(pipe, nonblocking, buffer, length));
        }
    } else if (result == 0) {
        result = pipe_claim(pipe, nonblocking, buffer, length);
        if (result > 0) {
            bool copied = copy_to_user(piece->base, buffer, (size_t)result) == 0;
            pipe_settle(pipe, copied ? (size_t)result : 0);
            result = copied ? result : -EFAULT;
        }
    }
    buffer_give(&data_buffers, buffer);
    return result;
}

static int64_t splice_vector(struct pipe *pipe, bool writes, struct iovec *vector, size_t count, bool nonblocking)
{
    int64_t done = 0;
    for (size_t at = 0; at < count;) {
        if (vector[at].length == 0) {
            at++;
            continue;
        }
        int64_t result = splice_memory(pipe, writes, &vector[at], nonblocking || done > 0);
        if (result <= 0) {
            return done > 0 ? done : result;
        }
        done += result;
        vector[at].base += (uint64_t)result;
        vector[at].length -= (uint64_t)result;
    }
    return done;
}

int64_t sys_vmsplice(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[3];
    uint64_t count = arguments->at[2];
    if ((flags & ~(uint32_t)SPLICE_F_ALL) != 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (!file || (!is_readable(file) && !is_writable(file))) {
        file_put(file);
        return -EBADF;
    }
    struct iovec *vector = NULL;
    int64_t result = count > IOV_MAX ? -EINVAL : 0;
    if (result == 0 && count > 0) {
        vector = allocate(count * sizeof(struct iovec));
        result = !vector ? -ENOMEM : iovec_import(vector, arguments->at[1], count);
        if (result > 0 && !pipe_of(file)) {
            result = -EBADF;
        } else if (result > 0) {
            bool nonblocking = (flags & SPLICE_F_NONBLOCK) || is_nonblocking(file);
            result = splice_vector(pipe_of(file), is_writable(file), vector, (size_t)count, nonblocking);
        }
        release(vector, count * sizeof(struct iovec));
    }
    file_put(file);
    return result;
}
