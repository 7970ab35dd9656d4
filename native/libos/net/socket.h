/* What the calls of the net room share. */
#ifndef ENCLAVIZE_NET_SOCKET_H
#define ENCLAVIZE_NET_SOCKET_H

#include "net/net.h"

/* A step that cannot be done now says -EAGAIN, -EINPROGRESS or -EALREADY, and registers with the poller unless that is NULL. */
typedef int64_t socket_step(struct socket *socket, void *context, struct poller *poller);
/* Takes the step until it is done, the time is over (then what it said last), or a signal waits (-EINTR). */
int64_t socket_wait(struct socket *socket, socket_step *step, void *context, uint64_t timeout_ns);

/* One piece of data through the family; `timeout_ns` 0: does not wait. */
int64_t socket_send(struct socket *socket, struct message *message, uint64_t timeout_ns);
int64_t socket_receive(struct socket *socket, struct message *message, uint64_t timeout_ns);

/* How long a call with these MSG_* flags may wait. */
uint64_t send_timeout(const struct file *file, const struct socket *socket, uint32_t flags);
uint64_t receive_timeout(const struct file *file, const struct socket *socket, uint32_t flags);

/* SIGPIPE where it belongs; gives the result on. */
int64_t raise_broken_pipe(const struct socket *socket, uint32_t flags, int64_t result);

/* The open file behind a descriptor, with a count, and its socket. -EBADF, -ENOTSOCK. */
int64_t socket_at(const struct arguments *arguments, uint32_t index, struct file **file, struct socket **socket);

/* Gives the socket of the first argument to a call. -EBADF, -ENOTSOCK. */
typedef int64_t socket_call(struct file *file, struct socket *socket, const struct arguments *arguments);
int64_t on_socket(const struct arguments *arguments, socket_call *call);

/* readv and writev: a message is one message, however many pieces it comes in (message.c). */
int64_t socket_vector(struct file *file, const struct iovec *vector, size_t count, bool writes);

#endif
