/* The machine's network interfaces, for the enclave's netlink(7), ioctls and /proc/net. */
#define _GNU_SOURCE
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ocall.h"

/* linux/rtnetlink.h */
#define SCOPE_UNIVERSE 0U
#define SCOPE_LINK 253U
#define SCOPE_HOST 254U

static uint32_t prefix_of(const uint8_t *mask, size_t size)
{
    uint32_t bits = 0;
    for (size_t at = 0; at < size; at++) {
        bits += (uint32_t)__builtin_popcount(mask[at]);
    }
    return bits;
}

static void fill_address(struct host_interface *to, const struct ifaddrs *from)
{
    if (from->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *mask = (const struct sockaddr_in *)(const void *)from->ifa_netmask;
        const struct sockaddr_in *broadcast = (const struct sockaddr_in *)(const void *)from->ifa_broadaddr;
        memcpy(to->address, &((const struct sockaddr_in *)(const void *)from->ifa_addr)->sin_addr, 4);
        to->prefix = mask ? prefix_of((const uint8_t *)&mask->sin_addr, 4) : 32;
        to->scope = to->address[0] == 127 ? SCOPE_HOST : SCOPE_UNIVERSE;
        if (broadcast && (from->ifa_flags & IFF_BROADCAST)) {
            memcpy(to->broadcast, &broadcast->sin_addr, 4);
        }
    } else {
        const struct sockaddr_in6 *mask = (const struct sockaddr_in6 *)(const void *)from->ifa_netmask;
        const struct in6_addr *address = &((const struct sockaddr_in6 *)(const void *)from->ifa_addr)->sin6_addr;
        memcpy(to->address, address, 16);
        to->prefix = mask ? prefix_of((const uint8_t *)&mask->sin6_addr, 16) : 128;
        to->scope = IN6_IS_ADDR_LOOPBACK(address) ? SCOPE_HOST : IN6_IS_ADDR_LINKLOCAL(address) ? SCOPE_LINK : SCOPE_UNIVERSE;
    }
}

/* The MTU and the hardware's address; zeros where there is none. */
static void fill_hardware(struct host_interface *to, int descriptor)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, to->name, sizeof(to->name));
    if (descriptor >= 0 && ioctl(descriptor, SIOCGIFMTU, &request) == 0) {
        to->mtu = (uint32_t)request.ifr_mtu;
    }
    if (descriptor >= 0 && ioctl(descriptor, SIOCGIFHWADDR, &request) == 0) {
        to->hardware_type = request.ifr_hwaddr.sa_family;
        memcpy(to->hardware, request.ifr_hwaddr.sa_data, 6);
    }
}

/* One record for each address, and one without for an interface that has none: getifaddrs() names it as AF_PACKET first. */
int64_t ocall_interfaces(struct request *call)
{
    struct ifaddrs *list;
    uint64_t used = 0;
    if (getifaddrs(&list) != 0) {
        return -errno;
    }
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (const struct ifaddrs *at = list; at && call->arguments[0] - used >= sizeof(struct host_interface); at = at->ifa_next) {
        int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
        struct host_interface record = {.index = if_nametoindex(at->ifa_name), .flags = at->ifa_flags};
        if (record.index == 0) {
            continue; /* an alias (eth0:1) or gone */
        }
        strncpy(record.name, at->ifa_name, sizeof(record.name) - 1);
        fill_hardware(&record, descriptor);
        if (family == AF_INET || family == AF_INET6) {
            record.family = (uint16_t)family;
            fill_address(&record, at);
        }
        memcpy(call->data + used, &record, sizeof(record));
        used += sizeof(record);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    freeifaddrs(list);
    return (int64_t)used;
}
