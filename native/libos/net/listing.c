/* /proc/net (proc(5)): sockets of the process, and interfaces. Of their traffic nothing is known: all counts are zero. */
#include "net/families.h"
#include "net/inet.h"
#include "net/interfaces.h"
#include "net/unix.h"

#define TCP_INFO 11U
enum tcp_state { TCP_ESTABLISHED = 1, TCP_CLOSE = 7 };
/* What tcp4_seq_show() and udp4_seq_show() of Linux make of their lines; those of IPv6 end as they do. */
#define TCP_LINE 149U
#define UDP_LINE 127U
#define ROUTE_LINE 127U

static void add_hex(struct text *text, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t at = 0; at < count; at++) {
        const char two[2] = {digits[bytes[at] >> 4], digits[bytes[at] & 15]};
        text_add_bytes(text, two, sizeof(two));
    }
}

/* Words of the address as numbers of the machine, then the port. */
static void add_name(struct text *text, const struct address *address, uint32_t domain)
{
    size_t at = domain == AF_INET6 ? 8 : 4, size = domain == AF_INET6 ? 16 : 4;
    for (size_t word = 0; word < size; word += 4) {
        const uint8_t *bytes = address->bytes + at + word;
        const uint8_t reversed[4] = {bytes[3], bytes[2], bytes[1], bytes[0]};
        add_hex(text, reversed, sizeof(reversed));
    }
    text_add(text, ":");
    add_hex(text, address->bytes + 2, 2);
}

static uint8_t state_of(struct inet *inet, bool has_peer)
{
    uint8_t state = 0;
    if (inet->socket.protocol != IPPROTO_TCP) {
        return has_peer ? TCP_ESTABLISHED : TCP_CLOSE;
    }
    return host_option_get(inet->host_fd, IPPROTO_TCP, TCP_INFO, &state, 1) == 1 ? state : TCP_CLOSE;
}

static void name_of(struct inet *inet, bool is_peer, struct address *address)
{
    struct host_name name;
    *address = (struct address){0};
    if (host_socket_name(inet->host_fd, is_peer, &name) < 0 || !address_from_name(address, &name, inet->socket.domain)) {
        *address = (struct address){0};
    }
}

/* The end of a line that began at `start`, as long as Linux makes it. */
static void add_line(struct text *text, size_t start, size_t length, const char *end)
{
    text_add(text, "%s", end);
    while (text->used - start < length && !text->failed) {
        text_add(text, " ");
    }
    text_add(text, "\n");
}

struct listing {
    struct text *text;
    uint32_t domain, protocol, number;
    size_t line;
};

static void add_socket(struct inet *inet, void *context)
{
    struct listing *listing = context;
    struct text *text = listing->text;
    struct address own, peer;
    if (inet->socket.domain != listing->domain || inet->socket.protocol != listing->protocol) {
        return;
    }
    name_of(inet, false, &own);
    name_of(inet, true, &peer);
    if (own.bytes[2] == 0 && own.bytes[3] == 0) {
        return; /* neither bound nor connected: Linux does not know it yet */
    }
    const uint8_t state = state_of(inet, peer.length > 0);
    size_t start = text->used;
    bool is_udp = listing->protocol == IPPROTO_UDP;
    text_add(text, is_udp ? "%5u: " : "%4u: ", listing->number++);
    add_name(text, &own, listing->domain);
    text_add(text, " ");
    add_name(text, &peer, listing->domain);
    text_add(text, " ");
    add_hex(text, &state, 1);
    text_add(text, " 00000000:00000000 00:00000000 00000000 %5u %8d %lu ", inet->socket.owner, 0, inet->socket.inode);
    add_line(text, start, listing->line, is_udp ? "2 0000000000000000 0" : "1 0000000000000000 100 0 0 10 0");
}

#define COLUMNS "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
#define LONG_NAMES "  sl  local_address                         remote_address                        "

static void add_sockets(struct text *text, const char *heading, uint32_t domain, uint32_t protocol)
{
    struct listing listing = {.text = text, .domain = domain, .protocol = protocol};
    listing.line = domain == AF_INET6 ? 0 : protocol == IPPROTO_TCP ? TCP_LINE : UDP_LINE;
    add_line(text, text->used, listing.line, heading);
    inet_each(add_socket, &listing);
}

static void add_devices(struct text *text, const struct interfaces *interfaces)
{
    text_add(text, "Inter-|   Receive                                                |  Transmit\n"
                   " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n");
    for (size_t at = 0; at < interfaces->count; at++) {
        const struct host_interface *record = &interfaces->list[at];
        if (record->family == 0) {
            size_t length = strlen(record->name);
            text_add(text, "%.*s%s:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n",
                (int)(length < 6 ? 6 - length : 0), "      ", record->name);
        }
    }
}

/* The scopes of IPv6 in this file are not those of routes (net/ipv6.h). */
static uint32_t ipv6_scope(uint32_t scope)
{
    enum { RT_SCOPE_LINK = 253, RT_SCOPE_HOST = 254 };
    return scope == RT_SCOPE_HOST ? 0x10 : scope == RT_SCOPE_LINK ? 0x20 : 0;
}

static void add_ipv6_addresses(struct text *text, const struct interfaces *interfaces)
{
    for (size_t at = 0; at < interfaces->count; at++) {
        const struct host_interface *record = &interfaces->list[at];
        if (record->family != AF_INET6) {
            continue;
        }
        for (size_t byte = 0; byte < sizeof(record->address); byte++) {
            text_add(text, "%02x", record->address[byte]);
        }
        size_t length = strlen(record->name);
        text_add(text, " %02x %02x %02x 80 %.*s%s\n", record->index, record->prefix, ipv6_scope(record->scope), (int)(length < 8 ? 8 - length : 0),
            "        ", record->name);
    }
}

static void with_interfaces(struct text *text, void (*add)(struct text *text, const struct interfaces *interfaces))
{
    struct interfaces interfaces;
    if (interfaces_read(&interfaces) < 0) {
        text->failed = true;
        return;
    }
    add(text, &interfaces);
    interfaces_free(&interfaces);
}

/* unix_seq_show() of Linux. */
static void add_endpoint(struct endpoint *endpoint, void *context)
{
    enum { SS_UNCONNECTED = 1, SS_CONNECTING = 2, SS_CONNECTED = 3, ACCEPTS = 0x10000 };
    struct text *text = context;
    struct inbox *in = endpoint->in;
    mutex_lock(&in->lock);
    const struct address name = in->name;
    bool listens = in->listens;
    mutex_unlock(&in->lock);
    bool is_connected = __atomic_load_n(&endpoint->out, __ATOMIC_RELAXED) != NULL, was_accepted = endpoint->socket.inode != 0;
    text_add(text, "%016x: %08x %08x %08x %04x %02x %5lu", 0, is_connected ? 3 : 2, 0, listens ? ACCEPTS : 0, endpoint->socket.type,
        !was_accepted ? SS_CONNECTING : is_connected && endpoint->socket.type != SOCK_DGRAM ? SS_CONNECTED : SS_UNCONNECTED,
        endpoint->socket.inode);
    size_t at = sizeof(uint16_t), end = name.length;
    if (end > at) {
        bool is_abstract = name.bytes[at] == 0;
        text_add(text, " ");
        for (end -= is_abstract ? 0 : 1; at < end; at++) {
            text_add_bytes(text, name.bytes[at] != 0 ? (const char *)name.bytes + at : "@", 1);
        }
    }
    text_add(text, "\n");
}

/* Nothing is known of the traffic: only connections are counted. */
static const char counters_before[] =
    "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests "
    "OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n"
    "Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps "
    "InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutDestUnreachs "
    "OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks "
    "OutAddrMaskReps\n"
    "Icmp: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs "
    "InErrs OutRsts InCsumErrors\n"
    "Tcp: 1 200 120000 -1 0 0 0 0 ";
static const char counters_after[] =
    " 0 0 0 0 0 0\n"
    "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n"
    "Udp: 0 0 0 0 0 0 0 0 0\n"
    "UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n"
    "UdpLite: 0 0 0 0 0 0 0 0 0\n";

/* How many sockets there are, by what /proc/net/sockstat tells apart. */
struct census {
    uint32_t domain, tcp, udp, udplite, all, established;
};

static void count_socket(struct inet *inet, void *context)
{
    struct census *census = context;
    census->all++;
    if (inet->socket.protocol == IPPROTO_TCP && state_of(inet, true) == TCP_ESTABLISHED) {
        census->established++;
    }
    if (inet->socket.domain == census->domain) {
        census->tcp += inet->socket.protocol == IPPROTO_TCP;
        census->udp += inet->socket.protocol == IPPROTO_UDP;
        census->udplite += inet->socket.protocol == IPPROTO_UDPLITE;
    }
}

static void count_endpoint(struct endpoint *endpoint, void *context)
{
    struct census *census = context;
    (void)endpoint;
    census->all++;
}

static void add_census(struct text *text, uint32_t domain)
{
    struct census census = {.domain = domain};
    inet_each(count_socket, &census);
    unix_each(count_endpoint, &census);
    if (domain == AF_INET) {
        text_add(text, "sockets: used %u\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\nUDP: inuse %u mem 0\nUDPLITE: inuse %u\n"
                       "RAW: inuse 0\nFRAG: inuse 0 memory 0\n",
            census.all, census.tcp, census.tcp, census.udp, census.udplite);
    } else {
        text_add(text, "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse %u\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n", census.tcp,
            census.udp, census.udplite);
    }
}

static void add_counters(struct text *text)
{
    struct census census = {0};
    inet_each(count_socket, &census);
    text_add_bytes(text, counters_before, sizeof(counters_before) - 1);
    text_add(text, "%u", census.established);
    text_add_bytes(text, counters_after, sizeof(counters_after) - 1);
}

static void describe(enum network_file file, struct text *text)
{
    switch (file) {
    case NETWORK_DEVICES:
        with_interfaces(text, add_devices);
        break;
    case NETWORK_IPV6_ADDRESSES:
        with_interfaces(text, add_ipv6_addresses);
        break;
    case NETWORK_TCP:
        add_sockets(text, "  sl  local_address rem_address   " COLUMNS, AF_INET, IPPROTO_TCP);
        break;
    case NETWORK_TCP6:
        add_sockets(text, LONG_NAMES COLUMNS, AF_INET6, IPPROTO_TCP);
        break;
    case NETWORK_UDP:
        add_sockets(text, "   sl  local_address rem_address   " COLUMNS " ref pointer drops", AF_INET, IPPROTO_UDP);
        break;
    case NETWORK_UDP6:
        add_sockets(text, LONG_NAMES COLUMNS " ref pointer drops", AF_INET6, IPPROTO_UDP);
        break;
    case NETWORK_UNIX:
        text_add(text, "Num       RefCount Protocol Flags    Type St Inode Path\n");
        unix_each(add_endpoint, text);
        break;
    case NETWORK_ROUTES: /* nothing is known of them, as by netlink */
        add_line(text, text->used, ROUTE_LINE, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT");
        break;
    case NETWORK_NEIGHBOURS:
        text_add(text, "IP address       HW type     Flags       HW address            Mask     Device\n");
        break;
    case NETWORK_COUNTERS:
        add_counters(text);
        break;
    case NETWORK_SOCKETS:
        add_census(text, AF_INET);
        break;
    case NETWORK_SOCKETS6:
        add_census(text, AF_INET6);
        break;
    }
}

void net_start(void)
{
    fs_upcalls.describe_network = describe;
    netlink_start();
    ahead_start();
}
