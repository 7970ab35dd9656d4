/* The data of messages, between the pieces of application memory that iovecs name and the families. */
#ifndef ENCLAVIZE_NET_TRANSFER_H
#define ENCLAVIZE_NET_TRANSFER_H

#include "net/net.h"

/* `data` and `length` of the message are filled in here. A stream goes on until all is sent or it would have to wait longer
 * than it may. The bytes that were sent, or a negative errno (without SIGPIPE). */
int64_t transfer_send(struct socket *socket, struct message *message, const struct pieces *pieces, uint64_t timeout_ns);

/* The bytes that were received, or a negative errno. MSG_WAITALL is served here, MSG_TRUNC by the caller. */
int64_t transfer_receive(struct socket *socket, struct message *message, const struct pieces *pieces, uint64_t timeout_ns);

#endif
