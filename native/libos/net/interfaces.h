/* The network interfaces that the application sees: the host's, of which the policy lets through what it allows. */
#ifndef ENCLAVIZE_NET_INTERFACES_H
#define ENCLAVIZE_NET_INTERFACES_H

#include "net/net.h"

/* The SIOCGIF* requests of netdevice(7). -ENOTTY for any other. */
int64_t interface_ioctl(uint32_t request, user_address argument);

#endif
