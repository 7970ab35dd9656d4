/* Who hears of each change of some sources, whether it sleeps or not: an item of an epoll. */
#ifndef ENCLAVIZE_FS_SUBSCRIBER_H
#define ENCLAVIZE_FS_SUBSCRIBER_H

#include "fs/poller.h"

struct subscription;

/* Its sources are those that a file names while it is polled between poller_begin() and poller_end(). */
struct subscriber {
    struct subscription *first;
    uint32_t round;     /* of polling: sources that the last one did not name are given up */
    uint32_t changes;   /* when it was polled; counts on whenever a source changes. 0: it has none */
    bool must_be_asked; /* sources do not tell all: the host, a time, or who asks has a say */
    void (*changed)(struct subscriber *subscriber); /* under a spinlock */
};

/* False: out of memory. Naming a source twice does nothing more. */
bool subscriber_name(struct subscriber *subscriber, struct event_source *source);
void subscriber_begin_round(struct subscriber *subscriber);
void subscriber_end_round(struct subscriber *subscriber);
/* Nothing is told after it has returned. */
void subscriber_leave(struct subscriber *subscriber);

#endif
