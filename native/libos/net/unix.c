/* AF_UNIX: how sockets come and go, and who is connected to whom. */
#include "net/unix.h"

#include "net/families.h"
#include "net/unix_control.h"

#define BACKLOG_MAX 4096 /* net.core.somaxconn of Linux */

struct inbox *endpoint_out(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->lock);
    struct inbox *out = !endpoint->out ? NULL : inbox_get(endpoint->out);
    mutex_unlock(&endpoint->lock);
    return out;
}

static const struct socket_operations operations;

static struct mutex list_lock;
static struct endpoint *first;

void unix_each(void (*each)(struct endpoint *endpoint, void *context), void *context)
{
    mutex_lock(&list_lock);
    for (struct endpoint *endpoint = first; endpoint; endpoint = endpoint->next) {
        each(endpoint, context);
    }
    mutex_unlock(&list_lock);
}

static void list(struct endpoint *endpoint)
{
    mutex_lock(&list_lock);
    endpoint->next = first;
    if (first) {
        first->previous = endpoint;
    }
    first = endpoint;
    mutex_unlock(&list_lock);
}

static void unlist(struct endpoint *endpoint)
{
    mutex_lock(&list_lock);
    *(endpoint->previous ? &endpoint->previous->next : &first) = endpoint->next;
    if (endpoint->next) {
        endpoint->next->previous = endpoint->previous;
    }
    mutex_unlock(&list_lock);
}

static struct endpoint *endpoint_create(enum socket_type type)
{
    struct endpoint *endpoint = allocate(sizeof(struct endpoint));
    struct inbox *inbox = inbox_create(type);
    if (!endpoint || !inbox) {
        release(endpoint, sizeof(struct endpoint));
        inbox_put(inbox);
        return NULL;
    }
    *endpoint = (struct endpoint){
        .in = inbox,
        .send_size = BUFFER_DEFAULT,
        .receive_size = BUFFER_DEFAULT,
        .peer = {.user = UINT32_MAX, .group = UINT32_MAX},
    };
    socket_initialise(&endpoint->socket, &operations, AF_UNIX, type, 0);
    list(endpoint);
    return endpoint;
}

/* Who has sent to this inbox hears that nobody reads it; what waits in it goes back to the caller. */
static struct packet *shut_inbox(struct inbox *inbox, struct endpoint **waiting)
{
    mutex_lock(&inbox->lock);
    struct packet *packets = inbox_take_all(inbox);
    inbox->ended = inbox->refuses = inbox->closed = true;
    inbox->listens = false;
    *waiting = inbox->first_waiting;
    inbox->first_waiting = inbox->last_waiting = NULL;
    mutex_unlock(&inbox->lock);
    event_source_changed(&inbox->source);
    return packets;
}

static void end_inbox(struct inbox *inbox, int32_t error)
{
    mutex_lock(&inbox->lock);
    inbox->ended = inbox->refuses = true;
    inbox->error = error != 0 ? error : inbox->error;
    mutex_unlock(&inbox->lock);
    event_source_changed(&inbox->source);
}

/* `accepted` false: it was still waiting for that. */
static void endpoint_close(struct endpoint *endpoint, bool accepted)
{
    struct endpoint *waiting;
    unlist(endpoint);
    struct packet *packets = shut_inbox(endpoint->in, &waiting);
    name_unbind(endpoint->binding);
    if (endpoint->out && has_connections(&endpoint->socket)) {
        end_inbox(endpoint->out, packets || !accepted ? ECONNRESET : 0);
    }
    packets_release(packets);
    while (waiting) { /* these have nobody who waits for them */
        struct endpoint *next = waiting->next_waiting;
        endpoint_close(waiting, false);
        waiting = next;
    }
    inbox_put(endpoint->out);
    inbox_put(endpoint->in);
    release(endpoint, sizeof(struct endpoint));
}

static void unix_close(struct socket *socket)
{
    endpoint_close(endpoint_of(socket), true);
}

static int64_t unix_bind(struct socket *socket, const struct address *address)
{
    struct endpoint *endpoint = endpoint_of(socket);
    mutex_lock(&endpoint->lock);
    int64_t result = endpoint->binding ? (asks_for_any_name(address) ? 0 : -EINVAL) : name_bind(endpoint->in, address, &endpoint->binding);
    mutex_unlock(&endpoint->lock);
    return result;
}

static int64_t unix_listen(struct socket *socket, int32_t backlog)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *in = endpoint->in;
    if (!has_connections(socket)) {
        return -EOPNOTSUPP;
    }
    mutex_lock(&endpoint->lock);
    int64_t result = !endpoint->binding || endpoint->out ? -EINVAL : 0;
    if (result == 0) {
        mutex_lock(&in->lock);
        in->listens = true;
        in->backlog = backlog < 0 || backlog > BACKLOG_MAX ? BACKLOG_MAX : (uint32_t)backlog;
        in->listener = sender_current();
        mutex_unlock(&in->lock);
    }
    mutex_unlock(&endpoint->lock);
    if (result == 0) {
        event_source_has_room(&in->source); /* the backlog may be longer than before */
    }
    return result;
}

/* The other end of a connection, which waits to be accepted. -ECONNREFUSED, -EAGAIN: the backlog is full. */
static int64_t join_waiting(struct inbox *listener, struct endpoint *accepted)
{
    mutex_lock(&listener->lock);
    int64_t result = !listener->listens || listener->refuses ? -ECONNREFUSED : 0;
    if (result == 0 && listener->waiting > listener->backlog) {
        result = -EAGAIN;
    }
    if (result == 0) {
        if (listener->last_waiting) {
            listener->last_waiting->next_waiting = accepted;
        } else {
            listener->first_waiting = accepted;
        }
        listener->last_waiting = accepted;
        listener->waiting++;
    }
    mutex_unlock(&listener->lock);
    return result;
}

/* The endpoint's lock is held. */
static int64_t connect_to(struct endpoint *endpoint, struct inbox *listener)
{
    struct endpoint *accepted = endpoint_create((enum socket_type)listener->type);
    if (!accepted) {
        return -ENOMEM;
    }
    mutex_lock(&listener->lock);
    accepted->in->name = listener->name;
    struct sender peer = listener->listener;
    mutex_unlock(&listener->lock);
    accepted->peer = sender_current();
    accepted->out = inbox_get(endpoint->in);
    struct inbox *out = inbox_get(accepted->in);
    int64_t result = join_waiting(listener, accepted);
    if (result < 0) {
        inbox_put(accepted->out);
        accepted->out = NULL; /* nothing was connected, so nothing is reset */
        endpoint_close(accepted, false);
        inbox_put(out);
        return result;
    }
    endpoint->out = out;
    endpoint->peer = peer;
    event_source_has_data(&listener->source);
    event_source_changed(&endpoint->in->source);
    return 0;
}

static bool listens(struct inbox *inbox)
{
    mutex_lock(&inbox->lock);
    bool result = inbox->listens;
    mutex_unlock(&inbox->lock);
    return result;
}

static bool may_be_joined(struct inbox *inbox)
{
    mutex_lock(&inbox->lock);
    bool result = inbox->listens && !inbox->refuses;
    mutex_unlock(&inbox->lock);
    return result;
}

struct packet *endpoint_lose_partner(struct endpoint *endpoint)
{
    struct inbox *in = endpoint->in, *former = endpoint->out;
    mutex_lock(&in->lock);
    struct packet *lost = inbox_take_all(in);
    in->partner = NULL;
    mutex_unlock(&in->lock);
    if (!lost) {
        return NULL;
    }
    event_source_changed(&in->source);
    mutex_lock(&former->lock);
    bool hears = !former->closed && former->partner == in;
    former->error = hears ? ECONNRESET : former->error;
    mutex_unlock(&former->lock);
    if (hears) {
        event_source_changed(&former->source);
    }
    return lost;
}

/* Datagrams: from now on, these go there, and come from there alone. What is lost by that is the caller's to release. The endpoint's lock is held. */
static int64_t set_partner(struct endpoint *endpoint, struct inbox *partner, struct packet **lost)
{
    if (partner) {
        mutex_lock(&partner->lock);
        bool may_send = !partner->partner || partner->partner == endpoint->in;
        mutex_unlock(&partner->lock);
        if (!may_send) {
            return -EPERM;
        }
    }
    *lost = endpoint->out && endpoint->out != partner ? endpoint_lose_partner(endpoint) : NULL;
    mutex_lock(&endpoint->in->lock);
    endpoint->in->partner = partner;
    mutex_unlock(&endpoint->in->lock);
    inbox_put(endpoint->out);
    endpoint->out = !partner ? NULL : inbox_get(partner);
    event_source_moved(&endpoint->in->source); /* who wants to write waits for another inbox */
    return 0;
}

static int64_t unix_connect(struct socket *socket, const struct address *address, struct poller *poller)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *other = NULL;
    struct packet *lost = NULL;
    int64_t result = 0;
    bool disconnects = !has_connections(socket) && address_family(address) == AF_UNSPEC && address->length >= sizeof(uint16_t);
    if (!disconnects) {
        result = name_find(address, socket->type, &other);
    }
    if (result == 0) {
        if (other) {
            poller_watch_room(poller, &other->source);
        }
        mutex_lock(&endpoint->lock);
        if (!has_connections(socket)) {
            result = set_partner(endpoint, other, &lost);
        } else if (!may_be_joined(other)) {
            result = -ECONNREFUSED;
        } else if (endpoint->out) {
            result = -EISCONN;
        } else if (listens(endpoint->in)) {
            result = -EINVAL;
        } else {
            result = connect_to(endpoint, other);
        }
        mutex_unlock(&endpoint->lock);
    }
    packets_release(lost);
    inbox_put(other);
    return result;
}

/* Who has no name has a family all the same. */
static void tell_name(struct inbox *inbox, struct address *address)
{
    mutex_lock(&inbox->lock);
    *address = inbox->name;
    mutex_unlock(&inbox->lock);
    if (address->length == 0) {
        *address = (struct address){.length = sizeof(uint16_t), .bytes = {AF_UNIX}};
    }
}

static int64_t unix_accept(struct socket *socket, struct socket **connected, struct address *peer, struct poller *poller)
{
    struct inbox *in = endpoint_of(socket)->in;
    if (!has_connections(socket)) {
        return -EOPNOTSUPP;
    }
    poller_watch(poller, &in->source);
    mutex_lock(&in->lock);
    struct endpoint *accepted = in->first_waiting;
    bool will_come = !in->refuses || !poller; /* who does not wait is told that nobody is there yet, even after shutdown() */
    int64_t result = !in->listens ? -EINVAL : accepted ? 0 : will_come ? -EAGAIN : -EINVAL;
    if (result == 0) {
        in->first_waiting = accepted->next_waiting;
        in->last_waiting = !in->first_waiting ? NULL : in->last_waiting;
        accepted->next_waiting = NULL;
        in->waiting--;
    }
    mutex_unlock(&in->lock);
    if (result < 0) {
        return result;
    }
    event_source_has_room(&in->source);
    tell_name(accepted->out, peer);
    *connected = &accepted->socket;
    return 0;
}

static int64_t unix_name(struct socket *socket, bool peer, struct address *address)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *inbox = peer ? endpoint_out(endpoint) : inbox_get(endpoint->in);
    if (!inbox) {
        return -ENOTCONN;
    }
    tell_name(inbox, address);
    inbox_put(inbox);
    return 0;
}

/* Both ends hear of it: unix_shutdown() of Linux. */
static int64_t unix_shutdown(struct socket *socket, enum shutdown_how how)
{
    struct endpoint *endpoint = endpoint_of(socket);
    struct inbox *out = endpoint_out(endpoint);
    if (how != SHUT_WR) {
        mutex_lock(&endpoint->in->lock);
        endpoint->in->ended = endpoint->in->refuses = true;
        mutex_unlock(&endpoint->in->lock);
    }
    if (how != SHUT_RD) {
        mutex_lock(&endpoint->lock);
        endpoint->sends_no_more = true;
        mutex_unlock(&endpoint->lock);
        if (out && has_connections(socket)) {
            mutex_lock(&out->lock);
            out->ended = true;
            mutex_unlock(&out->lock);
        }
    }
    event_source_changed(&endpoint->in->source);
    if (out) {
        event_source_changed(&out->source);
        inbox_put(out);
    }
    return 0;
}

static const struct socket_operations operations = {
    .bind = unix_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .name = unix_name,
    .send = unix_send,
    .discard_cargo = cargo_discard,
    .receive = unix_receive,
    .shutdown = unix_shutdown,
    .get_option = unix_get_option,
    .set_option = unix_set_option,
    .poll = unix_poll,
    .ioctl = unix_ioctl,
    .close = unix_close,
};

/* SOCK_RAW means datagrams, as in Linux. */
static int64_t make(enum socket_type type, uint32_t protocol, struct endpoint **made)
{
    if (protocol != 0 && protocol != AF_UNIX) {
        return -EPROTONOSUPPORT;
    }
    type = type == SOCK_RAW ? SOCK_DGRAM : type;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET) {
        return -ESOCKTNOSUPPORT;
    }
    *made = endpoint_create(type);
    return !*made ? -ENOMEM : 0;
}

static int64_t unix_create(enum socket_type type, uint32_t protocol, struct socket **created)
{
    struct endpoint *endpoint;
    int64_t result = make(type, protocol, &endpoint);
    if (result == 0) {
        *created = &endpoint->socket;
    }
    return result;
}

static void join(struct endpoint *one, struct endpoint *other)
{
    one->out = inbox_get(other->in);
    one->peer = sender_current();
    one->in->partner = other->in;
}

static int64_t unix_pair(enum socket_type type, uint32_t protocol, struct socket *ends[2])
{
    struct endpoint *one, *other;
    int64_t result = make(type, protocol, &one);
    if (result < 0) {
        return result;
    }
    result = make(type, protocol, &other);
    if (result < 0) {
        endpoint_close(one, true);
        return result;
    }
    join(one, other);
    join(other, one);
    ends[0] = &one->socket;
    ends[1] = &other->socket;
    return 0;
}

const struct socket_family unix_family = {.domain = AF_UNIX, .create = unix_create, .pair = unix_pair};
