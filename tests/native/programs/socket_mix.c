/*
 * socket_mix SEED COUNT [v]: random calls about sockets over loopback and inside: names, connections, messages, options, events.
 * Prints a digest of all results and errors for each hundred operations, or, with v, all of them. What is said natively has to be
 * said in the enclave. Nothing waits: what is on its way over loopback has come when the call that sent it is done.
 */
#define _GNU_SOURCE
#include "docker_rights.h"
#include "mix.h"
#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#define FOLDER "/tmp/socket_mix"
#define SLOTS 10
#define DATA_MAX 3000
#define SOME(array) (array)[draw(sizeof(array) / sizeof((array)[0]))]

union any_name {
    union name name;
    struct sockaddr_un local;
    char bytes[128];
};

static int slots[SLOTS], watcher;
static char data[DATA_MAX];

static const int domains[] = {AF_UNIX, AF_UNIX, AF_INET, AF_INET, AF_INET6, AF_INET6};
static const int types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
static const int odd_domains[] = {-1, 0, 45, 46, 100};
static const int odd_types[] = {-1, 0, SOCK_RDM, 9, 15, 99};
static const int protocols[] = {0, 0, 0, 0, IPPROTO_TCP, IPPROTO_UDP, -1, 47, 255, 256};

static int number_of(int fd, int name)
{
    int number = 0;
    socklen_t size = sizeof number;
    getsockopt(fd, SOL_SOCKET, name, &number, &size);
    return number;
}

static int *slot(void)
{
    unsigned at = draw(SLOTS);
    say(" [%u:%d,%d]", at, number_of(slots[at], SO_DOMAIN), number_of(slots[at], SO_TYPE));
    return &slots[at];
}

static void keep(int *to, int fd)
{
    result(fd < 0 ? -1 : 0);
    if (fd >= 0) {
        if (*to >= 0) {
            CHECK(close(*to) == 0);
        }
        *to = fd;
    }
}

static void creating(void)
{
    int domain = draw(12) ? SOME(domains) : SOME(odd_domains), type = draw(12) ? SOME(types) : SOME(odd_types);
    int protocol = SOME(protocols), flags = draw(20) ? SOCK_NONBLOCK | SOCK_CLOEXEC : 0x1000 | SOCK_NONBLOCK;
    say("socket %d %d %d %x", domain, type, protocol, (unsigned)flags);
    keep(slot(), socket(domain, type | flags, protocol));
}

static void pairing(void)
{
    int ends[2], domain = draw(4) ? AF_UNIX : draw(4) ? SOME(domains) : SOME(odd_domains);
    int type = draw(12) ? SOME(types) : SOME(odd_types), protocol = SOME(protocols), is_bad = draw(20) == 0;
    say("socketpair %d %d %d %d", domain, type, protocol, is_bad);
    int done = socketpair(domain, type | SOCK_NONBLOCK, protocol, is_bad ? NULL : ends);
    if (done < 0) {
        result(done);
        return;
    }
    keep(slot(), ends[0]);
    keep(slot(), ends[1]);
}

static socklen_t local_size(const union any_name *name, size_t length)
{
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name->local.sun_path[0] != 0));
}

/* Ports are drawn by the host, abstract names are this process's: they are told by whose they are. */
static void say_name(const union any_name *name, socklen_t size)
{
    say(" family %d size %u", size >= sizeof(sa_family_t) ? name->local.sun_family : -1, size);
    for (unsigned at = 0; at < SLOTS && size > sizeof(sa_family_t); at++) {
        union any_name other;
        socklen_t room = sizeof other;
        if (slots[at] < 0 || getsockname(slots[at], &other.name.any, &room) < 0 || other.local.sun_family != name->local.sun_family) {
            continue;
        }
        if (name->local.sun_family == AF_UNIX ? room == size && memcmp(&other, name, size) == 0 : other.name.ipv4.sin_port != 0 && other.name.ipv4.sin_port == name->name.ipv4.sin_port) {
            say(" of %u", at);
            return;
        }
    }
}

static socklen_t spoiled(union any_name *name, socklen_t size)
{
    switch (draw(20)) {
    case 0:
        name->local.sun_family = (sa_family_t)SOME(odd_domains);
        return size;
    case 1:
        return draw(size);
    case 2:
        return size + draw(8);
    default:
        return size;
    }
}

/* A free name to be bound to. */
static socklen_t free_name(union any_name *name)
{
    socklen_t size;
    memset(name, 0, sizeof *name);
    switch (draw(4)) {
    case 0:
        name->local.sun_family = AF_UNIX;
        size = local_size(name, (size_t)sprintf(name->local.sun_path, "mix%u", draw(4)));
        break;
    case 1:
        name->local.sun_family = AF_UNIX;
        size = local_size(name, (size_t)sprintf(name->local.sun_path + 1, "mix%07u.%u", (unsigned)getpid(), draw(4)) + 1);
        break;
    default: {
        int family = draw(2) ? AF_INET : AF_INET6;
        name->name = loopback(family, 0);
        size = name_size(family);
    }
    }
    return spoiled(name, size);
}

/* That of a slot. */
static socklen_t known_name(union any_name *name, int may_be_spoiled)
{
    socklen_t size = sizeof *name;
    unsigned at = draw(SLOTS);
    memset(name, 0, sizeof *name);
    if (slots[at] < 0 || getsockname(slots[at], &name->name.any, &size) < 0) {
        size = 0;
    }
    if (size > 2 && draw(20) == 0 && name->local.sun_family != AF_UNIX) {
        name->name.ipv4.sin_port = htons(1); /* nobody's */
    }
    say(" to %u", at);
    return size == 0 || !may_be_spoiled ? size : spoiled(name, size);
}

static void binding(void)
{
    union any_name name;
    say("bind");
    int fd = *slot();
    socklen_t size = free_name(&name);
    say(" family %d size %u", name.local.sun_family, size);
    int done = bind(fd, &name.name.any, size);
    errno = errno == EADDRINUSE && name.local.sun_family == AF_UNIX ? EINVAL : errno; /* which comes first depends on the kernel */
    result(done);
}

static void connecting(void)
{
    union any_name name;
    say("connect");
    int fd = *slot();
    socklen_t size = known_name(&name, 1);
    say(" family %d size %u", name.local.sun_family, size);
    result(connect(fd, &name.name.any, size));
}

static void listening_to(void)
{
    int backlog = (int)draw(8) - 1;
    say("listen %d", backlog);
    result(listen(*slot(), backlog));
}

static void accepting(void)
{
    union any_name name = {0};
    socklen_t size = draw(10) ? (socklen_t)sizeof name : draw(20), room = size;
    say("accept %u", size);
    int fd = accept4(*slot(), draw(10) ? &name.name.any : NULL, &size, SOCK_NONBLOCK | (draw(20) ? 0 : 7));
    if (fd >= 0 && room == sizeof name) {
        say(" size %u", size);
    }
    keep(slot(), fd);
}

static void naming(void)
{
    union any_name name = {0};
    int is_peer = draw(2);
    socklen_t size = draw(10) ? (socklen_t)sizeof name : draw(20) - 1, room = size;
    say(is_peer ? "getpeername %d" : "getsockname %d", (int)size);
    int fd = *slot(), done = (is_peer ? getpeername : getsockname)(fd, &name.name.any, &size);
    if (done == 0 && room == sizeof name) {
        say_name(&name, size);
    } else if (done == 0) {
        say(" size %u", size);
    }
    result(done);
}

static const int send_flags[] = {0, 0, 0, MSG_MORE, MSG_OOB, MSG_EOR, MSG_DONTROUTE, MSG_CONFIRM, MSG_PEEK, MSG_ERRQUEUE, MSG_TRUNC, MSG_WAITALL, 1 << 28};
static const int receive_flags[] = {0, 0, 0, MSG_PEEK, MSG_OOB, MSG_TRUNC, MSG_WAITALL, MSG_ERRQUEUE, MSG_PEEK | MSG_TRUNC, MSG_CMSG_CLOEXEC, MSG_MORE, 1 << 28};

/* Linux may be built with urgent data of Unix sockets; the LibOS has none. */
static int without_urgent_data(int fd, int flags)
{
    return number_of(fd, SO_DOMAIN) == AF_UNIX ? flags & ~MSG_OOB : flags;
}

/* Whether a datagram's receiver or its sender is looked at first depends on the kernel. */
static void sent(int fd, long done)
{
    errno = errno == ENOTCONN && number_of(fd, SO_DOMAIN) == AF_UNIX ? EPIPE : errno;
    result(done);
}

static void sending(void)
{
    union any_name name;
    int flags = SOME(send_flags), is_named = draw(3) == 0;
    size_t length = draw(4) ? draw(100) : draw(DATA_MAX);
    say("send %zu %x", length, (unsigned)flags);
    int fd = *slot();
    socklen_t size = is_named ? known_name(&name, 0) : 0;
    size = size > 0 && name.local.sun_family == number_of(fd, SO_DOMAIN) ? size : 0; /* UDP gets a port even if the name is bad */
    is_named = size > 0;
    flags = without_urgent_data(fd, flags);
    memset(data, 'a' + (char)draw(26), length);
    switch (draw(3)) {
    case 0:
        sent(fd, is_named ? sendto(fd, data, length, flags | MSG_NOSIGNAL, &name.name.any, size) : send(fd, data, length, flags | MSG_NOSIGNAL));
        break;
    case 1:
        say(" write");
        sent(fd, write(fd, data, length));
        break;
    default: {
        struct iovec pieces[3] = {{data, length / 3}, {data, 0}, {data + length / 3, length - length / 3}};
        struct msghdr header = {.msg_name = is_named ? &name : NULL, .msg_namelen = size, .msg_iov = pieces, .msg_iovlen = 3};
        say(" pieces");
        sent(fd, sendmsg(fd, &header, flags | MSG_NOSIGNAL));
    }
    }
}

static void say_control(struct msghdr *header)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at != NULL; at = CMSG_NXTHDR(header, at)) {
        say(" control %d %d %zu", at->cmsg_level, at->cmsg_type, (size_t)at->cmsg_len);
    }
}

static void receiving(void)
{
    union any_name name = {0};
    char control[128];
    int flags = SOME(receive_flags);
    size_t length = 1 + (draw(4) ? draw(100) : draw(DATA_MAX - 1));
    struct iovec pieces[2] = {{data, length / 2}, {data + length / 2, length - length / 2}};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2, .msg_name = draw(2) ? &name : NULL, .msg_namelen = sizeof name,
        .msg_control = control, .msg_controllen = draw(3) ? sizeof control : 0};
    say("receive %zu %x", length, (unsigned)flags);
    int fd = *slot();
    if (draw(3) == 0) {
        say(" read");
        long done = read(fd, data, length);
        mix_in(data, done < 0 ? 0 : (size_t)done);
        result(done);
        return;
    }
    long done = recvmsg(fd, &header, without_urgent_data(fd, flags));
    mix_in(data, done < 0 ? 0 : (size_t)done < length ? (size_t)done : length);
    if (done >= 0) {
        say(" flags %x", (unsigned)header.msg_flags);
        say_control(&header);
        if (header.msg_name != NULL) {
            say_name(&name, header.msg_namelen);
        }
    }
    result(done);
}

static void shutting(void)
{
    int how = draw(10) ? (int)draw(3) : (int)draw(8) - 3;
    say("shutdown %d", how);
    result(shutdown(*slot(), how));
}

static const struct {
    int level, name, is_told;
} options[] = {
    {SOL_SOCKET, SO_TYPE, 1}, {SOL_SOCKET, SO_DOMAIN, 1}, {SOL_SOCKET, SO_PROTOCOL, 1}, {SOL_SOCKET, SO_ERROR, 1}, {SOL_SOCKET, SO_REUSEADDR, 1},
    {SOL_SOCKET, SO_KEEPALIVE, 1}, {SOL_SOCKET, SO_LINGER, 1}, {SOL_SOCKET, SO_BROADCAST, 1}, {SOL_SOCKET, SO_OOBINLINE, 1},
    {SOL_SOCKET, SO_ACCEPTCONN, 1}, {SOL_SOCKET, SO_RCVLOWAT, 1}, {SOL_SOCKET, SO_SNDLOWAT, 1}, {SOL_SOCKET, SO_RCVTIMEO, 1}, {SOL_SOCKET, SO_SNDTIMEO, 1},
    {SOL_SOCKET, SO_PRIORITY, 1}, {SOL_SOCKET, SO_TIMESTAMP, 1}, {SOL_SOCKET, SO_SNDBUF, 0}, {SOL_SOCKET, SO_RCVBUF, 0},
    {SOL_SOCKET, 200, 0}, {SOL_SOCKET, -1, 0}, {IPPROTO_IP, 1 /* IP_TOS */, 1}, {IPPROTO_IP, 2 /* IP_TTL */, 1}, {IPPROTO_IP, 8 /* IP_PKTINFO */, 1},
    {IPPROTO_IP, 12 /* IP_RECVTTL */, 1}, {IPPROTO_IP, 13 /* IP_RECVTOS */, 1}, {IPPROTO_IP, -1, 0}, {IPPROTO_IPV6, IPV6_V6ONLY, 1},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1}, {IPPROTO_IPV6, IPV6_TCLASS, 1}, {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1}, {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1},
    {IPPROTO_TCP, TCP_NODELAY, 1}, {IPPROTO_TCP, TCP_CORK, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 1}, {IPPROTO_TCP, TCP_KEEPCNT, 1},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 1}, {IPPROTO_TCP, TCP_INFO, 0}, {IPPROTO_TCP, 200, 0}, {IPPROTO_UDP, 1 /* UDP_CORK */, 1}, {IPPROTO_UDP, 103 /* UDP_SEGMENT */, 1},
    {IPPROTO_UDP, 200, 0}, {IPPROTO_ICMP, 1, 0}, {500, 1, 0}, {-1, 1, 0},
};

static void asking(void)
{
    unsigned at = draw(sizeof options / sizeof options[0]);
    char value[64] = {0};
    socklen_t size = draw(4) ? 16 : draw(20), room = size;
    say("getsockopt %d %d %d", options[at].level, options[at].name, (int)size);
    int fd = *slot(), done = getsockopt(fd, options[at].level, options[at].name, value, &size);
    if (done == 0) {
        say(" size %u", options[at].is_told ? size : 0);
        if (options[at].is_told && size <= room) {
            for (unsigned byte = 0; byte < size && byte < 16; byte++) {
                say(" %02x", (unsigned char)value[byte]);
            }
        }
    }
    result(done);
}

static void setting(void)
{
    unsigned at = draw(sizeof options / sizeof options[0]);
    int value[4] = {draw(4) ? (int)draw(3) : (int)draw(100000) - 10, 0, 0, 0};
    socklen_t size = draw(3) ? 4 : draw(20);
    /* what is cut or cannot be seen at once does not belong here */
    int is_slow = options[at].name == TCP_CORK || options[at].name == 1 || options[at].name == SO_LINGER || options[at].name == SO_RCVLOWAT ||
                  options[at].name == SO_PRIORITY || options[at].name == SO_RCVBUF || (options[at].level == IPPROTO_UDP && options[at].name == 103);
    value[0] = is_slow && options[at].level != IPPROTO_IP ? 0 : value[0];
    if (options[at].name == SO_SNDBUF || options[at].name == SO_RCVBUF) {
        return;
    }
    say("setsockopt %d %d %d %d", options[at].level, options[at].name, value[0], (int)size);
    result(setsockopt(*slot(), options[at].level, options[at].name, value, size));
}

/* include/uapi/asm-generic/sockios.h and include/uapi/linux/sockios.h */
enum { OWN_SET = 0x8901, GROUP_SET = 0x8902, OWN_GET = 0x8903, GROUP_GET = 0x8904, FLAGS_GET = 0x8913, FLAGS_SET = 0x8914 };
static const unsigned long requests[] = {FIONREAD, TIOCOUTQ, FIONBIO, OWN_SET, GROUP_SET, OWN_GET, GROUP_GET, FLAGS_GET, FLAGS_SET, 0x8926, 0x89D0, TCGETS, 0x1234};

static void controlling(void)
{
    unsigned long request = SOME(requests);
    char value[64] = {1};
    int is_bad = draw(4) == 0;
    say("ioctl %lx %d", request, is_bad);
    int done = ioctl(*slot(), request, is_bad ? NULL : value);
    if (done == 0 && request != TIOCOUTQ) {
        say(" value %d", value[0]);
    }
    result(done);
}

static void polling(void)
{
    struct pollfd entries[SLOTS];
    for (int at = 0; at < SLOTS; at++) {
        entries[at] = (struct pollfd){.fd = slots[at], .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    }
    say("poll");
    long done = poll(entries, SLOTS, 0);
    for (int at = 0; at < SLOTS; at++) {
        say(" %x", (unsigned)entries[at].revents);
    }
    result(done);
}

static void watching(void)
{
    static const int operations[] = {EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
    static const unsigned wanted[] = {EPOLLIN, EPOLLIN | EPOLLOUT | EPOLLRDHUP, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLET, EPOLLRDHUP | EPOLLET | EPOLLONESHOT};
    int operation = SOME(operations);
    struct epoll_event event = {.events = SOME(wanted)}; /* no edges of EPOLLOUT: memory that was given back may be one */
    unsigned at = draw(SLOTS);
    event.data.u32 = at;
    say("epoll_ctl %d %x [%u]", operation, event.events, at);
    result(epoll_ctl(watcher, operation, slots[at], &event));
}

static void waiting(void)
{
    struct epoll_event found[SLOTS * 2];
    unsigned told[SLOTS] = {0};
    say("epoll_wait");
    long done = epoll_wait(watcher, found, SLOTS * 2, 0);
    for (long at = 0; at < done; at++) {
        told[found[at].data.u32] |= found[at].events;
    }
    for (int at = 0; at < SLOTS; at++) {
        say(" %x", told[at]);
    }
    result(done);
}

static void closing(void)
{
    say("close");
    int *fd = slot();
    result(*fd < 0 ? -1 : close(*fd));
    *fd = -1;
}

static void removing(void)
{
    char path[8];
    sprintf(path, "mix%u", draw(4));
    say("unlink %s", path);
    result(unlink(path));
}

static void remove_names(void)
{
    static const char *const names[] = {"m", "mi", "mix", "mix0", "mix1", "mix2", "mix3"};
    for (unsigned at = 0; at < sizeof names / sizeof names[0]; at++) {
        unlink(names[at]);
    }
}

int main(int argc, char **argv)
{
    static void (*const operations[])(void) = {creating, creating, pairing, binding, binding, connecting, connecting, connecting, listening_to, accepting, accepting,
        naming, sending, sending, sending, sending, receiving, receiving, receiving, receiving, shutting, asking, asking, setting, setting, controlling, polling,
        watching, waiting, closing, removing};
    CHECK(argc >= 3);
    mix.state = strtoull(argv[1], NULL, 10);
    mix.is_verbose = argc > 3;
    keep_docker_rights();
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK((mkdir(FOLDER, 0700) == 0 || errno == EEXIST) && chdir(FOLDER) == 0);
    remove_names();
    watcher = epoll_create1(EPOLL_CLOEXEC);
    for (int at = 0; at < SLOTS; at++) {
        slots[at] = -1;
    }
    for (long at = 1, count = strtol(argv[2], NULL, 10); at <= count; at++) {
        say("%ld:", at);
        errno = 0;
        operations[draw(sizeof operations / sizeof operations[0])]();
        tell_digest(at);
    }
    remove_names();
    CHECK(chdir("/") == 0 && rmdir(FOLDER) == 0);
    puts("mix ok");
}
