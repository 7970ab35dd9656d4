/* Names of AF_UNIX sockets: files, and the abstract ones (unix(7)). */
#ifndef ENCLAVIZE_NET_UNIX_NAME_H
#define ENCLAVIZE_NET_UNIX_NAME_H

#include "net/unix_queue.h"

struct binding;

/* unix_validate_addr() of Linux. */
bool name_is_good(const struct address *address);
/* A family and nothing else: some abstract name that is free (unix(7), Autobind feature). */
bool asks_for_any_name(const struct address *address);

/* Gives an inbox its name; an address without any asks for a free one. -EADDRINUSE, -EINVAL, and those of paths. */
int64_t name_bind(struct inbox *inbox, const struct address *address, struct binding **binding);
void name_unbind(struct binding *binding); /* NULL is fine */

/* The inbox of that name, counted. -ECONNREFUSED, -EPROTOTYPE, -EINVAL, and those of paths. */
int64_t name_find(const struct address *address, uint16_t type, struct inbox **inbox);

#endif
