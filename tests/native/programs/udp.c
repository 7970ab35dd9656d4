/* UDP over loopback, IPv4 and IPv6: messages keep their borders, in one or many pieces; what is cut is told; control messages. */
#define _GNU_SOURCE
#include "sockets.h"

#include <poll.h>
#include <sys/uio.h>
#include <time.h>

static void connect_to(int fd, int other, int family)
{
    union name name = loopback(family, port_of(other));
    CHECK(connect(fd, &name.any, name_size(family)) == 0);
}

static void borders(int family)
{
    char bytes[64];
    union name from;
    socklen_t size = sizeof(from);
    int one = bound(family, SOCK_DGRAM), other = bound(family, SOCK_DGRAM);
    union name to = loopback(family, port_of(other));
    CHECK(send(one, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
    CHECK(sendto(one, "one", 3, 0, &to.any, name_size(family)) == 3);
    CHECK(sendto(one, "", 0, 0, &to.any, name_size(family)) == 0);
    CHECK(sendto(one, "longer than that", 16, 0, &to.any, name_size(family)) == 16);
    CHECK(recvfrom(other, bytes, sizeof(bytes), 0, &from.any, &size) == 3 && size == name_size(family));
    union name sender = loopback(family, port_of(one));
    CHECK(memcmp(&from, &sender, family == AF_INET ? 8 : name_size(family)) == 0);
    CHECK(recv(other, bytes, sizeof(bytes), 0) == 0);
    CHECK(recv(other, bytes, 6, MSG_PEEK | MSG_TRUNC) == 16);
    struct iovec parts[2] = {{bytes, 2}, {bytes + 8, 4}};
    struct msghdr header = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = parts, .msg_iovlen = 2};
    CHECK(recvmsg(other, &header, 0) == 6 && header.msg_flags == MSG_TRUNC && header.msg_namelen == name_size(family));
    CHECK(memcmp(bytes, "lo", 2) == 0 && memcmp(bytes + 8, "nger", 4) == 0);
    CHECK(recv(other, bytes, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    connect_to(one, other, family);
    connect_to(other, one, family);
    struct iovec pieces[3] = {{"in ", 3}, {"three ", 6}, {"pieces", 6}};
    CHECK(writev(one, pieces, 3) == 15 && read(other, bytes, sizeof(bytes)) == 15 && memcmp(bytes, "in three pieces", 15) == 0);
    CHECK(write(one, "", 0) == 0 && recv(other, bytes, sizeof(bytes), 0) == 0);
    CHECK(write(one, "vector", 6) == 6 && readv(other, parts, 2) == 6 && memcmp(bytes + 8, "ctor", 4) == 0);
    CHECK(sendto(one, "again", 5, 0, &to.any, name_size(family)) == 5 && recv(other, bytes, sizeof(bytes), 0) == 5);
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    CHECK(connect(one, &nowhere, sizeof(nowhere)) == 0 && send(one, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
    CHECK(close(one) == 0 && close(other) == 0);
}

static void sizes(int family)
{
    static char bytes[70000], got[70000];
    int one = bound(family, SOCK_DGRAM), other = bound(family, SOCK_DGRAM), value = 200000;
    const size_t largest = family == AF_INET ? 65507 : 65527; /* IPv6 does not count its own header */
    CHECK(setsockopt(other, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)) == 0);
    connect_to(one, other, family);
    for (size_t at = 0; at < sizeof(bytes); at++) {
        bytes[at] = (char)(at * 31);
    }
    CHECK(send(one, bytes, sizeof(bytes), 0) == -1 && errno == EMSGSIZE);
    CHECK(send(one, bytes, largest, 0) == (ssize_t)largest);
    CHECK(recv(other, got, sizeof(got), 0) == (ssize_t)largest && memcmp(got, bytes, largest) == 0);
    CHECK(close(one) == 0 && close(other) == 0);
}

static void refused(int family)
{
    char byte;
    int one = bound(family, SOCK_DGRAM), other = bound(family, SOCK_DGRAM), error;
    socklen_t size = sizeof(error);
    connect_to(one, other, family);
    CHECK(close(other) == 0 && send(one, "x", 1, 0) == 1);
    struct pollfd entry = {.fd = one, .events = POLLIN};
    CHECK(poll(&entry, 1, 1000) == 1 && (entry.revents & POLLERR));
    CHECK(getsockopt(one, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNREFUSED);
    CHECK(send(one, "x", 1, 0) == 1 && recv(one, &byte, 1, 0) == -1 && errno == ECONNREFUSED);
    CHECK(close(one) == 0);
}

/* Where a message was sent to, as servers ask that listen everywhere. */
static void packet_information(int family)
{
    char byte, space[256];
    int one = bound(family, SOCK_DGRAM), other = bound(family, SOCK_DGRAM), value = 1;
    int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, type = family == AF_INET ? IP_PKTINFO : IPV6_PKTINFO;
    CHECK(setsockopt(other, level, family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, &value, sizeof(value)) == 0);
    connect_to(one, other, family);
    CHECK(send(one, "x", 1, 0) == 1);
    struct iovec part = {&byte, 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    CHECK(recvmsg(other, &header, 0) == 1 && header.msg_flags == 0);
    struct cmsghdr *control = CMSG_FIRSTHDR(&header);
    CHECK(control != NULL && control->cmsg_level == level && control->cmsg_type == type && CMSG_NXTHDR(&header, control) == NULL);
    if (family == AF_INET) {
        const struct in_pktinfo *information = (const struct in_pktinfo *)(void *)CMSG_DATA(control);
        CHECK(control->cmsg_len == CMSG_LEN(sizeof(*information)) && information->ipi_addr.s_addr == htonl(INADDR_LOOPBACK));
    } else {
        const struct in6_pktinfo *information = (const struct in6_pktinfo *)(void *)CMSG_DATA(control);
        CHECK(control->cmsg_len == CMSG_LEN(sizeof(*information)) && IN6_IS_ADDR_LOOPBACK(&information->ipi6_addr));
    }
    /* The answer goes from there. */
    union name to = loopback(family, port_of(one));
    if (family == AF_INET) {
        ((struct in_pktinfo *)(void *)CMSG_DATA(control))->ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK);
        ((struct in_pktinfo *)(void *)CMSG_DATA(control))->ipi_ifindex = 0;
    }
    header.msg_name = &to;
    header.msg_namelen = name_size(family);
    CHECK(sendmsg(other, &header, 0) == 1 && recv(one, &byte, 1, 0) == 1);
    CHECK(send(one, "x", 1, 0) == 1);
    header = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = 4};
    CHECK(recvmsg(other, &header, 0) == 1 && (header.msg_flags & MSG_CTRUNC));
    control->cmsg_len = 4; /* shorter than its own header */
    header = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = CMSG_LEN(12)};
    CHECK(sendmsg(one, &header, 0) == -1 && errno == EINVAL);
    CHECK(close(one) == 0 && close(other) == 0);
}

static struct cmsghdr *put(struct msghdr *header, struct cmsghdr *control, int level, int type, size_t size)
{
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    header->msg_controllen = (size_t)((char *)CMSG_DATA(control) - (char *)header->msg_control) + size;
    memset(CMSG_DATA(control), 0, CMSG_SPACE(size) - CMSG_LEN(0));
    return (struct cmsghdr *)(void *)((char *)control + CMSG_SPACE(size));
}

/* What Unix sockets take and what other protocols' levels say is passed over; what a level does not know is refused. */
static void passed_over(int family)
{
    char byte = 'x', space[256] = {0};
    int one = bound(family, SOCK_DGRAM), other = bound(family, SOCK_DGRAM), hops = 7;
    int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, type = family == AF_INET ? IP_TTL : IPV6_HOPLIMIT;
    connect_to(one, other, family);
    struct iovec part = {&byte, 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space};
    struct cmsghdr *control = (struct cmsghdr *)(void *)space;
    control = put(&header, control, SOL_SOCKET, SCM_RIGHTS, sizeof(int));
    control = put(&header, control, SOL_SOCKET, SCM_CREDENTIALS, sizeof(struct ucred));
    control = put(&header, control, IPPROTO_TCP, 77, 3);
    struct cmsghdr *last = control;
    control = put(&header, control, level, type, sizeof(hops));
    memcpy(CMSG_DATA(last), &hops, sizeof(hops));
    CHECK(sendmsg(one, &header, 0) == 1 && recv(other, &byte, 1, 0) == 1);
    put(&header, last, level, type, 3);
    FAILS(sendmsg(one, &header, 0), EINVAL);
    put(&header, last, SOL_SOCKET, 0x77, sizeof(int));
    FAILS(sendmsg(one, &header, 0), EINVAL);
    CHECK(close(one) == 0 && close(other) == 0);
}

#define MANY 20

static void many_at_once(int family)
{
    char bytes[MANY][16];
    struct mmsghdr messages[MANY] = {0};
    struct iovec parts[MANY];
    int one = bound(family, SOCK_DGRAM), other = bound(family, SOCK_DGRAM);
    connect_to(one, other, family);
    for (int at = 0; at < MANY; at++) {
        parts[at] = (struct iovec){bytes[at], (size_t)snprintf(bytes[at], sizeof(bytes[at]), "message %d", at)};
        messages[at].msg_hdr.msg_iov = &parts[at];
        messages[at].msg_hdr.msg_iovlen = 1;
    }
    CHECK(sendmmsg(one, messages, MANY, 0) == MANY && messages[3].msg_len == 9 && messages[11].msg_len == 10);
    memset(bytes, 0, sizeof(bytes));
    CHECK(recvmmsg(other, messages, 5, 0, NULL) == 5 && memcmp(bytes[4], "message 4", 9) == 0);
    CHECK(recvmmsg(other, messages, MANY, MSG_WAITFORONE, NULL) == MANY - 5 && memcmp(bytes[0], "message 5", 9) == 0);
    CHECK(recvmmsg(other, messages, MANY, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
    CHECK(close(one) == 0 && close(other) == 0);
}

/* What is wrong with the sockets is told before the family knows no pairs. */
static void no_pairs(void)
{
    int ends[2];
    FAILS(socketpair(AF_INET, SOCK_DGRAM, IPPROTO_UDP, ends), EOPNOTSUPP);
    FAILS(socketpair(AF_INET6, SOCK_STREAM, 0, ends), EOPNOTSUPP);
    FAILS(socketpair(AF_INET, SOCK_DGRAM, IPPROTO_TCP, ends), EPROTONOSUPPORT);
    FAILS(socketpair(AF_INET, SOCK_STREAM, IPPROTO_ICMP, ends), EPROTONOSUPPORT);
    FAILS(socketpair(AF_INET, 75, 0, ends), EINVAL);
    FAILS(socketpair(0, SOCK_STREAM, 0, ends), EAFNOSUPPORT);
    FAILS(socketpair(0, SOCK_STREAM, 0, (int *)8), EFAULT);
    FAILS(socketpair(0, SOCK_STREAM | 0x1000, 0, (int *)8), EINVAL);
}

int main(void)
{
    no_pairs();
    static const int families[] = {AF_INET, AF_INET6};
    for (int at = 0; at < 2; at++) {
        borders(families[at]);
        sizes(families[at]);
        refused(families[at]);
        packet_information(families[at]);
        passed_over(families[at]);
        many_at_once(families[at]);
    }
    puts("udp ok");
    return 0;
}
