/* AF_UNIX: sending, receiving, and when that can be done. */
#include "net/unix.h"
#include "net/unix_control.h"
#include "time/time.h"

/* net.unix.max_dgram_qlen of Linux: messages that wait for one receiver, and one more. */
#define MESSAGES_MAX 10U
#define PACKET_OVERHEAD 32U /* of a message in a buffer of its size (unix_dgram_sendmsg() of Linux) */
#define PACKET_COST 512U    /* what a message takes beside its bytes: nearly as in Linux */

#define FIONREAD 0x541BU
#define TIOCOUTQ 0x5411U

/* Streams: how much more goes to somebody who does not read. The lock is held. */
static size_t room_for_stream(const struct inbox *inbox, const struct endpoint *from)
{
    return inbox->bytes < from->send_size ? from->send_size - inbox->bytes : 0;
}

/* Messages. The lock is held. */
static bool has_room_for_message(const struct inbox *inbox, const struct endpoint *from, size_t length)
{
    if (inbox->type == SOCK_DGRAM && inbox->partner != from->in && inbox->packets > MESSAGES_MAX) {
        return false;
    }
    return inbox->packets == 0 || inbox->bytes + length + (uint64_t)inbox->packets * PACKET_COST <= from->send_size;
}

/* How many bytes may be sent now; 0 may be all that there is. */
static int64_t check_room(struct endpoint *endpoint, struct inbox *to, size_t length)
{
    bool is_stream = to->type == SOCK_STREAM;
    int64_t result = (int64_t)length;
    mutex_lock(&to->lock);
    if (to->type == SOCK_DGRAM && to->closed) {
        result = -ECONNREFUSED;
    } else if (to->type == SOCK_DGRAM && to->partner && to->partner != endpoint->in) {
        result = -EPERM;
    } else if (to->refuses) {
        result = -EPIPE;
    } else if (is_stream) {
        size_t room = room_for_stream(to, endpoint);
        result = room == 0 && length > 0 ? -EAGAIN : (int64_t)(length < room ? length : room);
    } else if (!has_room_for_message(to, endpoint, length)) {
        result = -EAGAIN;
    }
    mutex_unlock(&to->lock);
    return result;
}

/* Its receiver is gone: what is connected to it is so no longer (unix_dgram_sendmsg() of Linux). */
static void forget_closed(struct endpoint *endpoint, struct inbox *closed)
{
    mutex_lock(&endpoint->lock);
    bool was_connected = endpoint->out == closed;
    struct packet *lost = was_connected ? endpoint_lose_partner(endpoint) : NULL;
    endpoint->out = was_connected ? NULL : endpoint->out;
    mutex_unlock(&endpoint->lock);
    packets_release(lost);
    if (was_connected) {
        inbox_put(closed);
    }
}

static int64_t send_packet(struct endpoint *endpoint, struct message *message, struct inbox *to, size_t length)
{
    struct cargo *cargo = message->cargo;
    struct packet *packet = packet_create(message, length, endpoint->in, !cargo ? &(struct rights){0} : &cargo->rights);
    if (!packet) {
        return -ENOBUFS;
    }
    packet->from = !cargo ? sender_current() : cargo->from;
    mutex_lock(&to->lock);
    bool refuses = to->ended; /* or the sender itself has shut it down meanwhile: nothing comes behind the end */
    if (!refuses) {
        inbox_append(to, packet);
    }
    mutex_unlock(&to->lock);
    if (refuses) {
        packets_release(packet);
        return to->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    }
    event_source_has_data(&to->source);
    return (int64_t)length;
}

/* To whom it goes, counted. */
static int64_t find_receiver(struct endpoint *endpoint, const struct message *message, struct inbox **to)
{
    if (message->address.length > 0 && !has_connections(&endpoint->socket)) {
        return name_find(&message->address, endpoint->socket.type, to);
    }
    *to = endpoint_out(endpoint);
    if (message->address.length > 0 && endpoint->socket.type == SOCK_STREAM) {
        bool is_connected = *to != NULL;
        inbox_put(*to);
        return is_connected ? -EISCONN : -EOPNOTSUPP;
    }
    return !*to ? -ENOTCONN : 0;
}

/* What has happened to the connection, told once. The lock is held. */
static int64_t take_error(struct inbox *in)
{
    int64_t result = -in->error;
    in->error = 0;
    return result;
}

/* May it send at all? Messages tell what has happened to the connection before anything else (sock_alloc_send_pskb() of Linux). */
static int64_t check_sender(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->in->lock);
    int64_t result = endpoint->socket.type == SOCK_STREAM ? 0 : take_error(endpoint->in);
    mutex_unlock(&endpoint->in->lock);
    mutex_lock(&endpoint->lock);
    result = result == 0 && endpoint->sends_no_more ? -EPIPE : result;
    mutex_unlock(&endpoint->lock);
    return result;
}

/* Sequenced packets: before the message itself is looked at (unix_seqpacket_sendmsg() of Linux). */
static int64_t check_connection(struct endpoint *endpoint)
{
    struct inbox *out = endpoint_out(endpoint);
    mutex_lock(&endpoint->in->lock);
    int64_t result = take_error(endpoint->in);
    mutex_unlock(&endpoint->in->lock);
    inbox_put(out);
    return result < 0 ? result : !out ? -ENOTCONN : 0;
}

int64_t unix_send(struct socket *socket, struct message *message, struct poller *poller)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *to;
    bool is_named = message->address.length > 0 && !has_connections(socket);
    int64_t result = socket->type == SOCK_SEQPACKET ? check_connection(endpoint) : 0;
    result = result < 0 ? result : cargo_load(message);
    result = result == 0 && (message->flags & MSG_OOB) != 0 ? -EOPNOTSUPP : result;
    if (result < 0) {
        return result;
    }
    result = !is_named ? 0 : !name_is_good(&message->address) ? -EINVAL : check_sender(endpoint);
    result = result < 0 ? result : find_receiver(endpoint, message, &to);
    if (result < 0) {
        return result;
    }
    if (socket->type != SOCK_STREAM && message->length > endpoint->send_size - PACKET_OVERHEAD) {
        inbox_put(to);
        return -EMSGSIZE;
    }
    poller_watch_room(poller, &to->source);
    int64_t unable = is_named ? 0 : check_sender(endpoint);
    result = unable < 0 ? unable : check_room(endpoint, to, message->length);
    if (result > 0 || (result == 0 && socket->type != SOCK_STREAM)) {
        result = send_packet(endpoint, message, to, (size_t)result);
    }
    if (result == -ECONNREFUSED && unable == 0 && message->address.length == 0) {
        forget_closed(endpoint, to);
    }
    inbox_put(to);
    return result;
}

static void set_sender(struct message *message, struct inbox *sender)
{
    mutex_lock(&sender->lock);
    message->address = sender->name;
    mutex_unlock(&sender->lock);
}

/* When a message was received is when it is read (__sock_recv_timestamp() of Linux). */
static void put_time(const struct endpoint *endpoint, struct message *message)
{
    uint64_t now = clock_now_ns(CLOCK_REALTIME);
    if (has_switch(endpoint, SO_TIMESTAMPNS)) {
        const struct timespec time = timespec_of(now);
        control_put(message, SOL_SOCKET, SO_TIMESTAMPNS, &time, sizeof(time));
    } else if (has_switch(endpoint, SO_TIMESTAMP)) {
        const struct timeval time = timeval_of(now);
        control_put(message, SOL_SOCKET, SO_TIMESTAMP, &time, sizeof(time));
    }
}

/* What goes with the bytes: credentials, then files (scm_recv() of Linux). */
static void put_control(struct endpoint *endpoint, struct message *message, const struct sender *from, struct rights *rights)
{
    if (endpoint->passes_credentials && message->control.length == 0) { /* once, of the first bytes */
        control_put(message, SOL_SOCKET, SCM_CREDENTIALS, from, sizeof(*from));
    }
    if (rights->count > 0) {
        rights_deliver(message, rights);
    }
}

/* Nothing is there. Who waits for a datagram hears of the end, who only looks does not (__unix_dgram_recvmsg() of Linux). The lock is held. */
static int64_t nothing_to_receive(struct inbox *in, bool waits)
{
    if (in->error != 0) {
        return take_error(in);
    }
    return in->ended && (waits || in->type != SOCK_DGRAM) ? 0 : -EAGAIN;
}

static bool is_same_sender(const struct sender *one, const struct sender *other)
{
    return one->process == other->process && one->user == other->user && one->group == other->group;
}

struct stream_reader {
    struct sender from;
    struct inbox *sender; /* counted */
    struct rights rights;
    struct packet *used; /* to be released */
};

/* Takes bytes until there are no more, or the last ones came with files, or where that counts, the next ones come from
 * somebody else (unix_stream_read_generic() of Linux). The lock is held. */
static size_t take_bytes(
    struct inbox *in, struct message *message, struct stream_reader *reader, bool by_sender)
{
    bool peeks = (message->flags & MSG_PEEK) != 0;
    size_t done = 0;
    for (struct packet *packet = in->first, *next; packet && done < message->length; packet = next) {
        next = packet->next;
        if (done > 0 && by_sender && !is_same_sender(&packet->from, &reader->from)) {
            break;
        }
        if (done == 0) {
            reader->from = packet->from;
            reader->sender = inbox_get(packet->sender);
        }
        size_t left = packet->length - packet->taken, size = message->length - done;
        size = left < size ? left : size;
        memcpy(message->data + done, packet->data + packet->taken, size);
        done += size;
        bool had_rights = packet->rights.count > 0;
        if (had_rights) {
            reader->rights = peeks ? rights_copy(&packet->rights) : packet->rights;
            packet->rights = peeks ? packet->rights : (struct rights){0};
        }
        if (!peeks && size < left) {
            packet->taken += size;
            in->bytes -= size;
        } else if (!peeks) {
            struct packet *whole = inbox_take_first(in);
            whole->next = reader->used;
            reader->used = whole;
        }
        if (had_rights) {
            break;
        }
    }
    return done;
}

static int64_t receive_stream(struct endpoint *endpoint, struct message *message)
{
    struct inbox *in = endpoint->in;
    struct stream_reader reader = {0};
    mutex_lock(&in->lock);
    int64_t result = !in->first ? nothing_to_receive(in, true)
                                : (int64_t)take_bytes(in, message, &reader, endpoint->passes_credentials);
    mutex_unlock(&in->lock);
    if (!reader.sender) {
        if (result == 0) {
            put_control(endpoint, message, &reader.from, &reader.rights); /* the end is nobody's */
        }
        return result;
    }
    if (reader.used || (message->flags & MSG_PEEK) == 0) {
        event_source_has_room(&in->source);
    }
    packets_release(reader.used);
    set_sender(message, reader.sender);
    inbox_put(reader.sender);
    put_control(endpoint, message, &reader.from, &reader.rights);
    return result;
}

static int64_t receive_message(struct endpoint *endpoint, struct message *message, bool waits)
{
    struct inbox *in = endpoint->in;
    bool peeks = (message->flags & MSG_PEEK) != 0;
    mutex_lock(&in->lock);
    struct packet *packet = in->error != 0 ? NULL : in->first; /* an error comes before what was sent before it */
    if (!packet) {
        int64_t result = nothing_to_receive(in, waits);
        mutex_unlock(&in->lock);
        return result;
    }
    size_t size = packet->length < message->length ? packet->length : message->length;
    struct sender from = packet->from;
    struct inbox *sender = inbox_get(packet->sender);
    struct rights rights = peeks ? rights_copy(&packet->rights) : packet->rights;
    memcpy(message->data, packet->data, size);
    message->full_length = packet->length;
    message->received_flags |= size < packet->length ? MSG_TRUNC : 0;
    if (!peeks) {
        packet->rights = (struct rights){0};
        inbox_take_first(in);
    }
    mutex_unlock(&in->lock);
    if (!peeks) {
        packets_release(packet);
        event_source_has_room(&in->source);
    }
    set_sender(message, sender);
    inbox_put(sender);
    put_time(endpoint, message);
    put_control(endpoint, message, &from, &rights);
    return (int64_t)size;
}

int64_t unix_receive(struct socket *socket, struct message *message, struct poller *poller)
{
    struct endpoint *endpoint = endpoint_of(socket);
    if ((message->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    poller_watch(poller, &endpoint->in->source);
    if (!has_connections(socket)) {
        return receive_message(endpoint, message, poller != NULL);
    }
    mutex_lock(&endpoint->lock);
    bool is_connected = endpoint->out != NULL;
    mutex_unlock(&endpoint->lock);
    if (!is_connected) {
        return socket->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
    }
    return socket->type == SOCK_STREAM ? receive_stream(endpoint, message) : receive_message(endpoint, message, true);
}

/* Whether something could be sent, and whether nothing ever can. */
static void look_at_receiver(struct endpoint *endpoint, struct inbox *out, bool *has_room, bool *refuses)
{
    mutex_lock(&out->lock);
    *refuses = out->refuses;
    /* Linux counts memory: a stream has room while a quarter of its buffer is free. */
    *has_room = out->type == SOCK_STREAM ? out->bytes * 4 <= (size_t)endpoint->send_size * 3
                                         : has_room_for_message(out, endpoint, 0);
    mutex_unlock(&out->lock);
}

uint32_t unix_poll(struct socket *socket, struct poller *poller)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *in = endpoint->in;
    bool has_room = true, refuses = false;
    uint32_t events = 0;
    poller_watch(poller, &in->source);
    struct inbox *out = endpoint_out(endpoint); /* another one is told there */
    if (out) {
        poller_watch_room(poller, &out->source);
        look_at_receiver(endpoint, out, &has_room, &refuses);
    }
    mutex_lock(&in->lock);
    bool listens = in->listens, ended = in->ended;
    events |= in->packets > 0 || in->first_waiting || ended ? POLLIN | POLLRDNORM : 0;
    events |= in->error != 0 ? POLLERR : 0;
    mutex_unlock(&in->lock);
    mutex_lock(&endpoint->lock);
    bool sends_no_more = endpoint->sends_no_more || (refuses && has_connections(socket));
    mutex_unlock(&endpoint->lock);
    events |= ended ? POLLRDHUP : 0;
    events |= ended && sends_no_more ? POLLHUP : 0;
    events |= has_connections(socket) && !out && !listens ? POLLHUP : 0;
    events |= has_room && !listens ? POLLOUT | POLLWRNORM | POLLWRBAND : 0;
    inbox_put(out);
    return events;
}

int64_t unix_ioctl(struct socket *socket, uint32_t request, user_address argument)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *inbox = request == FIONREAD ? inbox_get(endpoint->in) : endpoint_out(endpoint);
    int32_t number = 0;
    int64_t result = 0;
    if (request != FIONREAD && request != TIOCOUTQ) {
        inbox_put(inbox);
        return -ENOTTY;
    }
    if (inbox) {
        mutex_lock(&inbox->lock);
        bool of_first = request == FIONREAD && socket->type == SOCK_DGRAM;
        result = inbox->listens ? -EINVAL : 0;
        number = (int32_t)(!of_first ? inbox->bytes : !inbox->first ? 0 : inbox->first->length);
        mutex_unlock(&inbox->lock);
        inbox_put(inbox);
    }
    return result < 0 ? result : copy_to_user(argument, &number, sizeof(number));
}
