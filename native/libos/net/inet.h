/* AF_INET and AF_INET6: sockets of the host. */
#ifndef ENCLAVIZE_NET_INET_H
#define ENCLAVIZE_NET_INET_H

#include "boundary/boundary.h"
#include "net/control.h"

#define IPPROTO_IP 0U
#define IPPROTO_ICMP 1U
#define IPPROTO_TCP 6U
#define IPPROTO_UDP 17U
#define IPPROTO_IPV6 41U
#define IPPROTO_ICMPV6 58U
#define IPPROTO_UDPLITE 136U

#define SOCKADDR_IN_SIZE 16U
#define SOCKADDR_IN6_SIZE 28U

/* inet_ahead.c */
struct inet_ahead {
    struct spinlock lock;
    struct host_ahead *piece; /* NULL: there is none */
    uint32_t start;  /* of what of it was not read yet */
    uint32_t count;  /* of pieces that have come */
    bool is_all;     /* the stream had no more when it was read */
    bool is_refused; /* by an option that has a say in how it is received */
};

struct inet {
    struct socket socket;
    int host_fd;
    uint64_t number; /* no two sockets have the same one */
    struct event_source source; /* changes when a piece has come ahead; what the host has, only the host tells */
    struct mutex reading; /* held by who takes of a stream what was read ahead, and what follows from the host */
    struct inet_ahead ahead;
    bool is_bound; /* by the application */
    bool reads_no_more; /* shutdown() was called for what comes; TCP gives what comes all the same */
    bool has_ended; /* a stream's end was received: the host cannot make it go on */
    /* A stream's reader asks until there is nothing left. When it has done so, the host is asked with each transfer whether it would be so (enum host_input). */
    bool asks_for_input;
    struct quiet input; /* there is none */
    struct inet *next, *previous; /* inet_list.c */
};

static inline struct inet *inet_of(struct socket *socket)
{
    return CONTAINER_OF(socket, struct inet, socket);
}

/* inet_list.c: for every socket, one after the other, or for the one of that number, if it is there; none can be closed meanwhile. */
void inet_each(void (*each)(struct inet *inet, void *context), void *context);
void inet_with(uint64_t number, void (*use)(struct inet *inet, void *context), void *context);
void inet_list(struct inet *inet);
/* What the host has read ahead under the last number is nobody's from now on. */
void inet_renumber(struct inet *inet);
void inet_unlist(struct inet *inet);

/* inet_transfer.c */
int64_t inet_send(struct socket *socket, struct message *message, struct poller *poller);
int64_t inet_receive(struct socket *socket, struct message *message, struct poller *poller);
/* Has the host said that it can be done? Without a poller there is nobody to ask: trying shows it. */
bool inet_may_try(struct inet *inet, uint32_t events, struct poller *poller);
/* What the program sends may come to a socket of its own from now on. */
void inet_reach_out(void);

/* inet_ahead.c: tells the host of it; what is there, in bytes. */
void ahead_describe(struct inet *inet, struct host_message *header);
size_t ahead_length(struct inet *inet);
void ahead_watch(struct inet *inet, struct poller *poller);
struct ahead_found {
    size_t size;
    uint32_t count; /* of the pieces up to then: what the host gives behind them is only what comes next if none has come since */
    bool is_all; /* the host had no more, so that a reader who gets less than he has room for may believe that there is no more */
};

struct ahead_found ahead_read(struct inet *inet, void *to, size_t length, bool looks_only);
/* Another connection begins: what is there, or on its way, is of the last one. */
void ahead_forget(struct inet *inet);
/* Before the host's socket is closed, when it is in no list any more. */
void ahead_close(struct inet *inet);

/* inet_name.c: the size of an address at least; names as the host takes them. -EINVAL: too short; -EAFNOSUPPORT: of another family. AF_UNSPEC passes where the caller says so. */
uint32_t least_address(uint32_t domain);
int64_t name_from_address(struct host_name *name, const struct address *address, uint32_t domain);
/* False (and a line on the log): not a name of this family. */
bool address_from_name(struct address *address, const struct host_name *name, uint32_t domain);

/* inet_option.c */
int64_t inet_get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size);
int64_t inet_set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size);
int64_t inet_ioctl(struct socket *socket, uint32_t request, user_address argument);

/* inet_control.c: control messages that pass, in their own form. -EINVAL: one that does not. */
int64_t control_to_host(struct host_message *to, const struct control *from);
void control_from_host(struct message *to, const struct host_message *from);

#endif
