/* Socket options that pass to the host: level, name, size and direction. Anything else is ENOPROTOOPT. */
#include "net/inet.h"
#include "net/policy.h"

/* Linux, include/uapi/linux/{in,in6,tcp,udp}.h. */
enum ip_option {
    IP_TOS = 1, IP_TTL = 2, IP_PKTINFO = 8, IP_MTU_DISCOVER = 10, IP_RECVERR = 11, IP_RECVTTL = 12, IP_RECVTOS = 13,
    IP_MTU = 14, IP_FREEBIND = 15, IP_RECVORIGDSTADDR = 20, IP_BIND_ADDRESS_NO_PORT = 24, IP_MULTICAST_IF = 32,
    IP_MULTICAST_TTL = 33, IP_MULTICAST_LOOP = 34, IP_ADD_MEMBERSHIP = 35, IP_DROP_MEMBERSHIP = 36, IP_MULTICAST_ALL = 49,
};
enum ipv6_option {
    IPV6_ADDRFORM = 1, IPV6_UNICAST_HOPS = 16, IPV6_MULTICAST_IF = 17, IPV6_MULTICAST_HOPS = 18, IPV6_MULTICAST_LOOP = 19,
    IPV6_JOIN_GROUP = 20, IPV6_LEAVE_GROUP = 21, IPV6_MTU_DISCOVER = 23, IPV6_MTU = 24, IPV6_RECVERR = 25, IPV6_V6ONLY = 26, IPV6_RECVPKTINFO = 49,
    IPV6_RECVHOPLIMIT = 51, IPV6_DONTFRAG = 62, IPV6_RECVTCLASS = 66, IPV6_TCLASS = 67, IPV6_AUTOFLOWLABEL = 70,
    IPV6_RECVORIGDSTADDR = 74, IPV6_FREEBIND = 78,
};
enum tcp_option {
    TCP_NODELAY = 1, TCP_MAXSEG = 2, TCP_CORK = 3, TCP_KEEPIDLE = 4, TCP_KEEPINTVL = 5, TCP_KEEPCNT = 6, TCP_SYNCNT = 7,
    TCP_LINGER2 = 8, TCP_DEFER_ACCEPT = 9, TCP_WINDOW_CLAMP = 10, TCP_INFO = 11, TCP_QUICKACK = 12, TCP_CONGESTION = 13,
    TCP_USER_TIMEOUT = 18, TCP_FASTOPEN = 23, TCP_NOTSENT_LOWAT = 25, TCP_FASTOPEN_CONNECT = 30,
};
enum udp_option { UDP_CORK = 1, UDP_SEGMENT = 103, UDP_GRO = 104 };
enum udplite_option { UDPLITE_SEND_CSCOV = 10, UDPLITE_RECV_CSCOV = 11 };

enum direction { GET = 1, SET = 2, BOTH = 3, JOIN = 4 /* set, and only where the policy allows the whole network */ };
#define INT sizeof(int32_t)
#define TCP_INFO_MAX 256U
#define TCP_CA_NAME_MAX 16U
#define LINGER_SIZE 8U
#define IFNAMSIZ 16U

static const struct row {
    uint8_t level, name;
    uint8_t direction;
    uint8_t least; /* to set */
    uint16_t most;
} rows[] = {
    {SOL_SOCKET, SO_DEBUG, BOTH, INT, INT},
    {SOL_SOCKET, SO_REUSEADDR, BOTH, INT, INT},
    {SOL_SOCKET, SO_ERROR, GET, 0, INT},
    {SOL_SOCKET, SO_DONTROUTE, BOTH, INT, INT},
    {SOL_SOCKET, SO_BROADCAST, BOTH, INT, INT},
    {SOL_SOCKET, SO_SNDBUF, BOTH, INT, INT},
    {SOL_SOCKET, SO_RCVBUF, BOTH, INT, INT},
    {SOL_SOCKET, SO_KEEPALIVE, BOTH, INT, INT},
    {SOL_SOCKET, SO_OOBINLINE, BOTH, INT, INT},
    {SOL_SOCKET, SO_PRIORITY, BOTH, INT, INT},
    {SOL_SOCKET, SO_LINGER, BOTH, LINGER_SIZE, LINGER_SIZE},
    {SOL_SOCKET, SO_REUSEPORT, BOTH, INT, INT},
    {SOL_SOCKET, SO_RCVLOWAT, BOTH, INT, INT},
    {SOL_SOCKET, SO_SNDLOWAT, GET, 0, INT},
    {SOL_SOCKET, SO_TIMESTAMP, BOTH, INT, INT},
    {SOL_SOCKET, SO_TIMESTAMPNS, BOTH, INT, INT},
    {SOL_SOCKET, SO_ACCEPTCONN, GET, 0, INT},
    {SOL_SOCKET, SO_RXQ_OVFL, BOTH, INT, INT},
    {SOL_SOCKET, SO_BINDTODEVICE, BOTH, 0, IFNAMSIZ},
    {SOL_SOCKET, SO_INCOMING_CPU, GET, 0, INT},
    {IPPROTO_IP, IP_TOS, BOTH, 0, INT},
    {IPPROTO_IP, IP_TTL, BOTH, 0, INT},
    {IPPROTO_IP, IP_PKTINFO, BOTH, 0, INT},
    {IPPROTO_IP, IP_MTU_DISCOVER, BOTH, 0, INT},
    {IPPROTO_IP, IP_RECVERR, BOTH, 0, INT},
    {IPPROTO_IP, IP_RECVTTL, BOTH, 0, INT},
    {IPPROTO_IP, IP_RECVTOS, BOTH, 0, INT},
    {IPPROTO_IP, IP_MTU, GET, 0, INT},
    {IPPROTO_IP, IP_FREEBIND, BOTH, 0, INT},
    {IPPROTO_IP, IP_RECVORIGDSTADDR, BOTH, 0, INT},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, BOTH, 0, INT},
    {IPPROTO_IP, IP_MULTICAST_IF, BOTH, INT, 12},
    {IPPROTO_IP, IP_MULTICAST_TTL, BOTH, 0, INT},
    {IPPROTO_IP, IP_MULTICAST_LOOP, BOTH, 0, INT},
    {IPPROTO_IP, IP_MULTICAST_ALL, BOTH, 0, INT},
    {IPPROTO_IP, IP_ADD_MEMBERSHIP, JOIN, 8, 12},
    {IPPROTO_IP, IP_DROP_MEMBERSHIP, JOIN, 8, 12},
    {IPPROTO_IPV6, IPV6_ADDRFORM, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_MULTICAST_IF, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_JOIN_GROUP, JOIN, 20, 20},
    {IPPROTO_IPV6, IPV6_LEAVE_GROUP, JOIN, 20, 20},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_MTU, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_RECVERR, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_V6ONLY, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_DONTFRAG, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_TCLASS, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, BOTH, INT, INT},
    {IPPROTO_IPV6, IPV6_FREEBIND, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_NODELAY, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_MAXSEG, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_CORK, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_KEEPIDLE, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_KEEPINTVL, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_KEEPCNT, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_SYNCNT, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_LINGER2, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_INFO, GET, 0, TCP_INFO_MAX},
    {IPPROTO_TCP, TCP_QUICKACK, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_CONGESTION, BOTH, 1, TCP_CA_NAME_MAX},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_FASTOPEN, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, BOTH, INT, INT},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, BOTH, INT, INT},
    {IPPROTO_UDP, UDP_CORK, BOTH, INT, INT},
    {IPPROTO_UDP, UDP_SEGMENT, BOTH, INT, INT},
    {IPPROTO_UDP, UDP_GRO, BOTH, INT, INT},
    {IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, BOTH, INT, INT},
    {IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, BOTH, INT, INT},
};

static const struct row *find(const struct socket *socket, uint32_t level, uint32_t name)
{
    bool is_protocol = level == IPPROTO_TCP || level == IPPROTO_UDP || level == IPPROTO_UDPLITE;
    bool is_other = (is_protocol && level != socket->protocol) || (level == IPPROTO_IPV6 && socket->domain != AF_INET6);
    for (size_t at = 0; at < ARRAY_LENGTH(rows) && !is_other; at++) {
        if (rows[at].level == level && rows[at].name == name) {
            return &rows[at];
        }
    }
    return NULL;
}

/*
 * What Linux says of a level or a name that a socket does not have. The families' functions are asked in the end, and say no in their own way:
 * ip_getsockopt() that it does not know the level, the others that they do not know the option.
 */
static int64_t unknown(const struct socket *socket, uint32_t level, bool is_set)
{
    bool has_level = level == SOL_SOCKET || level == socket->protocol || level == IPPROTO_IP;
    return is_set || has_level || socket->domain == AF_INET6 ? -ENOPROTOOPT : -EOPNOTSUPP;
}

/* Within loopback there is one interface, whose name is known inside; an empty name lets go of any. */
static bool is_device(const char *name, uint32_t size)
{
    char device[IFNAMSIZ] = "";
    memcpy(device, name, size < IFNAMSIZ ? size : IFNAMSIZ - 1);
    return !policy_is_loopback() || device[0] == '\0' || strcmp(device, "lo") == 0;
}

/* The host's errors are those that calls can have. */
#define ERRNO_MAX 133

int64_t inet_get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size)
{
    const struct row *row = find(socket, level, name);
    if (!row || (row->direction & GET) == 0) {
        return unknown(socket, level, false);
    }
    uint32_t room = *size < row->most ? *size : row->most;
    int64_t result = host_option_get(inet_of(socket)->host_fd, level, name, value, room);
    if (result < 0) {
        return result;
    }
    *size = (uint32_t)result;
    if (level == SOL_SOCKET && name == SO_ERROR && result == (int64_t)INT) {
        int32_t error;
        memcpy(&error, value, sizeof(error));
        error = error < 0 || error > ERRNO_MAX ? EIO : error;
        memcpy(value, &error, sizeof(error));
    }
    return 0;
}

int64_t inet_set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size)
{
    const struct row *row = find(socket, level, name);
    if (!row || (row->direction & (SET | JOIN)) == 0) {
        bool is_short = level == socket->protocol && size < INT; /* looked at before the name */
        return is_short ? -EINVAL : unknown(socket, level, true);
    }
    if (size < row->least) {
        return -EINVAL;
    }
    if (row->direction == JOIN && !policy_allows_everything("a multicast group")) {
        return -EACCES;
    }
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE && !is_device(value, size)) {
        return -ENODEV;
    }
    int64_t result = host_option_set(inet_of(socket)->host_fd, level, name, value, size < row->most ? size : row->most);
    if (level == SOL_SOCKET && (name == SO_RCVLOWAT || name == SO_OOBINLINE)) {
        inet_of(socket)->ahead.is_refused = true;
    }
    if (result == 0 && level == IPPROTO_IPV6 && name == IPV6_ADDRFORM) {
        socket->domain = AF_INET; /* ipv6(7): for good */
    }
    return result;
}

/* Linux, include/uapi/asm-generic/{ioctls,sockios}.h: each gives an int. */
enum { FIONREAD = 0x541B, TIOCOUTQ = 0x5411, SIOCATMARK = 0x8905 };

/* The host says so until what it has read ahead is inside: then it is counted here. */
static int64_t ask_host(struct inet *inet, uint32_t request, int32_t *value, size_t *ahead)
{
    union {
        struct host_stream stream;
        int32_t value;
    } asked;
    int64_t result;
    do {
        struct host_message header;
        ahead_describe(inet, &header);
        *ahead = ahead_length(inet); /* afterwards: what comes in between, the host takes for on its way */
        asked.stream = (struct host_stream){.socket = header.socket, .aheads = header.aheads};
        result = host_ioctl(inet->host_fd, request, &asked, sizeof(asked.stream), sizeof(asked.value));
    } while (result == -EAGAIN);
    *value = result < 0 || asked.value < 0 ? 0 : asked.value;
    return result;
}

int64_t inet_ioctl(struct socket *socket, uint32_t request, user_address argument)
{
    int32_t value;
    size_t ahead;
    if (request != FIONREAD && request != TIOCOUTQ && request != SIOCATMARK) {
        return -ENOTTY;
    }
    int64_t result = ask_host(inet_of(socket), request, &value, &ahead);
    if (request == FIONREAD) {
        value = value > INT32_MAX - (int32_t)ahead ? INT32_MAX : value + (int32_t)ahead;
    } else if (request == SIOCATMARK && ahead > 0) {
        value = 0; /* what comes before the mark was not read yet */
    }
    return result < 0 ? result : copy_to_user(argument, &value, sizeof(value));
}
