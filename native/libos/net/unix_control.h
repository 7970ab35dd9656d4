/* Control messages of AF_UNIX: open files and credentials (unix(7)). */
#ifndef ENCLAVIZE_NET_UNIX_CONTROL_H
#define ENCLAVIZE_NET_UNIX_CONTROL_H

#include "net/unix_queue.h"

/* What goes with a message's bytes. */
struct cargo {
    struct rights rights; /* none any more, once they are in a packet */
    struct sender from;
};
/*
 * Takes in what a message's control messages say, if that was not done yet: before it is looked whether anything can be sent, and once, since descriptors
 * may mean something else after a wait (scm_send() of Linux). -EBADF, -EINVAL, -EPERM, -ETOOMANYREFS, -ENOMEM.
 */
int64_t cargo_load(struct message *message);
void cargo_discard(struct cargo *cargo);

/* A copy, for who only looks (MSG_PEEK); empty where there is no memory. */
struct rights rights_copy(const struct rights *rights);
/* Gives the files descriptors, as many as there is room for; the rest is closed. */
void rights_deliver(struct message *message, struct rights *rights);
void rights_release(struct rights *rights);

#endif
