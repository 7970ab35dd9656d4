/*
 * The network when the host lies about it: names of other families and lengths, descriptors that are others', events that nobody asked for or that
 * did not happen, data after the end. What boundary/ lets through is tried here; what it refuses, tests/native/liar tries.
 *
 * network_test IMAGE VERITY DATA DIGEST SEED ROUNDS
 */
#include "lying_network.h"

int open(const char *path, int flags, ...);
long lseek(int fd, long offset, int whence);

static uint32_t failures;

void check(int line, const char *text, int64_t actual, int64_t expected)
{
    if (actual != expected && failures++ < 20) {
        printf("line %d: %s is %lld, not %lld\n", line, text, (long long)actual, (long long)expected);
    }
}

/* Single lies, and what becomes of them. */

static const uint8_t loopback[16] = {AF_INET, 0, 0, 80, 127, 0, 0, 1}, elsewhere[16] = {AF_INET, 0, 0, 80, 10, 0, 0, 1};
static uint8_t bytes[70000];

static uint64_t make_socket(uint64_t type, uint64_t flags)
{
    told.result = FIRST_FD;
    int64_t made = CALL_LIBOS(socket, AF_INET, type | flags, 0);
    NEED(made >= 0);
    return (uint64_t)made;
}

static int64_t receive(uint64_t fd, int64_t answers)
{
    told.result = answers;
    return CALL_LIBOS(recvfrom, fd, USER(bytes), 10, 0, 0, 0);
}

static void say_name(const uint8_t *name, uint32_t length)
{
    told.name.length = length;
    memcpy(told.name.bytes, name, length);
}

static void test_nothing_follows_the_end(void)
{
    const struct iovec vector = {USER(bytes), 10};
    uint64_t fd = make_socket(SOCK_STREAM, SOCK_NONBLOCK);
    CHECK(receive(fd, 4), 4);
    CHECK(receive(fd, 0), 0);
    CHECK(receive(fd, 4), 0);
    CHECK(CALL_LIBOS(recvfrom, fd, USER(bytes), 10, MSG_PEEK, 0, 0), 0);
    CHECK(CALL_LIBOS(read, fd, USER(bytes), 10), 0);
    CHECK(CALL_LIBOS(readv, fd, USER(&vector), 1), 0);
    told.result = NOTHING_TOLD;
    CALL_LIBOS(close, fd);
}

static void test_names_are_of_the_family(void)
{
    static const uint8_t other[HOST_NAME_SIZE] = {AF_INET6};
    uint8_t name[64];
    uint32_t size = sizeof(name), before = closed;
    uint64_t fd = make_socket(SOCK_STREAM, SOCK_NONBLOCK);
    say_name(other, sizeof(other));
    told.result = FIRST_FD + 1;
    CHECK(CALL_LIBOS(accept, fd, USER(name), USER(&size)), -EPERM);
    CHECK(closed, before + 1);
    say_name(loopback, 12);
    told.result = 0;
    CHECK(CALL_LIBOS(getsockname, fd, USER(name), USER(&size)), -EPERM);
    say_name(loopback, sizeof(loopback));
    told.result = 0;
    CHECK(CALL_LIBOS(getpeername, fd, USER(name), USER(&size)), 0);
    CHECK(size, sizeof(loopback));
    CALL_LIBOS(close, fd);
    fd = make_socket(SOCK_DGRAM, SOCK_NONBLOCK);
    say_name(other, sizeof(other));
    CHECK(receive(fd, 4), -EPERM);
    CALL_LIBOS(close, fd);
}

static void test_loopback_is_kept_inside(void)
{
    uint32_t before = closed;
    configuration.policy = POLICY_NETWORK_LOOPBACK;
    uint64_t fd = make_socket(SOCK_STREAM, SOCK_NONBLOCK);
    say_name(elsewhere, sizeof(elsewhere));
    told.result = FIRST_FD + 1;
    CHECK(CALL_LIBOS(accept, fd, 0, 0), -ECONNABORTED);
    CHECK(closed, before + 1);
    CALL_LIBOS(close, fd);
    fd = make_socket(SOCK_DGRAM, SOCK_NONBLOCK);
    say_name(elsewhere, sizeof(elsewhere));
    CHECK(receive(fd, 4), -EAGAIN);
    CALL_LIBOS(close, fd);
    configuration.policy = POLICY_NETWORK_ALL;
}

/* The host says "ready", and then that there is nothing: the time that the program gives is all that it loses. */
static void test_events_that_did_not_happen(void)
{
    static const uint64_t time[2] = {0, 20000};
    uint64_t fd = make_socket(SOCK_STREAM, 0);
    CHECK(CALL_LIBOS(setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, USER(time), sizeof(time)), 0);
    is_ready = true;
    CHECK(CALL_LIBOS(recvfrom, fd, USER(bytes), 10, 0, 0, 0), -EAGAIN);
    CHECK(CALL_LIBOS(recvfrom, fd, USER(bytes), 10, MSG_DONTWAIT, 0, 0), -EAGAIN);
    is_ready = false;
    CALL_LIBOS(close, fd);
}

static void test_errors_exist(void)
{
    int32_t error;
    uint32_t size = sizeof(error);
    uint64_t fd = make_socket(SOCK_STREAM, SOCK_NONBLOCK);
    for (uint32_t round = 0; round < 100; round++) {
        told.result = sizeof(error);
        CHECK(CALL_LIBOS(getsockopt, fd, SOL_SOCKET, SO_ERROR, USER(&error), USER(&size)), 0);
        NEED(error >= 0 && error <= 133);
    }
    CALL_LIBOS(close, fd);
}

/* Lies at random, under a program that does anything with its sockets. */

#define SOCKETS 8U
#define EPOLLS 2U
#define ROOM 9000U
#define CANARY 0xA5

static struct {
    int64_t fd;
    bool is_stream;
    bool may_go_on; /* after its end: it was shut down, or connected anew */
    bool has_ended;
} sockets[SOCKETS];
static int64_t epolls[EPOLLS];

struct header { /* struct msghdr */
    uint64_t name, name_length, vector, count, control, control_length, flags;
};
struct event { /* struct epoll_event */
    uint32_t events;
    uint64_t data;
} __attribute__((packed));
enum { EPOLL_ADD = 1, EPOLL_DELETE = 2, EPOLL_MODIFY = 3, EVENT_DATA = 0x12345678 };

/* Nothing but what was given. */
static void look_after(int64_t result, size_t room)
{
    NEED(result <= (int64_t)room);
    for (size_t at = result > 0 ? (size_t)result : 0; at < room + 64; at++) {
        NEED(bytes[at] == CANARY);
    }
}

static void take_end(uint32_t at, int64_t result, uint64_t length, uint64_t flags)
{
    if (sockets[at].is_stream && !sockets[at].may_go_on && length > 0 && (flags & MSG_OOB) == 0) {
        NEED(!sockets[at].has_ended || result <= 0);
        sockets[at].has_ended |= result == 0;
    }
}

/* cmsg(3): all within what the call says there is, and IP_PKTINFO in its own size, if it is whole. */
static void look_at_control(const uint8_t *control, uint64_t length)
{
    static const uint32_t packet[2] = {0, 8};
    uint64_t size;
    for (uint64_t at = 0; at + 16 <= length; at += (size + 7) & ~7ULL) { /* the room may end within the last one's padding */
        memcpy(&size, control + at, sizeof(size));
        NEED(size >= 16 && size <= length - at);
        NEED(memcmp(control + at + 8, packet, sizeof(packet)) != 0 || size <= 16 + 12);
        if (size < 16 || size >= length - at) {
            break;
        }
    }
}

#define TOLD_FLAGS (MSG_OOB | MSG_CTRUNC | MSG_TRUNC | MSG_EOR)

static void try_to_receive(uint32_t at)
{
    static const uint32_t flag_choices[] = {0, MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE, MSG_WAITALL, MSG_PEEK | MSG_TRUNC};
    uint64_t room = random_below(4) ? random_below(100) : random_below(ROOM), fd = (uint64_t)sockets[at].fd;
    uint32_t flags = flag_choices[random_below(ARRAY_LENGTH(flag_choices))];
    uint8_t name[32], control[128];
    const struct iovec vector = {USER(bytes), room};
    struct header header = {USER(name), random_below(sizeof(name)), USER(&vector), 1, USER(control), random_below(sizeof(control)), 0};
    memset(bytes, CANARY, room + 64);
    int64_t result;
    if (random_below(2)) {
        flags = 0;
        result = CALL_LIBOS(read, fd, USER(bytes), room);
        look_after(result, room);
    } else {
        uint64_t control_room = header.control_length;
        result = CALL_LIBOS(recvmsg, fd, USER(&header), flags);
        look_after(result > (int64_t)room && (flags & MSG_TRUNC) ? (int64_t)room : result, room);
        NEED(result <= 0xFFFF);
        NEED(result < 0 || (header.control_length <= control_room && (header.flags & ~(uint64_t)(TOLD_FLAGS | (flags & MSG_ERRQUEUE))) == 0));
        NEED(result < 0 || (uint32_t)header.name_length <= 28);
        look_at_control(control, result < 0 || header.control_length > control_room ? 0 : header.control_length);
    }
    take_end(at, result, room, flags);
}

static void try_to_send(uint32_t at)
{
    uint64_t length = random_below(4) ? random_below(100) : random_below(sizeof(bytes)), fd = (uint64_t)sockets[at].fd;
    bool is_named = random_below(4) == 0;
    NEED(CALL_LIBOS(sendto, fd, USER(bytes), length, MSG_NOSIGNAL, is_named ? USER(loopback) : 0, sizeof(loopback)) <= (int64_t)length);
}

static void try_names_and_options(uint32_t at)
{
    static const uint64_t names[][2] = {{SOL_SOCKET, SO_ERROR}, {SOL_SOCKET, SO_RCVBUF}, {6, 11}, {6, 13}, {0, 8}, {SOL_SOCKET, SO_LINGER}, {SOL_SOCKET, SO_BINDTODEVICE}};
    const uint64_t *option = names[random_below(ARRAY_LENGTH(names))], fd = (uint64_t)sockets[at].fd;
    uint32_t room = (uint32_t)random_below(300), size = room;
    memset(bytes, CANARY, room + 64);
    int64_t result = CALL_LIBOS(getsockopt, fd, option[0], option[1], USER(bytes), USER(&size));
    look_after(result == 0 ? (int64_t)size : 0, room);
    CALL_LIBOS(setsockopt, fd, option[0], option[1], USER(bytes), room);
    room = size = (uint32_t)random_below(64);
    memset(bytes, CANARY, room + 64);
    result = random_below(2) ? CALL_LIBOS(getsockname, fd, USER(bytes), USER(&size)) : CALL_LIBOS(getpeername, fd, USER(bytes), USER(&size));
    NEED(result < 0 || size == 16 || size == 28);
    look_after(result < 0 ? 0 : size < room ? size : room, room);
}

static void try_events(uint32_t at)
{
    struct event event = {.events = (uint32_t)random_below(1ULL << 32), .data = EVENT_DATA}, found[8];
    uint64_t epoll = (uint64_t)epolls[random_below(EPOLLS)], room = 1 + random_below(ARRAY_LENGTH(found));
    CALL_LIBOS(epoll_ctl, epoll, EPOLL_ADD + random_below(3), (uint64_t)sockets[at].fd, USER(&event));
    int64_t count = CALL_LIBOS(epoll_wait, epoll, USER(found), room, random_below(64) == 0);
    NEED(count <= (int64_t)room);
    for (int64_t index = 0; index < count; index++) {
        NEED(found[index].data == EVENT_DATA && found[index].events != 0);
    }
    struct {
        int32_t fd;
        uint16_t events, revents;
    } polled[SOCKETS];
    for (uint32_t index = 0; index < SOCKETS; index++) {
        polled[index].fd = (int32_t)sockets[index].fd;
        polled[index].events = (uint16_t)random_below(0x400);
    }
    count = CALL_LIBOS(poll, USER(polled), SOCKETS, 0);
    NEED(count <= (int64_t)SOCKETS);
    for (uint32_t index = 0; count >= 0 && index < SOCKETS; index++) {
        NEED((polled[index].revents & ~(polled[index].events | POLLERR | POLLHUP | POLLNVAL)) == 0);
    }
}

static void try_listings(void)
{
    static const char *const paths[] = {"/proc/net/tcp", "/proc/net/udp6", "/proc/net/dev", "/proc/net/if_inet6", "/proc/net/sockstat"};
    const struct { /* struct nlmsghdr and struct rtgenmsg: RTM_GETLINK or RTM_GETADDR */
        uint32_t length;
        uint16_t type, flags;
        uint32_t sequence, port;
        uint8_t family[4];
    } request = {20, random_below(2) ? 18 : 22, 0x301, 1, 0, {0}};
    uint64_t file = (uint64_t)CALL_LIBOS(openat, (uint64_t)AT_FDCWD, USER(paths[random_below(ARRAY_LENGTH(paths))]), O_RDONLY, 0);
    CALL_LIBOS(read, file, USER(bytes), sizeof(bytes));
    CALL_LIBOS(close, file);
    uint64_t netlink = (uint64_t)CALL_LIBOS(socket, AF_NETLINK, SOCK_RAW, 0);
    CHECK(CALL_LIBOS(sendto, netlink, USER(&request), sizeof(request), 0, 0, 0), sizeof(request));
    NEED(CALL_LIBOS(recvfrom, netlink, USER(bytes), 8192, MSG_DONTWAIT, 0, 0) >= 20);
    CALL_LIBOS(close, netlink);
}

static void keep(uint32_t at, int64_t fd, bool is_stream)
{
    CALL_LIBOS(close, (uint64_t)sockets[at].fd);
    sockets[at].fd = fd;
    sockets[at].is_stream = is_stream;
    sockets[at].may_go_on = sockets[at].has_ended = false;
}

static void try_connections(uint32_t at)
{
    uint64_t fd = (uint64_t)sockets[at].fd;
    uint32_t size = 16, other = (uint32_t)random_below(SOCKETS);
    sockets[at].may_go_on = true;
    CALL_LIBOS(bind, fd, USER(loopback), sizeof(loopback));
    CALL_LIBOS(listen, fd, 5);
    CALL_LIBOS(connect, fd, USER(loopback), sizeof(loopback));
    int64_t accepted = CALL_LIBOS(accept4, fd, USER(bytes), USER(&size), SOCK_NONBLOCK);
    if (accepted >= 0) {
        keep(other, accepted, true);
    }
    CALL_LIBOS(shutdown, fd, random_below(4));
}

static void try_anything(void)
{
    uint32_t at = (uint32_t)random_below(SOCKETS);
    bool is_stream = random_below(2);
    switch (random_below(16)) {
    case 0:
        keep(at, CALL_LIBOS(socket, random_below(2) ? AF_INET : AF_INET6, (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0), is_stream);
        break;
    case 1:
        try_connections(at);
        break;
    case 2:
        try_listings();
        break;
    case 3:
        at = (uint32_t)random_below(EPOLLS);
        CALL_LIBOS(close, (uint64_t)epolls[at]);
        epolls[at] = CALL_LIBOS(epoll_create1, 0);
        break;
    case 4 ... 6:
        try_names_and_options(at);
        break;
    case 7 ... 9:
        try_events(at);
        break;
    case 10 ... 11:
        try_to_send(at);
        break;
    default:
        try_to_receive(at);
    }
}

int main(int count, char **arguments)
{
    if (count != 7) {
        return 2;
    }
    random_state = strtoull(arguments[5], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    shim_start(arguments[1], arguments[2], arguments[3], NULL);
    static struct configuration measured;
    measured.has_rootfs = true;
    measured.rootfs_size = (uint64_t)lseek(open(arguments[1], 0), 0, 2);
    measured.verity_size = (uint64_t)lseek(open(arguments[2], 0), 0, 2);
    for (size_t at = 0; at < sizeof(measured.rootfs_digest); at++) {
        char byte[3] = {arguments[4][2 * at], arguments[4][2 * at + 1]};
        measured.rootfs_digest[at] = (uint8_t)strtoull(byte, NULL, 16);
    }
    CHECK(fs_start(&measured), 0);
    net_start();
    configuration.policy = POLICY_NETWORK_ALL;
    test_nothing_follows_the_end();
    test_names_are_of_the_family();
    test_loopback_is_kept_inside();
    test_events_that_did_not_happen();
    test_errors_exist();
    for (uint32_t at = 0; at < SOCKETS; at++) {
        sockets[at].fd = -1;
    }
    for (int rounds = atoi(arguments[6]); rounds > 0 && failures == 0; rounds--) {
        try_anything();
    }
    printf("%u failures, %u lines logged\n", failures, log_lines);
    return failures != 0;
}
