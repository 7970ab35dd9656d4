/* What goes over the sockets of the host, and what comes: streams and datagrams. */
#include "net/inet.h"

#include "net/policy.h"

#define SENT_FLAGS (MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_CONFIRM | MSG_MORE)
#define RECEIVED_FLAGS (MSG_OOB | MSG_PEEK)
#define TOLD_FLAGS (MSG_OOB | MSG_TRUNC | MSG_CTRUNC | MSG_EOR)
#define DATAGRAM_MAX 0xFFFFU /* what an IP header can say (RFC 791, RFC 8200) */

/* Does the program reach out? Then what it sends may come to a socket of its own. */
static bool may_reach_itself;

void inet_reach_out(void)
{
    __atomic_store_n(&may_reach_itself, true, __ATOMIC_RELEASE);
}

/* After something was sent. */
static void note_sent(void)
{
    if (__atomic_load_n(&may_reach_itself, __ATOMIC_ACQUIRE)) {
        host_note_activity();
    }
}

bool inet_may_try(struct inet *inet, uint32_t events, struct poller *poller)
{
    return !poller || poller_watch_host_events(poller, inet->host_fd, events) != 0;
}

static void remember_input(struct inet *inet, const struct host_message *message, uint64_t activity)
{
    quiet_note(&inet->input, message->input == HOST_INPUT_NONE, activity);
}

static bool begins_connection(const struct inet *inet, const struct message *message)
{
    return inet->socket.type == SOCK_STREAM && (message->flags & MSG_FASTOPEN) != 0;
}

static int64_t take_destination(const struct inet *inet, const struct message *message, struct host_message *to)
{
    bool is_refused = inet->socket.domain == AF_INET && (message->flags & MSG_OOB) != 0; /* before the name is looked at */
    bool is_ignored = is_refused || (inet->socket.type == SOCK_STREAM && !begins_connection(inet, message)); /* as TCP does */
    if (message->address.length == 0 || is_ignored || address_family(&message->address) == AF_UNSPEC) {
        return 0;
    }
    int64_t result = name_from_address(&to->name, &message->address, inet->socket.domain);
    return result < 0 ? result : policy_allows_peer("sendto", to->name.bytes) ? 0 : -EACCES;
}

/* What is sent with the flag begins a connection (tcp(7)): the host takes the data along with that. Or it says -EINPROGRESS, and once
 * there is a connection the same call ends the connect and sends the data. tcp_sendmsg_fastopen() of Linux has the errors. */
static int64_t check_fast_open(const struct message *message)
{
    return message->address.length == 0                         ? -EINVAL
           : address_family(&message->address) == AF_UNSPEC ? -EOPNOTSUPP
                                                                : 0;
}

int64_t inet_send(struct socket *socket, struct message *message, struct poller *poller)
{
    struct inet *inet = inet_of(socket);
    struct host_message header;
    memset(&header, 0, offsetof(struct host_message, control));
    header.input = inet->asks_for_input ? HOST_INPUT_ASK : HOST_INPUT_UNKNOWN;
    ahead_describe(inet, &header);
    size_t length = message->length;
    bool begins = begins_connection(inet, message);
    if (length > HOST_MESSAGE_DATA) {
        if (socket->type != SOCK_STREAM) {
            return -EMSGSIZE;
        }
        length = HOST_MESSAGE_DATA;
    }
    int64_t result = begins ? check_fast_open(message) : 0;
    result = result < 0 ? result : take_destination(inet, message, &header);
    result = result < 0 ? result : control_to_host(&header, &message->control);
    if (result < 0) {
        return result;
    }
    if (!inet_may_try(inet, POLLOUT, poller)) {
        return -EAGAIN;
    }
    uint64_t activity = host_activity();
    uint32_t added = (length < message->length ? MSG_MORE : 0) | (begins ? MSG_FASTOPEN : 0);
    result = host_send(inet->host_fd, &header, message->data, length, (message->flags & SENT_FLAGS) | added);
    if (begins) {
        inet_reach_out();
        message->flags &= result >= 0 ? ~MSG_FASTOPEN : ~0U;
    }
    if (result >= 0) {
        remember_input(inet, &header, activity);
        note_sent();
    }
    return result;
}

/* What is told of a message that has come. */
static int64_t tell(struct socket *socket, struct message *message, const struct host_message *header, size_t got)
{
    message->received_flags |= header->flags & (TOLD_FLAGS | (message->flags & MSG_ERRQUEUE));
    if (socket->type == SOCK_STREAM) {
        message->received_flags &= ~MSG_TRUNC;
        return (int64_t)got;
    }
    size_t full_length = header->full_length > got ? header->full_length : got;
    if (full_length > DATAGRAM_MAX) {
        log_line(LOG_ERROR, "the host received a datagram of %lu bytes", full_length);
        return -EPERM;
    }
    if (header->name.length == 0 && (message->flags & MSG_ERRQUEUE) != 0) {
        message->address.length = 0; /* nobody was named when it was sent */
    } else if (!address_from_name(&message->address, &header->name, socket->domain)) {
        return -EPERM;
    } else if (!policy_allows_source(header->name.bytes)) {
        return -EAGAIN; /* as if it had never come */
    }
    message->full_length = full_length;
    control_from_host(message, header);
    return (int64_t)got;
}

/* Of what the host has, as much as there is room for behind what was read ahead. -EAGAIN: there is nothing, or more has been read ahead since. */
static int64_t receive_from_host(struct inet *inet, struct message *message, struct ahead_found ahead, uint32_t flags)
{
    struct host_message header;
    bool is_stream = inet->socket.type == SOCK_STREAM;
    size_t room = message->length - ahead.size, length = room < HOST_MESSAGE_DATA ? room : HOST_MESSAGE_DATA;
    memset(&header, 0, offsetof(struct host_message, control));
    header.control_length = message->control.room < HOST_CONTROL_SIZE ? message->control.room : HOST_CONTROL_SIZE;
    header.input = inet->asks_for_input && is_stream ? HOST_INPUT_ASK : HOST_INPUT_UNKNOWN;
    ahead_describe(inet, &header);
    header.aheads = ahead.count;
    uint64_t activity = host_activity();
    int64_t result = host_receive(inet->host_fd, &header, message->data + ahead.size, length, flags);
    if (result < 0) {
        return result;
    }
    remember_input(inet, &header, activity);
    inet->has_ended |= is_stream && result == 0 && room > 0 && ahead.size == 0 && (flags & MSG_OOB) == 0 && !inet->reads_no_more;
    return tell(&inet->socket, message, &header, (size_t)result);
}

/* What was read ahead comes first. A reader may take a piece that is shorter than his room for all that there was, so the host is asked for the rest
 * unless it had none. Who only looks may wait for what has come since. */
static int64_t receive_in_order(struct inet *inet, struct message *message, uint32_t flags)
{
    bool looks_only = (flags & MSG_PEEK) != 0;
    struct ahead_found ahead = ahead_read(inet, message->data, (flags & MSG_OOB) != 0 ? 0 : message->length, looks_only);
    if (ahead.size > 0 && (ahead.size == message->length || (ahead.is_all && !looks_only))) {
        return (int64_t)ahead.size;
    }
    int64_t result = receive_from_host(inet, message, ahead, flags);
    if (ahead.size > 0) {
        return result < 0 ? (int64_t)ahead.size : (int64_t)ahead.size + result;
    }
    return result;
}

/* As tcp_recvmsg() of Linux, which has the socket's lock: what one call gives is one piece of the stream, whoever else reads. */
static int64_t receive_stream(struct inet *inet, struct message *message, uint32_t flags)
{
    mutex_lock(&inet->reading);
    int64_t result = receive_in_order(inet, message, flags);
    mutex_unlock(&inet->reading);
    return result;
}

int64_t inet_receive(struct socket *socket, struct message *message, struct poller *poller)
{
    struct inet *inet = inet_of(socket);
    bool is_stream = socket->type == SOCK_STREAM;
    bool is_error = (message->flags & MSG_ERRQUEUE) != 0; /* of a datagram that was sent: ip(7), IP_RECVERR */
    uint32_t flags = (message->flags & RECEIVED_FLAGS) | (is_stream ? 0 : MSG_TRUNC) | (is_error ? MSG_ERRQUEUE : 0);
    if (is_error && is_stream) {
        return -EAGAIN; /* TCP puts nothing there but times, which are no option here */
    }
    if (inet->has_ended && message->length > 0 && (flags & MSG_OOB) == 0) {
        return 0;
    }
    ahead_watch(inet, poller);
    bool has_ahead = is_stream && (flags & MSG_OOB) == 0 && ahead_length(inet) > 0;
    if (!has_ahead && !inet_may_try(inet, (flags & MSG_OOB) != 0 ? POLLPRI : POLLIN, poller)) {
        return -EAGAIN;
    }
    if (!has_ahead && !is_error && quiet_use(&inet->input) && !poller) {
        return -EAGAIN;
    }
    uint32_t aheads;
    int64_t result;
    do {
        aheads = ahead_count();
        result = is_stream ? receive_stream(inet, message, flags) : receive_from_host(inet, message, (struct ahead_found){0}, flags);
    } while (result == -EAGAIN && is_stream && (flags & MSG_OOB) == 0 && (ahead_length(inet) > 0 || ahead_await(aheads))); /* which has come since it was read */
    inet->asks_for_input |= result == -EAGAIN && !poller && is_stream;
    return result;
}
