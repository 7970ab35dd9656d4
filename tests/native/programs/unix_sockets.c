/* Sockets of AF_UNIX: streams, datagrams, sequenced packets; names in files and abstract ones; open files and credentials that
 * go with messages; ends, errors and readiness as natively. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/unix-XXXXXX";

struct name {
    struct sockaddr_un address;
    socklen_t size;
};

static struct name in_file(const char *name)
{
    struct name made = {.address = {.sun_family = AF_UNIX}};
    snprintf(made.address.sun_path, sizeof(made.address.sun_path), "%s/%s", folder, name);
    made.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(made.address.sun_path));
    return made;
}

static struct name abstract(const char *name)
{
    struct name made = {.address = {.sun_family = AF_UNIX}};
    memcpy(made.address.sun_path + 1, name, strlen(name));
    made.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    return made;
}

static int make(int type)
{
    int fd = socket(AF_UNIX, type, 0);
    CHECK(fd >= 0);
    return fd;
}

static int bound(int type, const struct name *name)
{
    int fd = make(type);
    CHECK(bind(fd, (const struct sockaddr *)&name->address, name->size) == 0);
    return fd;
}

static int connect_to(int fd, const struct name *name)
{
    return connect(fd, (const struct sockaddr *)&name->address, name->size);
}

static short events_of(int fd, short wanted)
{
    struct pollfd one = {.fd = fd, .events = wanted};
    CHECK(poll(&one, 1, 0) >= 0);
    return one.revents;
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    CHECK(getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 && size == sizeof(value));
    return value;
}

static void connections(int type, struct name name)
{
    char bytes[64];
    struct sockaddr_un told;
    socklen_t size = sizeof(told);
    int listener = bound(type, &name), client = make(type), other;
    FAILS(connect_to(client, &name), ECONNREFUSED);
    FAILS(accept(listener, NULL, NULL), EINVAL);
    FAILS(recv(client, bytes, 1, 0), type == SOCK_STREAM ? EINVAL : ENOTCONN);
    FAILS(send(client, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    FAILS(getpeername(client, (struct sockaddr *)&told, &size), ENOTCONN);
    CHECK(events_of(client, POLLIN | POLLOUT) == (POLLOUT | POLLHUP));
    CHECK(listen(listener, 1) == 0 && option(listener, SO_ACCEPTCONN) == 1 && events_of(listener, POLLIN | POLLOUT) == 0);
    int wrong = make(type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM);
    FAILS(connect_to(wrong, &name), name.address.sun_path[0] ? EPROTOTYPE : ECONNREFUSED); /* abstract names are of one type */
    CHECK(close(wrong) == 0);
    CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    CHECK(connect_to(client, &name) == 0);
    FAILS(connect_to(client, &name), EISCONN);
    CHECK(send(client, "before", 6, 0) == 6);
    CHECK(events_of(listener, POLLIN) == POLLIN);
    size = sizeof(told);
    CHECK((other = accept4(listener, (struct sockaddr *)&told, &size, SOCK_CLOEXEC)) >= 0 && size == 2);
    CHECK(fcntl(other, F_GETFD) == FD_CLOEXEC && fcntl(other, F_GETFL) == O_RDWR);
    size = sizeof(told);
    CHECK(getpeername(client, (struct sockaddr *)&told, &size) == 0);
    CHECK(size == name.size + (name.address.sun_path[0] != 0) && memcmp(&told, &name.address, name.size) == 0);
    size = sizeof(told);
    CHECK(getsockname(other, (struct sockaddr *)&told, &size) == 0 && memcmp(&told, &name.address, name.size) == 0);
    CHECK(recv(other, bytes, sizeof(bytes), 0) == 6 && memcmp(bytes, "before", 6) == 0);
    FAILS(recv(other, bytes, 1, MSG_DONTWAIT), EAGAIN);
    /* The backlog of one takes two. */
    int waiting[3];
    for (int at = 0; at < 3; at++) {
        waiting[at] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    }
    CHECK(connect_to(waiting[0], &name) == 0 && connect_to(waiting[1], &name) == 0);
    FAILS(connect_to(waiting[2], &name), EAGAIN);
    CHECK(close(listener) == 0);
    FAILS(connect_to(waiting[2], &name), ECONNREFUSED);
    FAILS(read(waiting[0], bytes, 1), ECONNRESET);
    CHECK(read(waiting[0], bytes, 1) == 0);
    for (int at = 0; at < 3; at++) {
        CHECK(close(waiting[at]) == 0);
    }
    /* What is connected stays so. */
    CHECK(send(other, "answer", 6, 0) == 6 && recv(client, bytes, sizeof(bytes), 0) == 6);
    CHECK(close(client) == 0 && read(other, bytes, 1) == 0);
    CHECK(events_of(other, POLLIN | POLLOUT | POLLRDHUP) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP));
    FAILS(send(other, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(close(other) == 0);
}

static void borders(int type)
{
    char bytes[64];
    int ends[2];
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0);
    CHECK(write(ends[0], "one", 3) == 3 && write(ends[0], "two!", 4) == 4 && option(ends[0], SO_TYPE) == type);
    int waiting = -1;
    CHECK(ioctl(ends[1], FIONREAD, &waiting) == 0 && waiting == (type == SOCK_DGRAM ? 3 : 7));
    if (type == SOCK_STREAM) {
        CHECK(recv(ends[1], bytes, 2, MSG_PEEK) == 2 && recv(ends[1], bytes, sizeof(bytes), MSG_PEEK) == 7);
        CHECK(read(ends[1], bytes, 5) == 5 && memcmp(bytes, "onetw", 5) == 0);
        CHECK(read(ends[1], bytes, sizeof(bytes)) == 2 && memcmp(bytes, "o!", 2) == 0);
    } else {
        CHECK(recv(ends[1], bytes, 2, MSG_PEEK | MSG_TRUNC) == 3);
        CHECK(read(ends[1], bytes, sizeof(bytes)) == 3 && memcmp(bytes, "one", 3) == 0);
        struct iovec part = {bytes, 2};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
        CHECK(recvmsg(ends[1], &header, 0) == 2 && header.msg_flags == MSG_TRUNC);
        CHECK(send(ends[0], "", 0, 0) == 0 && recv(ends[1], bytes, sizeof(bytes), 0) == 0);
    }
    FAILS(recv(ends[1], bytes, 1, MSG_DONTWAIT), EAGAIN);
    CHECK(shutdown(ends[0], SHUT_WR) == 0);
    FAILS(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    if (type != SOCK_DGRAM) {
        CHECK(read(ends[1], bytes, 1) == 0 && (events_of(ends[1], POLLIN | POLLRDHUP) == (POLLIN | POLLRDHUP)));
    }
    CHECK(write(ends[1], "back", 4) == 4 && read(ends[0], bytes, sizeof(bytes)) == 4);
    CHECK(shutdown(ends[0], SHUT_RD) == 0 && read(ends[0], bytes, 1) == 0);
    FAILS(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void datagrams(void)
{
    char bytes[64];
    struct name here = in_file("datagram"), there = abstract("datagram");
    struct sockaddr_un from;
    socklen_t size = sizeof(from);
    int one = bound(SOCK_DGRAM, &here), other = bound(SOCK_DGRAM, &there), third = make(SOCK_DGRAM);
    FAILS(send(one, "x", 1, 0), ENOTCONN);
    FAILS(listen(one, 1), EOPNOTSUPP);
    CHECK(sendto(one, "hello", 5, 0, (struct sockaddr *)&there.address, there.size) == 5);
    CHECK(recvfrom(other, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size) == 5);
    CHECK(size == here.size + 1 && strcmp(from.sun_path, here.address.sun_path) == 0);
    CHECK(sendto(third, "nameless", 8, 0, (struct sockaddr *)&there.address, there.size) == 8);
    size = sizeof(from);
    CHECK(recvfrom(other, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size) == 8 && size == 0);
    CHECK(connect_to(one, &there) == 0 && send(one, "to the peer", 11, 0) == 11 && read(other, bytes, sizeof(bytes)) == 11);
    int count = 0;
    while (send(one, "fill", 4, MSG_DONTWAIT) == 4) {
        count++;
    }
    CHECK(errno == EAGAIN && count == 11 && events_of(one, POLLOUT) == 0);
    CHECK(read(other, bytes, sizeof(bytes)) == 4 && events_of(one, POLLOUT) == POLLOUT);
    while (recv(other, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    CHECK(connect_to(other, &here) == 0);
    for (int at = 0; at < 20; at++) { /* no such limit between two that are connected to each other */
        CHECK(send(one, "more", 4, MSG_DONTWAIT) == 4);
    }
    FAILS(sendto(third, "x", 1, 0, (struct sockaddr *)&there.address, there.size), EPERM);
    FAILS(connect_to(third, &there), EPERM);
    static char large[300000];
    FAILS(send(one, large, sizeof(large), MSG_DONTWAIT), EMSGSIZE);
    CHECK(close(other) == 0);
    FAILS(send(one, "x", 1, 0), ECONNREFUSED);
    FAILS(send(one, "x", 1, 0), ENOTCONN);
    FAILS(sendto(third, "x", 1, 0, (struct sockaddr *)&there.address, there.size), ECONNREFUSED);
    CHECK(close(one) == 0 && close(third) == 0);
}

static void names(void)
{
    struct name name = in_file("name"), missing = in_file("missing/name"), other = in_file("other");
    struct sockaddr_un told;
    struct stat status;
    socklen_t size = sizeof(told);
    int fd = make(SOCK_STREAM);
    FAILS(connect_to(fd, &name), ENOENT);
    FAILS(bind(fd, (struct sockaddr *)&missing.address, missing.size), ENOENT);
    FAILS(bind(fd, (struct sockaddr *)&name.address, 1), EINVAL);
    FAILS(bind(fd, (struct sockaddr *)&name.address, sizeof(name.address) + 1), EINVAL);
    FAILS(listen(fd, 1), EINVAL);
    CHECK(getsockname(fd, (struct sockaddr *)&told, &size) == 0 && size == 2 && told.sun_family == AF_UNIX);
    umask(027);
    CHECK(bind(fd, (struct sockaddr *)&name.address, name.size) == 0);
    CHECK(stat(name.address.sun_path, &status) == 0 && status.st_mode == (S_IFSOCK | 0750));
    umask(022);
    FAILS(bind(fd, (struct sockaddr *)&other.address, other.size), EINVAL);
    FAILS(open(name.address.sun_path, O_RDWR), ENXIO);
    int second = make(SOCK_STREAM);
    FAILS(bind(second, (struct sockaddr *)&name.address, name.size), EADDRINUSE);
    CHECK(listen(fd, 4) == 0 && rename(name.address.sun_path, other.address.sun_path) == 0);
    CHECK(connect_to(second, &other) == 0);
    CHECK(unlink(other.address.sun_path) == 0 && close(second) == 0);
    second = make(SOCK_STREAM);
    FAILS(connect_to(second, &other), ENOENT);
    int plain = open(other.address.sun_path, O_CREAT | O_RDWR, 0600);
    FAILS(connect_to(second, &other), ECONNREFUSED);
    CHECK(close(plain) == 0 && close(fd) == 0);
    /* The name goes with the socket if it is abstract, and is free again. */
    struct name free_name = abstract("free");
    CHECK(close(bound(SOCK_STREAM, &free_name)) == 0);
    fd = bound(SOCK_STREAM, &free_name);
    FAILS(bind(second, (struct sockaddr *)&free_name.address, free_name.size), EADDRINUSE);
    CHECK(bind(second, (struct sockaddr *)&free_name.address, 2) == 0);
    size = sizeof(told);
    CHECK(getsockname(second, (struct sockaddr *)&told, &size) == 0 && size == 8 && told.sun_path[0] == 0);
    CHECK(close(second) == 0 && close(fd) == 0);
    FAILS(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
    FAILS(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
}

union control {
    struct cmsghdr header;
    char bytes[2048];
};

static ssize_t send_files(int fd, const int *files, size_t count, const char *text)
{
    union control control = {0};
    struct iovec part = {(void *)text, strlen(text)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), files, count * sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* How many files came; the message's flags. */
static size_t receive_files(int fd, int *files, size_t room, ssize_t wanted, int flags, int *got)
{
    char bytes[64];
    union control control = {0};
    struct iovec part = {bytes, sizeof(bytes)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = room == 0 ? 0 : CMSG_LEN(room * sizeof(int))};
    CHECK(recvmsg(fd, &message, flags) == wanted);
    *got = message.msg_flags & ~MSG_CMSG_CLOEXEC;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL) {
        return 0;
    }
    CHECK(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS);
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(files, CMSG_DATA(header), count * sizeof(int));
    return count;
}

static void files(int type)
{
    int ends[2], ways[2], got[16], flags;
    char byte;
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0 && pipe(ways) == 0);
    CHECK(send_files(ends[0], ways, 2, "pipe") == 4 && close(ways[0]) == 0 && close(ways[1]) == 0);
    CHECK(receive_files(ends[1], got, 2, 4, MSG_CMSG_CLOEXEC, &flags) == 2 && flags == 0);
    CHECK(fcntl(got[0], F_GETFD) == FD_CLOEXEC && write(got[1], "p", 1) == 1 && read(got[0], &byte, 1) == 1 && byte == 'p');
    /* Too many for the room: the rest is closed. */
    CHECK(send_files(ends[0], got, 2, "cut") == 3);
    int first = got[0], second = got[1];
    CHECK(receive_files(ends[1], got, 1, 3, 0, &flags) == 1 && flags == MSG_CTRUNC && close(got[0]) == 0);
    CHECK(send_files(ends[0], &second, 1, "lost") == 4 && receive_files(ends[1], got, 0, 4, 0, &flags) == 0 && flags == MSG_CTRUNC);
    CHECK(close(second) == 0 && read(first, &byte, 1) == 0); /* nobody can write any more */
    /* A look does not take them. */
    CHECK(send_files(ends[0], &first, 1, "look") == 4);
    CHECK(receive_files(ends[1], got, 1, 4, MSG_PEEK, &flags) == 1 && close(got[0]) == 0);
    CHECK(receive_files(ends[1], got, 1, 4, 0, &flags) == 1 && close(got[0]) == 0);
    if (type == SOCK_STREAM) { /* bytes behind those that came with files are read apart from them */
        CHECK(send_files(ends[0], &first, 1, "with") == 4 && write(ends[0], "out", 3) == 3);
        CHECK(receive_files(ends[1], got, 4, 4, 0, &flags) == 1 && close(got[0]) == 0);
        CHECK(write(ends[0], "er", 2) == 2 && send_files(ends[0], &first, 1, "file") == 4);
        CHECK(write(ends[0], "s", 1) == 1 && receive_files(ends[1], got, 4, 9, 0, &flags) == 1 && close(got[0]) == 0);
        CHECK(receive_files(ends[1], got, 4, 1, 0, &flags) == 0);
    }
    int wrong = 999;
    FAILS(send_files(ends[0], &wrong, 1, "x"), EBADF);
    /* In the queue of a socket that nobody has: the file is closed with it. */
    int hold[2];
    CHECK(pipe(hold) == 0 && send_files(ends[0], &hold[1], 1, "held") == 4 && close(hold[1]) == 0);
    CHECK(events_of(hold[0], POLLIN) == 0 && close(ends[1]) == 0 && events_of(hold[0], POLLIN) == POLLHUP);
    CHECK(close(hold[0]) == 0 && close(ends[0]) == 0 && close(first) == 0);
}

/* Sockets sent over one another, and long chains of them, are closed without any end of the stack. */
static void chains(void)
{
    int last[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, last) == 0);
    for (int at = 0; at < 300; at++) {
        int next[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, next) == 0 && send_files(next[0], last, 2, "chain") == 5);
        CHECK(close(last[0]) == 0 && close(last[1]) == 0);
        last[0] = next[0];
        last[1] = next[1];
    }
    CHECK(close(last[0]) == 0 && close(last[1]) == 0);
}

static void credentials(void)
{
    int ends[2], on = 1;
    char byte;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof(peer));
    CHECK(peer.pid == getpid() && peer.uid == getuid() && peer.gid == getgid());
    CHECK(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0 && option(ends[1], SO_PASSCRED) == 1);
    CHECK(write(ends[0], "x", 1) == 1);
    union control control;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    CHECK(recvmsg(ends[1], &message, 0) == 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header != NULL && header->cmsg_type == SCM_CREDENTIALS && header->cmsg_len == CMSG_LEN(sizeof(peer)));
    struct ucred got;
    memcpy(&got, CMSG_DATA(header), sizeof(got));
    CHECK(memcmp(&got, &peer, sizeof(got)) == 0);
    /* They are told once, though the end was waited for; the end itself is nobody's. */
    char two[2];
    part = (struct iovec){two, sizeof(two)};
    CHECK(write(ends[0], "y", 1) == 1 && shutdown(ends[0], SHUT_WR) == 0);
    message.msg_controllen = sizeof(control);
    CHECK(recvmsg(ends[1], &message, MSG_WAITALL) == 1 && message.msg_controllen == CMSG_SPACE(sizeof(peer)));
    CHECK(recvmsg(ends[1], &message, 0) == 0 && message.msg_controllen == CMSG_SPACE(sizeof(peer)));
    const struct ucred nobody = {0};
    CHECK(memcmp(CMSG_DATA(CMSG_FIRSTHDR(&message)), &nobody, sizeof(nobody)) == 0);
    int fresh = make(SOCK_STREAM);
    size = sizeof(peer);
    CHECK(getsockopt(fresh, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == 0 && peer.uid == (uid_t)-1);
    CHECK(close(fresh) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* What has become of its connection is told before what is wrong with the message. */
static void bad_packets(void)
{
    int ends[2], wrong = 999, fresh = make(SOCK_SEQPACKET);
    FAILS(send_files(fresh, &wrong, 1, "x"), ENOTCONN);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    FAILS(send_files(ends[0], &wrong, 1, "x"), EBADF);
    CHECK(write(ends[0], "unread", 6) == 6 && close(ends[1]) == 0);
    FAILS(send_files(ends[0], &wrong, 1, "x"), ECONNRESET);
    FAILS(send_files(ends[0], &wrong, 1, "x"), EBADF);
    CHECK(close(fresh) == 0 && close(ends[0]) == 0);
}

static void fullness(void)
{
    static char block[65536];
    int ends[2], size = 10000;
    ssize_t result, sum = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0 && option(ends[0], SO_SNDBUF) == 20000);
    while ((result = write(ends[0], block, sizeof(block))) > 0) {
        sum += result;
    }
    CHECK(errno == EAGAIN && sum > 0 && sum <= 65536 && events_of(ends[0], POLLOUT) == 0);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
    int set = epoll_create1(0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0 && epoll_wait(set, &event, 1, 0) == 0);
    while (sum > 0 && (result = read(ends[1], block, sizeof(block))) > 0) {
        sum -= result;
    }
    CHECK(sum == 0 && epoll_wait(set, &event, 1, 0) == 1 && (event.events & EPOLLOUT) != 0);
    CHECK(write(ends[0], "unread", 6) == 6 && write(ends[1], "unread", 6) == 6 && close(ends[1]) == 0);
    FAILS(({ read(ends[0], block, sizeof(block)) == 6 ? read(ends[0], block, 1) : 7; }), ECONNRESET);
    CHECK(close(set) == 0 && close(ends[0]) == 0);
}

#define ROUNDS 200
#define CLIENTS 8

static void *serve(void *argument)
{
    int listener = *(int *)argument;
    for (int at = 0; at < CLIENTS * ROUNDS; at++) {
        char byte;
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1 && close(fd) == 0);
    }
    return NULL;
}

static void *ask(void *argument)
{
    struct name name = abstract("server");
    for (int at = 0; at < ROUNDS; at++) {
        char byte = (char)at;
        int fd = make(SOCK_STREAM);
        CHECK(connect_to(fd, &name) == 0 && write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1 && byte == (char)at);
        CHECK(read(fd, &byte, 1) == 0 && close(fd) == 0);
    }
    return argument;
}

static void threads(void)
{
    struct name name = abstract("server");
    pthread_t server, clients[CLIENTS];
    int listener = bound(SOCK_STREAM, &name);
    CHECK(listen(listener, 2) == 0 && pthread_create(&server, NULL, serve, &listener) == 0);
    for (int at = 0; at < CLIENTS; at++) {
        CHECK(pthread_create(&clients[at], NULL, ask, NULL) == 0);
    }
    for (int at = 0; at < CLIENTS; at++) {
        CHECK(pthread_join(clients[at], NULL) == 0);
    }
    CHECK(pthread_join(server, NULL) == 0 && close(listener) == 0);
}

/* What is wrong with control messages is found before it is asked whether, or what, can be sent. */
static void wrong_files(int type)
{
    int ends[2], none = -1;
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0);
    FAILS(send_files(ends[0], &none, 1, ""), EBADF);
    CHECK(close(ends[1]) == 0);
    FAILS(send_files(ends[0], &none, 1, "text"), EBADF);
    CHECK(close(ends[0]) == 0);
}

int main(void)
{
    CHECK(mkdtemp(folder) != NULL);
    connections(SOCK_STREAM, in_file("stream"));
    connections(SOCK_STREAM, abstract("stream"));
    connections(SOCK_SEQPACKET, in_file("packets"));
    borders(SOCK_STREAM);
    borders(SOCK_DGRAM);
    borders(SOCK_SEQPACKET);
    datagrams();
    names();
    files(SOCK_STREAM);
    files(SOCK_DGRAM);
    files(SOCK_SEQPACKET);
    wrong_files(SOCK_STREAM);
    wrong_files(SOCK_DGRAM);
    wrong_files(SOCK_SEQPACKET);
    chains();
    credentials();
    bad_packets();
    fullness();
    threads();
    return 0;
}
