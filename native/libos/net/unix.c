/* AF_UNIX, so far as pairs of connected streams: two pipes inside the enclave, one for each direction. */
#include "net/families.h"

struct end {
    struct socket socket; /* must be the first */
    struct mutex lock;    /* guards the two flags */
    struct pipe *in, *out;
    bool reads, writes; /* until it is shut down */
};

static struct end *end_of(struct socket *socket)
{
    return CONTAINER_OF(socket, struct end, socket);
}

static int64_t end_receive(struct socket *socket, struct message *message, struct poller *poller)
{
    struct end *end = end_of(socket);
    if ((message->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    if (poller != NULL) {
        pipe_watch(end->in, false, poller);
    }
    if (!__atomic_load_n(&end->reads, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    return pipe_take(end->in, true, (message->flags & MSG_PEEK) != 0, message->data, message->length);
}

static int64_t end_send(struct socket *socket, struct message *message, struct poller *poller)
{
    struct end *end = end_of(socket);
    if (message->address.length > 0) {
        return -EISCONN;
    }
    if ((message->flags & MSG_OOB) != 0 || message->control.length > 0) {
        return -EOPNOTSUPP;
    }
    if (poller != NULL) {
        pipe_watch(end->out, true, poller);
    }
    if (!__atomic_load_n(&end->writes, __ATOMIC_ACQUIRE)) {
        return -EPIPE;
    }
    return pipe_put(end->out, true, message->data, message->length);
}

static uint32_t end_poll(struct socket *socket, struct poller *poller)
{
    struct end *end = end_of(socket);
    const struct pipe_state in = pipe_watch(end->in, false, poller), out = pipe_watch(end->out, true, poller);
    bool hears_no_more = in.writers_left || !__atomic_load_n(&end->reads, __ATOMIC_ACQUIRE);
    bool says_no_more = out.readers_left || !__atomic_load_n(&end->writes, __ATOMIC_ACQUIRE);
    uint32_t events = 0;
    events |= in.has_data || hears_no_more ? POLLIN | POLLRDNORM : 0;
    events |= out.has_room || says_no_more ? POLLOUT | POLLWRNORM : 0;
    events |= hears_no_more ? POLLRDHUP : 0;
    events |= hears_no_more && says_no_more ? POLLHUP : 0;
    return events;
}

static int64_t end_ioctl(struct socket *socket, uint32_t request, user_address argument)
{
    return pipe_ioctl(end_of(socket)->in, request, argument);
}

/* Neither end has a name. */
static int64_t end_name(struct socket *socket, bool peer, struct address *address)
{
    static const uint16_t family = AF_UNIX;
    (void)socket;
    (void)peer;
    memcpy(address->bytes, &family, sizeof(family));
    address->length = sizeof(family);
    return 0;
}

static void stop(struct end *end, bool reading, bool writing)
{
    mutex_lock(&end->lock);
    bool reads = end->reads && reading, writes = end->writes && writing;
    __atomic_store_n(&end->reads, end->reads && !reading, __ATOMIC_RELEASE);
    __atomic_store_n(&end->writes, end->writes && !writing, __ATOMIC_RELEASE);
    mutex_unlock(&end->lock);
    if (reads) {
        pipe_leave(end->in, true, false);
    }
    if (writes) {
        pipe_leave(end->out, false, true);
    }
}

static int64_t end_shutdown(struct socket *socket, enum shutdown_how how)
{
    stop(end_of(socket), how != SHUT_WR, how != SHUT_RD);
    return 0;
}

static void end_close(struct socket *socket)
{
    struct end *end = end_of(socket);
    stop(end, true, true);
    pipe_leave(end->in, false, false);
    pipe_leave(end->out, false, false);
    release(end, sizeof(struct end));
}

#define BUFFER_SIZE 65536 /* of a pipe */

static int64_t end_get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size)
{
    int32_t number = 0;
    (void)socket;
    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    switch (name) {
    case SO_SNDBUF:
    case SO_RCVBUF:
        number = BUFFER_SIZE;
        break;
    case SO_ERROR:
    case SO_ACCEPTCONN:
        break;
    default:
        return -ENOPROTOOPT;
    }
    memcpy(value, &number, *size = sizeof(number));
    return 0;
}

/* The sizes of buffers are a wish (socket(7)). */
static int64_t end_set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size)
{
    (void)socket;
    (void)value;
    (void)size;
    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    return name == SO_SNDBUF || name == SO_RCVBUF ? 0 : -ENOPROTOOPT;
}

static const struct socket_operations operations = {
    .name = end_name,
    .send = end_send,
    .receive = end_receive,
    .shutdown = end_shutdown,
    .get_option = end_get_option,
    .set_option = end_set_option,
    .poll = end_poll,
    .ioctl = end_ioctl,
    .close = end_close,
};

static struct end *end_create(struct pipe *in, struct pipe *out)
{
    struct end *end = allocate(sizeof(struct end));
    if (end == NULL) {
        return NULL;
    }
    *end = (struct end){.in = in, .out = out, .reads = true, .writes = true};
    socket_initialise(&end->socket, &operations, AF_UNIX, SOCK_STREAM, 0);
    pipe_join(in, true, false);
    pipe_join(out, false, true);
    /* Calls that run while the end is shut down still use both. */
    pipe_join(in, false, false);
    pipe_join(out, false, false);
    return end;
}

static int64_t unix_pair(enum socket_type type, uint32_t protocol, struct socket *ends[2])
{
    if (protocol != 0 && protocol != AF_UNIX) {
        return -EPROTONOSUPPORT;
    }
    if (type != SOCK_STREAM) {
        return -ESOCKTNOSUPPORT;
    }
    struct pipe *pipes[2] = {pipe_make(), pipe_make()};
    int64_t result = -ENOMEM;
    if (pipes[0] != NULL && pipes[1] != NULL) {
        struct end *one = end_create(pipes[0], pipes[1]), *other = end_create(pipes[1], pipes[0]);
        if (one != NULL && other != NULL) {
            ends[0] = &one->socket;
            ends[1] = &other->socket;
            result = 0;
        } else if (one != NULL || other != NULL) {
            end_close(one != NULL ? &one->socket : &other->socket);
        }
    }
    for (size_t at = 0; at < ARRAY_LENGTH(pipes); at++) {
        if (pipes[at] != NULL) {
            pipe_forget(pipes[at]);
        }
    }
    return result;
}

static int64_t unix_create(enum socket_type type, uint32_t protocol, struct socket **created)
{
    (void)type;
    (void)protocol;
    (void)created;
    return -EAFNOSUPPORT;
}

const struct socket_family unix_family = {.domain = AF_UNIX, .create = unix_create, .pair = unix_pair};
