/* TCP and UDP over IPv4 and IPv6: each socket is one of the host's, which never blocks. What comes back is checked; waiting is the net room's. */
#include "net/inet.h"

#include "net/families.h"
#include "net/policy.h"

#define SENT_FLAGS (MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_CONFIRM | MSG_MORE)
#define RECEIVED_FLAGS (MSG_OOB | MSG_PEEK)
#define TOLD_FLAGS (MSG_OOB | MSG_TRUNC | MSG_CTRUNC | MSG_EOR)
#define IPPROTO_MAX 263U /* include/uapi/linux/in.h */
#define DATAGRAM_MAX 0xFFFFU /* what an IP header can say (RFC 791, RFC 8200) */

static const struct socket_operations operations;

/* Does the program reach out? Then what it sends may come to a socket of its own. */
static bool may_reach_itself;

static void reach_out(void)
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

/* Has the host said that it can be done? Without a poller there is nobody to ask: trying shows it. */
static bool may_try(struct inet *inet, uint32_t events, struct poller *poller)
{
    return poller == NULL || poller_watch_host_events(poller, inet->host_fd, events) != 0;
}

static void inet_unused(struct event_source *source)
{
    release(CONTAINER_OF(source, struct inet, source), sizeof(struct inet));
}

static void keep_host_socket(struct inet *inet, int host_fd, uint32_t domain, uint32_t type, uint32_t protocol)
{
    socket_initialise(&inet->socket, &operations, domain, type, protocol);
    inet->host_fd = host_fd;
    inet->source.references = 1;
    inet->source.unused = inet_unused;
    inet_list(inet);
}

/* The protocol that inet_create() of Linux finds for this type. */
static int64_t find_protocol(enum socket_type type, uint32_t protocol, uint32_t *found)
{
    if (protocol >= IPPROTO_MAX) {
        return -EINVAL;
    }
    switch (type) {
    case SOCK_STREAM:
        *found = IPPROTO_TCP;
        break;
    case SOCK_DGRAM:
        *found = protocol == IPPROTO_UDPLITE ? IPPROTO_UDPLITE : IPPROTO_UDP;
        break;
    case SOCK_RAW:
        return protocol == 0 ? -EPROTONOSUPPORT : -EPERM;
    default:
        return -ESOCKTNOSUPPORT;
    }
    return protocol == 0 || protocol == *found ? 0 : -EPROTONOSUPPORT;
}

static int64_t create(uint32_t domain, enum socket_type type, uint32_t protocol, struct socket **created)
{
    uint32_t found;
    int64_t result = find_protocol(type, protocol, &found);
    if (result < 0) {
        return result;
    }
    if (!policy_allows_sockets()) {
        return -EACCES;
    }
    struct inet *inet = allocate(sizeof(struct inet));
    if (inet == NULL) {
        return -ENOMEM;
    }
    int host_fd = host_socket(domain, type, found);
    if (host_fd < 0) {
        release(inet, sizeof(struct inet));
        return host_fd;
    }
    if (type == SOCK_DGRAM) {
        reach_out();
    }
    keep_host_socket(inet, host_fd, domain, type, found);
    *created = &inet->socket;
    return 0;
}

static int64_t create_ipv4(enum socket_type type, uint32_t protocol, struct socket **created)
{
    return create(AF_INET, type, protocol, created);
}

static int64_t create_ipv6(enum socket_type type, uint32_t protocol, struct socket **created)
{
    return create(AF_INET6, type, protocol, created);
}

static void inet_close(struct socket *socket)
{
    struct inet *inet = inet_of(socket);
    inet_unlist(inet);
    ahead_close(inet);
    host_close(inet->host_fd);
    event_source_put(&inet->source);
}

static int64_t inet_bind(struct socket *socket, const struct address *address)
{
    struct inet *inet = inet_of(socket);
    struct host_name name;
    struct address given = *address;
    if (address->length < least_address(socket->domain)) {
        return -EINVAL;
    }
    if (socket->domain == AF_INET && address_family(address) == AF_UNSPEC) {
        /* an old habit (ip(7)): any address may be bound to without a family */
        static const uint16_t family = AF_INET;
        static const uint8_t any[4];
        if (memcmp(address->bytes + 4, any, sizeof(any)) != 0) {
            return -EAFNOSUPPORT;
        }
        memcpy(given.bytes, &family, sizeof(family));
    }
    int64_t result = name_from_address(&name, &given, socket->domain);
    if (result == 0 && address_family(&given) != socket->domain) {
        result = -EAFNOSUPPORT;
    }
    if (result < 0) {
        return result;
    }
    if (!policy_allows_binding(name.bytes)) {
        return -EACCES;
    }
    result = host_bind(inet->host_fd, &name);
    inet->is_bound |= result == 0;
    return result;
}

/* What is done without a name would be open to every interface. */
static int64_t bind_to_loopback(struct inet *inet)
{
    struct host_name name = {.length = inet->socket.domain == AF_INET ? SOCKADDR_IN_SIZE : SOCKADDR_IN6_SIZE};
    memcpy(name.bytes, &inet->socket.domain, sizeof(inet->socket.domain));
    if (inet->socket.domain == AF_INET) {
        name.bytes[4] = 127;
        name.bytes[7] = 1;
    } else {
        name.bytes[8 + 15] = 1;
    }
    int64_t result = host_bind(inet->host_fd, &name);
    inet->is_bound |= result == 0;
    return result;
}

static int64_t inet_listen(struct socket *socket, int32_t backlog)
{
    struct inet *inet = inet_of(socket);
    if (socket->type != SOCK_STREAM) {
        return -EOPNOTSUPP;
    }
    if (!inet->is_bound && policy_is_loopback()) {
        int64_t bound = bind_to_loopback(inet);
        if (bound < 0) {
            return bound;
        }
    }
    int64_t result = host_listen(inet->host_fd, backlog);
    inet->has_ended &= result != 0; /* what listens was another connection's socket before */
    return result;
}

/* A connection that is not there any more does not count: its end is not that of the next one. */
static int64_t connect_on_host(struct inet *inet, const struct host_name *name)
{
    int64_t result = host_connect(inet->host_fd, name);
    bool is_same = result == -EISCONN || result == -EALREADY;
    inet->has_ended &= is_same;
    if (!is_same) {
        ahead_forget(inet);
    }
    return result;
}

/* An address that nobody can be reached by: what Linux says and does depends on the socket's state (__inet_stream_connect()), so the host is asked. */
static int64_t refuse_connection(struct inet *inet, const struct address *address)
{
    struct host_name name = {.length = address->length < HOST_NAME_SIZE ? address->length : HOST_NAME_SIZE};
    memcpy(name.bytes, address->bytes, name.length);
    return connect_on_host(inet, &name); /* 0: one that was in progress is there */
}

static int64_t inet_connect(struct socket *socket, const struct address *address, struct poller *poller)
{
    struct inet *inet = inet_of(socket);
    struct host_name name;
    if (address->length < sizeof(uint16_t)) {
        return -EINVAL;
    }
    if (address_family(address) == AF_UNSPEC) {
        name = (struct host_name){.length = SOCKADDR_IN_SIZE};
        return connect_on_host(inet, &name);
    }
    int64_t result = name_from_address(&name, address, socket->domain);
    if (result < 0) {
        return refuse_connection(inet, address);
    }
    if (!policy_allows_peer("connect", name.bytes)) {
        return -EACCES;
    }
    if (!may_try(inet, POLLOUT, poller)) {
        return -EINPROGRESS;
    }
    reach_out();
    return connect_on_host(inet, &name);
}

static int64_t inet_accept(struct socket *socket, struct socket **connected, struct address *peer, struct poller *poller)
{
    struct inet *inet = inet_of(socket);
    struct host_name name;
    if (socket->type != SOCK_STREAM) {
        return -EOPNOTSUPP;
    }
    if (!may_try(inet, POLLIN, poller)) {
        return -EAGAIN;
    }
    struct inet *made = allocate(sizeof(struct inet));
    if (made == NULL) {
        return -ENOMEM;
    }
    int host_fd = host_accept(inet->host_fd, &name);
    int64_t result = host_fd;
    if (host_fd >= 0) {
        result = !address_from_name(peer, &name, socket->domain) ? -EPERM : !policy_allows_source(name.bytes) ? -ECONNABORTED : 0;
    }
    if (result < 0) {
        if (host_fd >= 0) {
            host_close(host_fd);
        }
        release(made, sizeof(struct inet));
        return result;
    }
    keep_host_socket(made, host_fd, socket->domain, SOCK_STREAM, socket->protocol);
    made->ahead.is_refused = inet->ahead.is_refused;
    *connected = &made->socket;
    return 0;
}

static int64_t inet_name(struct socket *socket, bool is_peer, struct address *address)
{
    struct host_name name;
    int64_t result = host_socket_name(inet_of(socket)->host_fd, is_peer, &name);
    return result < 0 ? result : address_from_name(address, &name, socket->domain) ? 0 : -EPERM;
}

static void remember_input(struct inet *inet, const struct host_message *message, uint64_t activity)
{
    quiet_note(&inet->input, message->input == HOST_INPUT_NONE, activity);
}

/* Whoever is asked in vain has the host look with the next transfers. */
static bool inet_is_read_up(struct socket *socket)
{
    struct inet *inet = inet_of(socket);
    if (ahead_length(inet) > 0) {
        return false;
    }
    bool is_known = quiet_holds(&inet->input);
    inet->asks_for_input |= !is_known && socket->type == SOCK_STREAM;
    return is_known;
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

static int64_t inet_send(struct socket *socket, struct message *message, struct poller *poller)
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
    if (!may_try(inet, POLLOUT, poller)) {
        return -EAGAIN;
    }
    uint64_t activity = host_activity();
    uint32_t added = (length < message->length ? MSG_MORE : 0) | (begins ? MSG_FASTOPEN : 0);
    result = host_send(inet->host_fd, &header, message->data, length, (message->flags & SENT_FLAGS) | added);
    if (begins) {
        reach_out();
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
static int64_t receive_stream(struct inet *inet, struct message *message, uint32_t flags)
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

static int64_t inet_receive(struct socket *socket, struct message *message, struct poller *poller)
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
    if (!has_ahead && !may_try(inet, (flags & MSG_OOB) != 0 ? POLLPRI : POLLIN, poller)) {
        return -EAGAIN;
    }
    if (!has_ahead && !is_error && quiet_use(&inet->input) && poller == NULL) {
        return -EAGAIN;
    }
    int64_t result;
    do {
        result = is_stream ? receive_stream(inet, message, flags) : receive_from_host(inet, message, (struct ahead_found){0}, flags);
    } while (result == -EAGAIN && (flags & MSG_OOB) == 0 && ahead_length(inet) > 0); /* which has come since it was read */
    inet->asks_for_input |= result == -EAGAIN && poller == NULL && is_stream;
    return result;
}

static bool inet_has_ahead(struct socket *socket)
{
    return ahead_length(inet_of(socket)) > 0;
}

static int64_t inet_shutdown(struct socket *socket, enum shutdown_how how)
{
    struct inet *inet = inet_of(socket);
    int64_t result = host_shutdown(inet->host_fd, how);
    inet->reads_no_more |= result == 0 && how != SHUT_WR;
    return result;
}

static uint32_t inet_poll(struct socket *socket, struct poller *poller)
{
    struct inet *inet = inet_of(socket);
    ahead_watch(inet, poller);
    return poller_watch_host(poller, inet->host_fd) | (ahead_length(inet) > 0 ? POLLIN | POLLRDNORM : 0);
}

static int inet_host_descriptor(const struct socket *socket)
{
    return CONTAINER_OF(socket, const struct inet, socket)->host_fd;
}

/* Linux, include/uapi/asm-generic/{ioctls,sockios}.h: each gives an int. */
enum { FIONREAD = 0x541B, TIOCOUTQ = 0x5411, SIOCATMARK = 0x8905 };

static int64_t inet_ioctl(struct socket *socket, uint32_t request, user_address argument)
{
    int32_t value = 0;
    if (request != FIONREAD && request != TIOCOUTQ && request != SIOCATMARK) {
        return -ENOTTY;
    }
    struct inet *inet = inet_of(socket);
    int32_t ahead = (int32_t)ahead_length(inet);
    int64_t result = host_ioctl(inet->host_fd, request, &value, 0, sizeof(value));
    value = value < 0 ? 0 : value;
    if (request == FIONREAD) {
        value = value > INT32_MAX - ahead ? INT32_MAX : value + ahead;
    } else if (request == SIOCATMARK && ahead > 0) {
        value = 0; /* what comes before the mark was not read yet */
    }
    return result < 0 ? result : copy_to_user(argument, &value, sizeof(value));
}

static const struct socket_operations operations = {
    .bind = inet_bind,
    .connect = inet_connect,
    .listen = inet_listen,
    .accept = inet_accept,
    .name = inet_name,
    .send = inet_send,
    .receive = inet_receive,
    .shutdown = inet_shutdown,
    .get_option = inet_get_option,
    .set_option = inet_set_option,
    .poll = inet_poll,
    .host_descriptor = inet_host_descriptor,
    .is_read_up = inet_is_read_up,
    .has_ahead = inet_has_ahead,
    .ioctl = inet_ioctl,
    .close = inet_close,
};

const struct socket_family ipv4_family = {.domain = AF_INET, .create = create_ipv4};
const struct socket_family ipv6_family = {.domain = AF_INET6, .create = create_ipv6};
