/*
 * What the host has read ahead of a stream, with the wait of an epoll that told of it (struct host_ahead). It comes before all that the host still has,
 * and to a program it looks as if it were there: until it is read, the socket is readable. One piece at a time: the host reads no more until a transfer
 * of the socket asks for it, and receives nothing while a piece is on its way.
 */
#include "net/inet.h"

#include "net/families.h"

void ahead_describe(struct inet *inet, struct host_message *header)
{
    struct inet_ahead *ahead = &inet->ahead;
    bool is_stream = inet->socket.type == SOCK_STREAM;
    spin_lock(&ahead->lock);
    header->socket = is_stream ? inet->number : 0;
    header->aheads = ahead->count;
    header->wants_ahead = is_stream && !ahead->is_refused && !ahead->piece && inet->socket.file && epoll_watches(inet->socket.file);
    spin_unlock(&ahead->lock);
}

size_t ahead_length(struct inet *inet)
{
    spin_lock(&inet->ahead.lock);
    size_t length = !inet->ahead.piece ? 0 : inet->ahead.piece->length - inet->ahead.start;
    spin_unlock(&inet->ahead.lock);
    return length;
}

void ahead_watch(struct inet *inet, struct poller *poller)
{
    if (inet->socket.type == SOCK_STREAM) {
        poller_watch_aside(poller, &inet->source);
    }
}

struct ahead_found ahead_read(struct inet *inet, void *to, size_t length, bool looks_only)
{
    struct inet_ahead *ahead = &inet->ahead;
    struct host_ahead *read_up = NULL;
    spin_lock(&ahead->lock);
    size_t left = !ahead->piece ? 0 : ahead->piece->length - ahead->start, size = length < left ? length : left;
    struct ahead_found found = {.size = size, .count = ahead->count, .is_all = ahead->is_all};
    if (size > 0) {
        memcpy(to, ahead->piece->bytes + ahead->start, size);
    }
    if (!looks_only) {
        ahead->start += (uint32_t)size;
    }
    if (!looks_only && size == left) {
        read_up = ahead->piece;
        ahead->piece = NULL;
    }
    spin_unlock(&ahead->lock);
    ahead_give(read_up);
    return found;
}

static void drop(struct inet *inet)
{
    spin_lock(&inet->ahead.lock);
    struct host_ahead *piece = inet->ahead.piece;
    inet->ahead.piece = NULL;
    spin_unlock(&inet->ahead.lock);
    ahead_give(piece);
}

void ahead_forget(struct inet *inet)
{
    inet_renumber(inet);
    drop(inet);
}

/* To the host, all was read; to who has sent it, what was not read is a reset (tcp_close() of Linux), as if nothing was to linger. */
void ahead_close(struct inet *inet)
{
    static const int32_t at_once[] = {1, 0};
    if (ahead_length(inet) > 0) {
        host_option_set(inet->host_fd, SOL_SOCKET, SO_LINGER, at_once, sizeof(at_once));
    }
    drop(inet);
}

struct arrival {
    struct host_ahead *piece;
    int events_fd;
    uint64_t activity;
};

/* Under the lock of the sockets, so it cannot be closed. */
static void keep(struct inet *inet, void *context)
{
    struct arrival *arrival = context;
    struct inet_ahead *ahead = &inet->ahead;
    spin_lock(&ahead->lock);
    bool is_kept = !ahead->piece && inet->socket.type == SOCK_STREAM && !inet->has_ended;
    if (is_kept) {
        ahead->piece = arrival->piece;
        ahead->start = 0;
        ahead->is_all = arrival->piece->length < HOST_AHEAD_SIZE;
        ahead->count++;
        quiet_note(&inet->input, arrival->piece->input == HOST_INPUT_NONE, arrival->activity);
        arrival->piece = NULL;
    }
    spin_unlock(&ahead->lock);
    if (!is_kept) {
        log_line(LOG_ERROR, "the host has read ahead of a socket that had not asked for it");
        return;
    }
    event_source_has_data(&inet->source);
    if (inet->socket.file) {
        epoll_has_ahead(inet->socket.file, arrival->events_fd);
    }
}

/* Of a socket that was closed meanwhile, nobody wants it. */
static void take(struct host_ahead *piece, int events_fd, uint64_t activity)
{
    struct arrival arrival = {.piece = piece, .events_fd = events_fd, .activity = activity};
    inet_with(piece->socket, keep, &arrival);
    ahead_give(arrival.piece);
}

void ahead_start(void)
{
    fs_upcalls.take_ahead = take;
}
