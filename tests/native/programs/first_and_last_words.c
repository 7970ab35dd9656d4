/* Data that goes with the first packet of a connection (tcp(7), fast open), errors that come back for datagrams (ip(7), IP_RECVERR), and devices. */
#define _GNU_SOURCE
#include "sockets.h"

#include <poll.h>
#include <string.h>

/* Linux, include/uapi/linux/errqueue.h: musl has no headers of the kernel. The name of who reported the error follows. */
struct extended_error {
    unsigned number;
    unsigned char origin, type, code, padding;
    unsigned info, data;
};
enum { ORIGIN_ICMP = 2, ORIGIN_ICMP6 = 3 };

static void hear(int listener, const char *expected)
{
    char got[100] = "";
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0 && recv(fd, got, strlen(expected), MSG_WAITALL) == (ssize_t)strlen(expected) && strcmp(got, expected) == 0);
    CHECK(recv(fd, got, 1, 0) == 0);
    CHECK(close(fd) == 0);
}

static void fast_open(int family)
{
    int length = 5, listener = listening(family, 8), fd = socket(family, SOCK_STREAM, 0);
    union name name = loopback(family, port_of(listener)), nobody = {0};
    CHECK(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &length, 4) == 0);
    for (int round = 0; round < 3; round++) { /* the first one asks for a cookie */
        CHECK(sendto(fd, "first ", 6, MSG_FASTOPEN, &name.any, name_size(family)) == 6);
        CHECK(send(fd, "last", 4, 0) == 4);
        CHECK(close(fd) == 0);
        hear(listener, "first last");
        fd = socket(family, SOCK_STREAM, 0);
    }
    CHECK(sendto(fd, "x", 1, MSG_FASTOPEN, &nobody.any, name_size(family)) == -1 && errno == EOPNOTSUPP);
    CHECK(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, NULL, 0) == -1 && errno == EINVAL);
    CHECK(sendto(fd, "first", 5, MSG_FASTOPEN, &name.any, name_size(family)) == 5);
    CHECK(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &name.any, name_size(family)) == -1 && errno == EISCONN);
    CHECK(close(fd) == 0);
    hear(listener, "first");
    CHECK(close(listener) == 0);
    fd = socket(family, SOCK_STREAM, 0);
    CHECK(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &name.any, name_size(family)) == -1 && errno == ECONNREFUSED);
    CHECK(close(fd) == 0);
}

static void fast_open_by_option(void)
{
    int on = 1, listener = listening(AF_INET, 8), fd = socket(AF_INET, SOCK_STREAM, 0);
    union name name = loopback(AF_INET, port_of(listener));
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, 4) == 0);
    CHECK(connect(fd, &name.any, sizeof(name.ipv4)) == 0 && send(fd, "option", 6, 0) == 6 && close(fd) == 0);
    hear(listener, "option");
    CHECK(close(listener) == 0);
}

static void without_waiting(void)
{
    int listener = listening(AF_INET, 8), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error;
    union name name = loopback(AF_INET, port_of(listener));
    ssize_t sent = sendto(fd, "first", 5, MSG_FASTOPEN, &name.any, sizeof(name.ipv4));
    CHECK(sent == 5 || (sent == -1 && errno == EINPROGRESS));
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof(error);
    CHECK(poll(&ready, 1, 5000) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
    CHECK(sent == 5 || send(fd, "first", 5, 0) == 5);
    CHECK(close(fd) == 0);
    hear(listener, "first");
    CHECK(close(listener) == 0);
}

/* What was sent, to whom, and what became of it. */
static void expect_error(int fd, int family, const union name *to)
{
    char data[100], control[200];
    union name name = {0};
    struct iovec piece = {data, sizeof(data)};
    struct msghdr message = {.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    CHECK(recvmsg(fd, &message, MSG_ERRQUEUE) == 4 && memcmp(data, "lost", 4) == 0 && (message.msg_flags & MSG_ERRQUEUE) != 0);
    CHECK(message.msg_namelen == name_size(family) && memcmp(&name, to, 8) == 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header != NULL && header->cmsg_level == (family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6));
    CHECK(header->cmsg_type == (family == AF_INET ? IP_RECVERR : IPV6_RECVERR));
    struct extended_error error;
    union name offender;
    CHECK(header->cmsg_len == CMSG_LEN(sizeof(error) + name_size(family)));
    memcpy(&error, CMSG_DATA(header), sizeof(error));
    memcpy(&offender, CMSG_DATA(header) + sizeof(error), name_size(family));
    CHECK(error.number == ECONNREFUSED && error.origin == (family == AF_INET ? ORIGIN_ICMP : ORIGIN_ICMP6));
    CHECK(offender.any.sa_family == family);
}

static void error_queue(int family)
{
    int on = 1, gone = bound(family, SOCK_DGRAM), fd = socket(family, SOCK_DGRAM, 0);
    union name name = loopback(family, port_of(gone));
    char byte;
    CHECK(close(gone) == 0);
    CHECK(setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &on, 4) == 0);
    CHECK(recv(fd, &byte, 1, MSG_ERRQUEUE) == -1 && errno == EAGAIN); /* even where the socket would block */
    CHECK(sendto(fd, "lost", 4, 0, &name.any, name_size(family)) == 4);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, 5000) == 1 && (ready.revents & POLLERR) != 0);
    expect_error(fd, family, &name);
    CHECK(recv(fd, &byte, 1, MSG_ERRQUEUE) == -1 && errno == EAGAIN);
    CHECK(poll(&ready, 1, 0) == 0);
    CHECK(sendto(fd, "lost", 4, 0, &name.any, name_size(family)) == 4);
    CHECK(poll(&ready, 1, 5000) == 1);
    CHECK(recv(fd, &byte, 1, 0) == -1 && errno == ECONNREFUSED); /* takes the error, and leaves the message */
    CHECK(recv(fd, &byte, 1, MSG_ERRQUEUE | MSG_TRUNC) == 1 && byte == 'l');
    CHECK(close(fd) == 0);
}

static void devices(void)
{
    char name[16] = "?";
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &size) == 0 && size == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "no such one", 11) == -1 && errno == ENODEV);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo and more, beyond sixteen", 27) == -1 && errno == ENODEV);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0);
    size = sizeof(name);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &size) == 0 && size == 3 && strcmp(name, "lo") == 0);
    size = 8;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &size) == -1 && errno == EINVAL);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0) == 0 || errno == EPERM); /* it takes CAP_NET_RAW */
    CHECK(close(fd) == 0);
}

int main(void)
{
    fast_open(AF_INET);
    fast_open(AF_INET6);
    fast_open_by_option();
    without_waiting();
    error_queue(AF_INET);
    error_queue(AF_INET6);
    devices();
    puts("words ok");
    return 0;
}
