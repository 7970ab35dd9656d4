/* /proc/net: what the room above says. */
#include "fs/fs.h"
#include "fs/proc_content.h"

struct fs_upcalls fs_upcalls;

static void describe(enum network_file file, struct text *text)
{
    if (fs_upcalls.describe_network) {
        fs_upcalls.describe_network(file, text);
    }
}

void proc_net_devices(struct text *text)
{
    describe(NETWORK_DEVICES, text);
}

void proc_net_ipv6_addresses(struct text *text)
{
    describe(NETWORK_IPV6_ADDRESSES, text);
}

void proc_net_tcp(struct text *text)
{
    describe(NETWORK_TCP, text);
}

void proc_net_tcp6(struct text *text)
{
    describe(NETWORK_TCP6, text);
}

void proc_net_udp(struct text *text)
{
    describe(NETWORK_UDP, text);
}

void proc_net_udp6(struct text *text)
{
    describe(NETWORK_UDP6, text);
}

void proc_net_unix(struct text *text)
{
    describe(NETWORK_UNIX, text);
}

void proc_net_routes(struct text *text)
{
    describe(NETWORK_ROUTES, text);
}

void proc_net_neighbours(struct text *text)
{
    describe(NETWORK_NEIGHBOURS, text);
}

void proc_net_counters(struct text *text)
{
    describe(NETWORK_COUNTERS, text);
}

void proc_net_sockets(struct text *text)
{
    describe(NETWORK_SOCKETS, text);
}

void proc_net_sockets6(struct text *text)
{
    describe(NETWORK_SOCKETS6, text);
}
