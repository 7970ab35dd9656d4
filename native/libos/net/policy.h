/* The measured policy about the network (enclavize build --allow-network), enforced inside. A refusal is told in one line. */
#ifndef ENCLAVIZE_NET_POLICY_H
#define ENCLAVIZE_NET_POLICY_H

#include "net/net.h"

/* May there be sockets of AF_INET and AF_INET6 at all? */
bool policy_allows_sockets(void);
/* May a name that the application gave be bound to? Any local address is not loopback alone. */
bool policy_allows_binding(const uint8_t *name);
/* May be sent to, or connected to? `what` is the call. The unspecified address is this machine. */
bool policy_allows_peer(const char *what, const uint8_t *name);
/* Of what the host says comes from there: nothing is told. */
bool policy_allows_source(const uint8_t *name);
bool policy_allows_everything(const char *what);
/* Must a socket that was not bound be bound to the loopback address before it listens? */
bool policy_is_loopback(void);

#endif
