/* What the programs about sockets share: pairs of connected sockets over loopback. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

union name {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static inline socklen_t name_size(int family)
{
    return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static inline union name loopback(int family, int port)
{
    union name name = {0};
    if (family == AF_INET) {
        name.ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    } else {
        name.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port), .sin6_addr = in6addr_loopback};
    }
    return name;
}

static inline int port_of(int fd)
{
    union name name;
    socklen_t size = sizeof(name);
    CHECK(getsockname(fd, &name.any, &size) == 0);
    return ntohs(name.any.sa_family == AF_INET ? name.ipv4.sin_port : name.ipv6.sin6_port);
}

/* Bound to a free port of loopback. */
static inline int bound(int family, int type)
{
    union name name = loopback(family, 0);
    int fd = socket(family, type, 0);
    CHECK(fd >= 0 && bind(fd, &name.any, name_size(family)) == 0);
    return fd;
}

static inline int listening(int family, int backlog)
{
    int fd = bound(family, SOCK_STREAM);
    CHECK(listen(fd, backlog) == 0);
    return fd;
}

static inline int connected_to(int family, int port)
{
    union name name = loopback(family, port);
    int fd = socket(family, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, &name.any, name_size(family)) == 0);
    return fd;
}

/* Two ends of one connection. */
static inline void stream_pair(int family, int ends[2])
{
    int listener = listening(family, 8);
    ends[0] = connected_to(family, port_of(listener));
    ends[1] = accept(listener, NULL, NULL);
    CHECK(ends[1] >= 0 && close(listener) == 0);
}

/* All that there are, one after the other: that comes to an end. */
static inline void look_at_all(void)
{
    char text[4096];
    FILE *file = fopen("/proc/net/udp", "r");
    while (file && fgets(text, sizeof(text), file)) {
    }
    if (file) {
        fclose(file);
    }
}

#endif
