/* Control messages of AF_UNIX: open files and credentials (unix(7)). */
#ifndef ENCLAVIZE_NET_UNIX_CONTROL_H
#define ENCLAVIZE_NET_UNIX_CONTROL_H

#include "net/unix_queue.h"

/* What a message to be sent carries. -EBADF, -EINVAL, -EPERM, -ETOOMANYREFS, -ENOMEM: `rights` is empty. */
int64_t control_import(const struct message *message, struct rights *rights, struct sender *from);
/* The same errors alone: Linux finds them before it looks whether anything can be sent (scm_send()). */
int64_t control_check(const struct message *message);

/* A copy, for who only looks (MSG_PEEK); empty where there is no memory. */
struct rights rights_copy(const struct rights *rights);
/* Gives the files descriptors, as many as there is room for; the rest is closed. */
void rights_deliver(struct message *message, struct rights *rights);
void rights_release(struct rights *rights);

#endif
