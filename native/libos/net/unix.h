/* Sockets of AF_UNIX, which stay inside the enclave (unix(7)). */
#ifndef ENCLAVIZE_NET_UNIX_H
#define ENCLAVIZE_NET_UNIX_H

#include "net/unix_name.h"
#include "net/unix_queue.h"

/* Sizes of buffers that a program may ask for (net.core.wmem_max and wmem_default of Linux; the kernel doubles what it is told). */
#define BUFFER_DEFAULT 212992U
#define BUFFER_SMALLEST 4608U

/* SO_LINGER. */
struct linger {
    int32_t is_on, seconds;
};

struct endpoint {
    struct socket socket; /* must be the first */
    struct mutex lock;    /* guards what follows, but for `in`; taken before that of an inbox */
    struct inbox *in;     /* never changes */
    struct inbox *out;    /* of whom it is connected to; NULL: nobody */
    struct binding *binding;
    struct endpoint *next_waiting; /* under the lock of the inbox where it waits to be accepted */
    bool sends_no_more;
    bool passes_credentials; /* SO_PASSCRED */
    uint32_t send_size, receive_size;
    int32_t priority;
    struct linger linger;
    uint64_t switches; /* one bit for each option that has only to be remembered */
    struct sender peer; /* SO_PEERCRED */
    struct endpoint *next, *previous; /* all there are */
};
static inline struct endpoint *endpoint_of(struct socket *socket)
{
    return CONTAINER_OF(socket, struct endpoint, socket);
}
static inline bool has_switch(const struct endpoint *endpoint, enum socket_option name)
{
    return (endpoint->switches & 1ULL << name) != 0;
}
static inline bool has_connections(const struct socket *socket)
{
    return socket->type != SOCK_DGRAM;
}

/* Of whom it is connected to, counted; NULL: nobody. */
struct inbox *endpoint_out(struct endpoint *endpoint);

/* For every endpoint, one after the other; none can be closed meanwhile. */
void unix_each(void (*each)(struct endpoint *endpoint, void *context), void *context);

/*
 * Datagrams: who is connected to somebody else than before, or to nobody any more, loses what was not read yet; a former partner who is still
 * connected hears of that (unix_dgram_disconnected() of Linux). The lock is held; what was lost is the caller's to release without it.
 */
struct packet *endpoint_lose_partner(struct endpoint *endpoint);

/* unix_data.c */
int64_t unix_send(struct socket *socket, struct message *message, struct poller *poller);
int64_t unix_receive(struct socket *socket, struct message *message, struct poller *poller);
uint32_t unix_poll(struct socket *socket, struct poller *poller);
int64_t unix_ioctl(struct socket *socket, uint32_t request, user_address argument);

/* unix_option.c */
int64_t unix_get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size);
int64_t unix_set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size);

#endif
