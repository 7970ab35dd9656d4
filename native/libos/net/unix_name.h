/* Names of AF_UNIX sockets: files, and the abstract ones (unix(7)). */
#ifndef ENCLAVIZE_NET_UNIX_NAME_H
#define ENCLAVIZE_NET_UNIX_NAME_H

#include "net/unix_queue.h"

struct binding;

/* Gives an inbox its name; an address without any asks for a free one. -EADDRINUSE, -EINVAL, and those of paths. */
int64_t name_bind(struct inbox *inbox, const struct address *address, struct binding **binding);
void name_unbind(struct binding *binding); /* NULL is fine */

/* The inbox of that name, counted. -ECONNREFUSED, -EPROTOTYPE, -EINVAL, and those of paths. */
int64_t name_find(const struct address *address, uint16_t type, struct inbox **inbox);

#endif
