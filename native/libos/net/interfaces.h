/* The network interfaces that the application sees: the host's where the policy allows the whole network, else one loopback interface that is made here. */
#ifndef ENCLAVIZE_NET_INTERFACES_H
#define ENCLAVIZE_NET_INTERFACES_H

#include "boundary/boundary.h"
#include "net/net.h"

#define INTERFACES_MAX 128U

/* One record for each address, and one without for each interface (host_interface.family 0), which comes first. */
struct interfaces {
    struct host_interface *list; /* checked */
    size_t count;
};

/* -ENOMEM, or what the host says. Give it back with interfaces_free(). */
int64_t interfaces_read(struct interfaces *interfaces);
void interfaces_free(struct interfaces *interfaces);

/* The SIOCGIF* requests of netdevice(7) (interface_ioctl.c). -EPERM for those that change something, -ENOTTY for any other. */
int64_t interface_ioctl(uint32_t request, user_address argument);

#endif
