/* Control messages between the application and the host: only those of this table, and only in their own size. */
#include "net/inet.h"

/* Linux, include/uapi/linux/{in,in6,udp}.h. */
enum { IP_TOS = 1, IP_TTL = 2, IP_PKTINFO = 8, IP_RECVERR = 11, IP_ORIGDSTADDR = 20 };
enum { IPV6_RECVERR = 25, IPV6_PKTINFO = 50, IPV6_HOPLIMIT = 52, IPV6_TCLASS = 67, IPV6_ORIGDSTADDR = 74 };
enum { UDP_SEGMENT = 103, UDP_GRO = 104 };
#define EXTENDED_ERROR_SIZE 16U /* struct sock_extended_err; the name of who reported it follows */
#define EITHER_SIZE 0xFFU /* a byte or an int (ip(7)) */

static const struct {
    uint8_t level;
    uint8_t type;
    uint8_t sent_size, received_size; /* 0: never */
} rows[] = {
    {SOL_SOCKET, SO_TIMESTAMP, 0, 16},
    {SOL_SOCKET, SO_TIMESTAMPNS, 0, 16},
    {SOL_SOCKET, SO_RXQ_OVFL, 0, 4},
    {IPPROTO_IP, IP_TOS, EITHER_SIZE, 1},
    {IPPROTO_IP, IP_TTL, EITHER_SIZE, 4},
    {IPPROTO_IP, IP_PKTINFO, 12, 12},
    {IPPROTO_IP, IP_RECVERR, 0, EXTENDED_ERROR_SIZE + SOCKADDR_IN_SIZE},
    {IPPROTO_IP, IP_ORIGDSTADDR, 0, SOCKADDR_IN_SIZE},
    {IPPROTO_IPV6, IPV6_RECVERR, 0, EXTENDED_ERROR_SIZE + SOCKADDR_IN6_SIZE},
    {IPPROTO_IPV6, IPV6_PKTINFO, 20, 20},
    {IPPROTO_IPV6, IPV6_HOPLIMIT, 4, 4},
    {IPPROTO_IPV6, IPV6_TCLASS, 4, 4},
    {IPPROTO_IPV6, IPV6_ORIGDSTADDR, 0, SOCKADDR_IN6_SIZE},
    {IPPROTO_UDP, UDP_SEGMENT, 2, 0},
    {IPPROTO_UDP, UDP_GRO, 0, 4},
};

static bool passes(const struct control_message *message, bool is_sent)
{
    for (size_t at = 0; at < ARRAY_LENGTH(rows); at++) {
        if (rows[at].level == message->level && rows[at].type == message->type) {
            uint8_t size = is_sent ? rows[at].sent_size : rows[at].received_size;
            bool is_either = size == EITHER_SIZE && (message->size == 1 || message->size == 4);
            return is_either || (size != 0 && size == message->size);
        }
    }
    return false;
}

/* What Linux passes over in silence: what Unix sockets take, and levels of other protocols (__sock_cmsg_send(), ip_cmsg_send()). */
static bool is_passed_over(const struct control_message *message)
{
    switch (message->level) {
    case SOL_SOCKET:
        return message->type == SCM_RIGHTS || message->type == SCM_CREDENTIALS;
    case IPPROTO_IP:
    case IPPROTO_IPV6:
    case IPPROTO_UDP:
        return false;
    default:
        return true;
    }
}

int64_t control_to_host(struct host_message *to, const struct control *from)
{
    struct control_message message;
    uint32_t position = 0, start = 0, length = 0;
    if (from->length > sizeof(to->control)) {
        return -ENOBUFS;
    }
    for (; control_next(from, &position, &message); start = position) {
        uint32_t end = position < from->length ? position : from->length; /* the last one need not be padded */
        if (passes(&message, true)) {
            memcpy(to->control + length, from->bytes + start, end - start);
            length += end - start;
        } else if (!is_passed_over(&message)) {
            return -EINVAL;
        }
    }
    to->control_length = length;
    return 0;
}

void control_from_host(struct message *to, const struct host_message *from)
{
    uint8_t bytes[HOST_CONTROL_SIZE];
    const struct control control = {.bytes = bytes, .length = from->control_length};
    struct control_message message;
    uint32_t position = 0;
    memcpy(bytes, from->control, from->control_length);
    if (!control_is_good(&control)) {
        log_line(LOG_ERROR, "the host gave control messages that are malformed");
        return;
    }
    while (control_next(&control, &position, &message)) {
        if (passes(&message, false)) {
            control_put(to, message.level, message.type, message.data, message.size);
        }
    }
}
