/* TCP and UDP over IPv4 and IPv6: each socket is one of the host's, which never blocks. What comes back is checked; waiting is the net room's. */
#include "net/inet.h"

#include "net/families.h"
#include "net/policy.h"

#define IPPROTO_MAX 263U /* include/uapi/linux/in.h */

static const struct socket_operations operations;

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
    if (!inet) {
        return -ENOMEM;
    }
    int host_fd = host_socket(domain, type, found);
    if (host_fd < 0) {
        release(inet, sizeof(struct inet));
        return host_fd;
    }
    if (type == SOCK_DGRAM) {
        inet_reach_out();
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
    if (!inet_may_try(inet, POLLOUT, poller)) {
        return -EINPROGRESS;
    }
    inet_reach_out();
    return connect_on_host(inet, &name);
}

static int64_t inet_accept(struct socket *socket, struct socket **connected, struct address *peer, struct poller *poller)
{
    struct inet *inet = inet_of(socket);
    struct host_name name;
    if (socket->type != SOCK_STREAM) {
        return -EOPNOTSUPP;
    }
    if (!inet_may_try(inet, POLLIN, poller)) {
        return -EAGAIN;
    }
    struct inet *made = allocate(sizeof(struct inet));
    if (!made) {
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
