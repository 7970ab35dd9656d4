#include "net/transfer.h"

#include "net/socket.h"

static int64_t gather(void *to, const struct pieces *pieces, uint64_t begin, size_t length)
{
    return copy_some_from_pieces(to, pieces, begin, length) == length ? 0 : -EFAULT;
}

static size_t piece_size(uint64_t left)
{
    return left < EXCHANGE_DATA_SIZE ? (size_t)left : EXCHANGE_DATA_SIZE;
}

static struct buffer_pool *pool_for(uint64_t total)
{
    return total <= PATH_BUFFER_SIZE ? &path_buffers : &data_buffers;
}

/* When a wait of this length would end; NO_TIMEOUT and 0 are what they are. */
static uint64_t end_of(uint64_t timeout_ns)
{
    return timeout_ns == NO_TIMEOUT || timeout_ns == 0 ? timeout_ns : clock_now_ns(CLOCK_MONOTONIC) + timeout_ns;
}

static uint64_t time_until(uint64_t end)
{
    if (end == NO_TIMEOUT || end == 0) {
        return end;
    }
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
    return now < end ? end - now : 0;
}

/* That nobody can be sent anything is told before that there is nothing to send. */
static int64_t send_nowhere(struct socket *socket, struct message *message)
{
    message->length = 0;
    message->control.length = 0;
    int64_t result = socket_send(socket, message, 0);
    return result < 0 && result != -EAGAIN ? result : -EFAULT;
}

static int64_t send_stream(
    struct socket *socket, struct message *message, const struct pieces *pieces, uint64_t timeout_ns)
{
    uint64_t done = 0, end = end_of(timeout_ns);
    int64_t result;
    do {
        message->length = piece_size(pieces->total - done);
        result = gather(message->data, pieces, done, message->length);
        if (result < 0 && done == 0) {
            return send_nowhere(socket, message);
        }
        if (result == 0) {
            result = socket_send(socket, message, done == 0 ? timeout_ns : time_until(end));
        }
        if (result > 0) {
            done += (uint64_t)result;
            message->control.length = 0; /* goes with the first byte */
        }
    } while (result > 0 && done < pieces->total);
    return done > 0 ? (int64_t)done : result;
}

int64_t transfer_send(
    struct socket *socket, struct message *message, const struct pieces *pieces, uint64_t timeout_ns)
{
    bool is_stream = socket->type == SOCK_STREAM;
    if (!is_stream && pieces->total > EXCHANGE_DATA_SIZE) {
        return -EMSGSIZE;
    }
    struct buffer_pool *pool = pool_for(pieces->total);
    int64_t result;
    message->data = buffer_take(pool);
    if (!message->data) {
        return -ENOMEM;
    }
    if (is_stream) {
        result = send_stream(socket, message, pieces, timeout_ns);
    } else {
        message->length = (size_t)pieces->total;
        result = gather(message->data, pieces, 0, message->length);
        result = result < 0 ? result : socket_send(socket, message, timeout_ns);
    }
    buffer_give(pool, message->data);
    return result;
}

/* What there is no room for stays in the stream: with no room at all, one byte is looked at, so that the end and errors are told as ever. */
static int64_t receive_nowhere(struct socket *socket, struct message *message, uint64_t timeout_ns)
{
    message->length = 1;
    message->flags |= MSG_PEEK;
    int64_t result = socket_receive(socket, message, timeout_ns);
    return result > 0 ? -EFAULT : result;
}

int64_t transfer_receive(
    struct socket *socket, struct message *message, const struct pieces *pieces, uint64_t timeout_ns)
{
    struct buffer_pool *pool = pool_for(pieces->total);
    message->data = buffer_take(pool);
    if (!message->data) {
        return -ENOMEM;
    }
    bool wants_all = socket->type == SOCK_STREAM && (message->flags & MSG_WAITALL) != 0 && (message->flags & MSG_PEEK) == 0;
    uint64_t done = 0, end = end_of(timeout_ns), total = pieces->total;
    int64_t result;
    uint64_t room = socket->type == SOCK_STREAM ? writable_length(pieces, EXCHANGE_DATA_SIZE) : total;
    if (room < piece_size(total)) {
        total = room;
    }
    if (total == 0 && pieces->total > 0) {
        result = receive_nowhere(socket, message, timeout_ns);
        buffer_give(pool, message->data);
        return result;
    }
    do {
        message->length = piece_size(total - done);
        result = socket_receive(socket, message, done == 0 ? timeout_ns : time_until(end));
        if (result > 0 && copy_some_to_pieces(pieces, done, message->data, (size_t)result) < (size_t)result) {
            result = -EFAULT;
        }
        done += result > 0 ? (uint64_t)result : 0;
    } while (result > 0 && wants_all && done < total);
    buffer_give(pool, message->data);
    return done > 0 ? (int64_t)done : result;
}
