/* What is on its way between sockets of AF_UNIX: packets in the inbox of who will read them. */
#ifndef ENCLAVIZE_NET_UNIX_QUEUE_H
#define ENCLAVIZE_NET_UNIX_QUEUE_H

#include "net/net.h"

/* struct ucred of Linux. */
struct sender {
    int32_t process;
    uint32_t user, group;
};
struct sender sender_current(void);

/* Open files on their way (SCM_RIGHTS), each counted. */
struct rights {
    struct file **files;
    uint32_t count;
};

struct inbox;
struct endpoint;

struct packet {
    struct packet *next;
    size_t length, taken; /* bytes; of those of a stream, how many have been read */
    struct sender from;
    struct inbox *sender; /* whose name is the address of a message; counted */
    struct rights rights;
    uint8_t data[];
};

/* A socket's end for those who send to it, which outlives the socket while they know it. */
struct inbox {
    struct event_source source; /* counts the inbox */
    struct mutex lock;          /* guards all below; no other is taken under it */
    struct packet *first, *last;
    uint32_t packets;
    size_t bytes;
    uint16_t type;        /* enum socket_type; never changes */
    bool ended;           /* nothing more will come */
    bool refuses;         /* nobody will read what comes */
    bool closed;          /* the socket is gone */
    int32_t error;        /* to be told once, positive */
    struct address name;  /* length 0: none */
    const struct inbox *partner; /* of connected datagrams: nobody else may send. Compared only */

    bool listens;
    uint32_t backlog, waiting;
    struct sender listener;
    struct endpoint *first_waiting, *last_waiting; /* connections that nobody has accepted */
};

struct inbox *inbox_create(enum socket_type type);
static inline struct inbox *inbox_get(struct inbox *inbox)
{
    __atomic_fetch_add(&inbox->source.references, 1, __ATOMIC_RELAXED);
    return inbox;
}
static inline void inbox_put(struct inbox *inbox) /* NULL is fine */
{
    if (inbox) {
        event_source_put(&inbox->source);
    }
}

/* NULL: no memory. Takes over the rights, if it is made. */
struct packet *packet_create(const struct message *message, size_t length, struct inbox *sender, struct rights *rights);
/* One or a list of them. Files that are still in them are closed; the lock of no inbox is held. */
void packets_release(struct packet *packets);

/* The lock is held for these. */
void inbox_append(struct inbox *inbox, struct packet *packet);
struct packet *inbox_take_first(struct inbox *inbox);
struct packet *inbox_take_all(struct inbox *inbox);

#endif
