/* TCP over loopback, IPv4 and IPv6: names, both directions at once, ends, resets, refusals, timeouts, options. */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#define BULK (3 << 20)

static volatile sig_atomic_t pipes_broken;

static void on_sigpipe(int signal)
{
    (void)signal;
    pipes_broken++;
}

static void names(int family)
{
    union name mine, theirs, peer;
    socklen_t size = sizeof(mine);
    int listener = listening(family, 4);
    int client = connected_to(family, port_of(listener));
    int server = accept4(listener, &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(server >= 0 && size == name_size(family) && peer.any.sa_family == family);
    CHECK(fcntl(server, F_GETFD) == FD_CLOEXEC && (fcntl(server, F_GETFL) & O_NONBLOCK));
    size = sizeof(mine);
    CHECK(getsockname(client, &mine.any, &size) == 0 && memcmp(&mine, &peer, name_size(family)) == 0);
    size = 4; /* cut, and told in full */
    memset(&theirs, 0x55, sizeof(theirs));
    CHECK(getpeername(client, &theirs.any, &size) == 0 && size == name_size(family) && ((char *)&theirs)[4] == 0x55);
    size = sizeof(theirs);
    CHECK(getpeername(listener, &theirs.any, &size) == -1 && errno == ENOTCONN);
    CHECK(connect(client, &peer.any, size) == -1 && errno == EISCONN);
    CHECK(accept(client, NULL, NULL) == -1 && errno == EINVAL);
    CHECK(close(client) == 0 && close(server) == 0 && close(listener) == 0);
}

static void *send_bulk(void *argument)
{
    static char bytes[BULK];
    int fd = *(int *)argument;
    for (int at = 0; at < BULK; at++) {
        bytes[at] = (char)(at * 7 + at / 1000);
    }
    for (size_t done = 0; done < BULK;) {
        ssize_t sent = send(fd, bytes + done, BULK - done, 0);
        CHECK(sent > 0);
        done += (size_t)sent;
    }
    CHECK(shutdown(fd, SHUT_WR) == 0);
    return NULL;
}

/* A slow reader, then the answer over the half that is still open. */
static void half_closed(int family)
{
    int ends[2];
    pthread_t thread;
    char piece[5000], answer[8];
    size_t got = 0;
    stream_pair(family, ends);
    CHECK(pthread_create(&thread, NULL, send_bulk, &ends[0]) == 0);
    for (ssize_t size; (size = read(ends[1], piece, sizeof(piece))) > 0; got += (size_t)size) {
        for (ssize_t at = 0; at < size; at++) {
            int place = (int)got + (int)at;
            CHECK(piece[at] == (char)(place * 7 + place / 1000));
        }
    }
    CHECK(got == BULK && read(ends[1], piece, 1) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    struct pollfd entry = {.fd = ends[1], .events = POLLIN | POLLOUT | POLLRDHUP};
    CHECK(poll(&entry, 1, 0) == 1 && entry.revents == (POLLIN | POLLOUT | POLLRDHUP));
    struct iovec parts[3] = {{"an", 2}, {"sw", 2}, {"er", 2}};
    CHECK(writev(ends[1], parts, 3) == 6 && close(ends[1]) == 0);
    CHECK(recv(ends[0], answer, sizeof(answer), MSG_WAITALL) == 6 && memcmp(answer, "answer", 6) == 0);
    CHECK(recv(ends[0], answer, 1, 0) == 0);
    pipes_broken = 0;
    CHECK(send(ends[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && pipes_broken == 0);
    CHECK(write(ends[0], "x", 1) == -1 && errno == EPIPE && pipes_broken == 1);
    CHECK(close(ends[0]) == 0);
}

static void flags(int family)
{
    int ends[2], value;
    char bytes[64];
    stream_pair(family, ends);
    CHECK(recv(ends[0], bytes, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(recv(ends[0], bytes, 1, MSG_ERRQUEUE) == -1 && errno == EAGAIN);
    CHECK(send(ends[1], "first second", 12, 0) == 12);
    CHECK(recv(ends[0], bytes, 5, MSG_PEEK) == 5 && memcmp(bytes, "first", 5) == 0);
    CHECK(ioctl(ends[0], FIONREAD, &value) == 0 && value == 12);
    union name name;
    socklen_t size = sizeof(name);
    CHECK(recvfrom(ends[0], bytes, 6, 0, &name.any, &size) == 6 && size == 0);
    struct iovec parts[2] = {{bytes, 3}, {bytes + 10, 20}};
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2, .msg_flags = -1};
    CHECK(recvmsg(ends[0], &header, 0) == 6 && header.msg_flags == 0 && memcmp(bytes, "sec", 3) == 0 && memcmp(bytes + 10, "ond", 3) == 0);
    CHECK(send(ends[1], "mo", 2, MSG_MORE) == 2 && send(ends[1], "re", 2, 0) == 2);
    CHECK(recv(ends[0], bytes, 4, MSG_WAITALL) == 4 && memcmp(bytes, "more", 4) == 0);
    CHECK(ioctl(ends[0], FIONBIO, &(int){1}) == 0 && read(ends[0], bytes, 1) == -1 && errno == EAGAIN);
    CHECK(write(ends[1], "", 0) == 0 && read(ends[0], bytes, 0) == 0);
    CHECK(send(ends[1], "!", 1, MSG_OOB) == 1);
    struct pollfd entry = {.fd = ends[0], .events = POLLPRI};
    CHECK(poll(&entry, 1, 1000) == 1 && entry.revents == POLLPRI);
    CHECK(recv(ends[0], bytes, 1, MSG_OOB) == 1 && bytes[0] == '!');
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void resets(int family)
{
    int ends[2], error;
    char byte;
    socklen_t size = sizeof(error);
    struct linger hard = {.l_onoff = 1};
    stream_pair(family, ends);
    CHECK(send(ends[0], "half a request", 14, 0) == 14);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0 && close(ends[0]) == 0);
    struct pollfd entry = {.fd = ends[1], .events = POLLIN};
    CHECK(poll(&entry, 1, 1000) == 1 && (entry.revents & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
    CHECK(getsockopt(ends[1], SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNRESET);
    CHECK(getsockopt(ends[1], SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
    CHECK(recv(ends[1], &byte, 1, 0) == 1 && byte == 'h' && close(ends[1]) == 0);
    stream_pair(family, ends);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0 && close(ends[0]) == 0);
    CHECK(recv(ends[1], &byte, 1, 0) == -1 && errno == ECONNRESET && close(ends[1]) == 0);
}

/* A port that nobody listens on; a connection in progress. */
static void refusals(int family)
{
    int unused = bound(family, SOCK_STREAM), error;
    union name name = loopback(family, port_of(unused));
    socklen_t size = sizeof(error);
    int fd = socket(family, SOCK_STREAM, 0);
    CHECK(connect(fd, &name.any, name_size(family)) == -1 && errno == ECONNREFUSED && close(fd) == 0);
    fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int result = connect(fd, &name.any, name_size(family));
    CHECK(result == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
    if (errno == EINPROGRESS) {
        struct pollfd entry = {.fd = fd, .events = POLLOUT};
        CHECK(poll(&entry, 1, 5000) == 1 && (entry.revents & POLLERR));
        CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNREFUSED);
    }
    CHECK(close(fd) == 0 && listen(unused, 1) == 0);
    fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    result = connect(fd, &name.any, name_size(family));
    CHECK(result == 0 || errno == EINPROGRESS);
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    CHECK(poll(&entry, 1, 5000) == 1 && entry.revents == POLLOUT);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
    CHECK(close(fd) == 0 && close(unused) == 0);
}

static long long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void timeouts(int family)
{
    int ends[2];
    static char bytes[1 << 16];
    struct timeval short_time = {.tv_usec = 60000}, found;
    socklen_t size = sizeof(found);
    stream_pair(family, ends);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof(short_time)) == 0);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &found, &size) == 0 && found.tv_sec == 0 && found.tv_usec == 60000);
    long long start = milliseconds();
    CHECK(recv(ends[0], bytes, 1, 0) == -1 && errno == EAGAIN && milliseconds() - start >= 55);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof(short_time)) == 0);
    ssize_t sent;
    do {
        sent = send(ends[0], bytes, sizeof(bytes), 0); /* until nothing goes any more */
    } while (sent > 0);
    CHECK(sent == -1 && errno == EAGAIN);
    int listener = listening(family, 1);
    CHECK(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof(short_time)) == 0);
    CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
    CHECK(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 1000000}, size) == -1 && errno == EDOM);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(listener) == 0);
}

static int number(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    CHECK(getsockopt(fd, level, name, &value, &size) == 0 && size == sizeof(value));
    return value;
}

static void options(int family)
{
    static const int switches[][2] = {
        {SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT}, {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_OOBINLINE},
        {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_CORK}, {IPPROTO_TCP, TCP_QUICKACK},
    };
    int fd = socket(family, SOCK_STREAM, 0), value = 1;
    for (size_t at = 0; at < sizeof(switches) / sizeof(switches[0]); at++) {
        CHECK(setsockopt(fd, switches[at][0], switches[at][1], &value, sizeof(value)) == 0);
        CHECK(number(fd, switches[at][0], switches[at][1]) == 1);
    }
    value = 77;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, 4) == 0 && number(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &value, 4) == 0 && number(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 77);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &value, 4) == 0 && number(fd, IPPROTO_TCP, TCP_KEEPCNT) == 77);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, 4) == 0 && number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 77);
    CHECK(number(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM && number(fd, SOL_SOCKET, SO_DOMAIN) == family);
    CHECK(number(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP && number(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0);
    value = 40000;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, 4) == 0 && number(fd, SOL_SOCKET, SO_SNDBUF) == 80000);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, 4) == -1 && errno == ENOPROTOOPT);
    CHECK(setsockopt(fd, SOL_SOCKET, 9999, &value, 4) == -1 && errno == ENOPROTOOPT);
    CHECK(getsockopt(fd, IPPROTO_TCP, 9999, &value, &(socklen_t){4}) == -1 && errno == ENOPROTOOPT);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 2) == -1 && errno == EINVAL);
    struct tcp_info info;
    socklen_t size = sizeof(info);
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && size <= sizeof(info) && info.tcpi_state == TCP_CLOSE);
    size = 1; /* a part of it */
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && size == 1);
    if (family == AF_INET6) {
        value = 1;
        CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, 4) == 0 && number(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    }
    CHECK(close(fd) == 0);
    fd = listening(family, 1);
    value = 3;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &value, 4) == 0 && number(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &value, 4) == 0);
    CHECK(close(fd) == 0);
}

static void errors(void)
{
    union name name = loopback(AF_INET, 0), other = loopback(AF_INET6, 0);
    int fd = bound(AF_INET, SOCK_STREAM), twin = socket(AF_INET, SOCK_STREAM, 0), value = 1;
    CHECK(setsockopt(twin, SOL_SOCKET, SO_REUSEADDR, &value, 4) == 0);
    name.ipv4.sin_port = htons((unsigned short)port_of(fd));
    CHECK(bind(twin, &name.any, sizeof(name.ipv4)) == -1 && errno == EADDRINUSE);
    CHECK(bind(twin, &name.any, 8) == -1 && errno == EINVAL);
    CHECK(bind(twin, &name.any, 1000) == -1 && errno == EINVAL);
    CHECK(bind(twin, &other.any, sizeof(other.ipv6)) == -1 && errno == EAFNOSUPPORT);
    CHECK(connect(twin, &other.any, sizeof(other.ipv6)) == -1 && errno == EAFNOSUPPORT);
    CHECK(bind(fd, &name.any, sizeof(name.ipv4)) == -1 && errno == EINVAL);
    CHECK(send(twin, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    CHECK(recv(twin, &value, 1, 0) == -1 && errno == ENOTCONN);
    CHECK(shutdown(twin, SHUT_RDWR) == -1 && errno == ENOTCONN);
    CHECK(shutdown(twin, 3) == -1 && errno == EINVAL);
    CHECK(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP) == -1 && errno == EPROTONOSUPPORT);
    CHECK(socket(AF_INET, 12, 0) == -1 && errno == EINVAL);
    CHECK(socket(AF_INET, SOCK_SEQPACKET, 0) == -1 && errno == ESOCKTNOSUPPORT);
    CHECK(socket(45, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT);
    CHECK(listen(0, 1) == -1 && errno == ENOTSOCK && listen(99, 1) == -1 && errno == EBADF);
    CHECK(lseek(fd, 0, SEEK_SET) == -1 && errno == ESPIPE);
    CHECK(close(fd) == 0 && close(twin) == 0);
}

/* A socket of IPv6 whose peer has IPv4 becomes one of IPv4 (ipv6(7): IPV6_ADDRFORM), with that family's names. */
static void becomes_ipv4(void)
{
    union name mapped = {.ipv6 = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {[10] = 0xFF, [11] = 0xFF, [12] = 127, [15] = 1}}}, name;
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int listener = listening(AF_INET, 4), other = connected_to(AF_INET6, port_of(listening(AF_INET6, 4)));
    int client = socket(AF_INET6, SOCK_STREAM, 0), value = AF_INET;
    socklen_t size = sizeof(name);
    CHECK(setsockopt(client, IPPROTO_IPV6, IPV6_ADDRFORM, &value, 4) == -1 && errno == ENOTCONN);
    CHECK(setsockopt(other, IPPROTO_IPV6, IPV6_ADDRFORM, &value, 4) == -1 && errno == EADDRNOTAVAIL);
    mapped.ipv6.sin6_port = htons((unsigned short)port_of(listener));
    CHECK(connect(client, &mapped.any, sizeof(mapped.ipv6)) == 0 && number(client, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
    CHECK(number(client, IPPROTO_IPV6, IPV6_ADDRFORM) == AF_INET6);
    CHECK(setsockopt(client, IPPROTO_IPV6, IPV6_ADDRFORM, &value, 4) == 0 && number(client, SOL_SOCKET, SO_DOMAIN) == AF_INET);
    CHECK(getpeername(client, &name.any, &size) == 0 && size == sizeof(name.ipv4) && name.any.sa_family == AF_INET);
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0 && write(server, "hello", 5) == 5 && read(client, &name, sizeof(name)) == 5);
    CHECK(setsockopt(client, IPPROTO_IPV6, IPV6_ADDRFORM, &value, 4) == -1 && errno == ENOPROTOOPT);
    CHECK(connect(client, &nobody, sizeof(nobody)) == 0);
    name = loopback(AF_INET, 0);
    CHECK(bind(client, &name.any, sizeof(name.ipv4)) == 0 && listen(client, 1) == 0);
    CHECK(close(connected_to(AF_INET, port_of(client))) == 0);
    CHECK(close(client) == 0 && close(server) == 0 && close(listener) == 0 && close(other) == 0);
}

static void *connect_later(void *argument)
{
    usleep(30000);
    return (void *)(long)connected_to(AF_INET, *(int *)argument);
}

/* An accept that waits, and one that a signal ends. */
static void waiting(void)
{
    pthread_t thread;
    void *client;
    int listener = listening(AF_INET, 4), port = port_of(listener);
    CHECK(pthread_create(&thread, NULL, connect_later, &port) == 0);
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0 && pthread_join(thread, &client) == 0 && close((int)(long)client) == 0);
    struct sigaction action = {.sa_handler = on_sigpipe};
    struct itimerval timer = {.it_value.tv_usec = 30000};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(accept(listener, NULL, NULL) == -1 && errno == EINTR);
    CHECK(close(server) == 0 && close(listener) == 0);
}

int main(void)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct sigaction action = {.sa_handler = on_sigpipe, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
    for (int at = 0; at < 2; at++) {
        names(families[at]);
        half_closed(families[at]);
        flags(families[at]);
        resets(families[at]);
        refusals(families[at]);
        timeouts(families[at]);
        options(families[at]);
    }
    errors();
    becomes_ipv4();
    waiting();
    puts("tcp ok");
    return 0;
}
