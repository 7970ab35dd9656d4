/* One line for each family of sockets. */
#ifndef ENCLAVIZE_NET_FAMILIES_H
#define ENCLAVIZE_NET_FAMILIES_H

#include "net/net.h"

extern const struct socket_family unix_family;
extern const struct socket_family ipv4_family;
extern const struct socket_family ipv6_family;
extern const struct socket_family netlink_family;
/* Sets netlink's part of fs_upcalls. */
void netlink_start(void);
/* And what was read ahead of TCP's streams. */
void ahead_start(void);

#endif
