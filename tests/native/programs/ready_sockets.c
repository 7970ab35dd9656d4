/* Waiting for sockets: epoll by level, by edge, once; beside files that are inside; poll and select; a thousand connections; many threads that accept. */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>

static int wait_for(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    int count = epoll_wait(epoll, events, room, timeout_ms);
    CHECK(count >= 0);
    return count;
}

static void add(int epoll, int fd, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.u64 = (uint64_t)fd | 7ULL << 40};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void by_level(void)
{
    int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    char bytes[16];
    struct epoll_event events[4];
    stream_pair(AF_INET, ends);
    add(epoll, ends[0], EPOLLIN);
    CHECK(wait_for(epoll, events, 4, 0) == 0);
    CHECK(write(ends[1], "four", 4) == 4 && wait_for(epoll, events, 4, 1000) == 1);
    CHECK(events[0].events == EPOLLIN && events[0].data.u64 == ((uint64_t)ends[0] | 7ULL << 40));
    CHECK(read(ends[0], bytes, 2) == 2 && wait_for(epoll, events, 4, 0) == 1);
    CHECK(read(ends[0], bytes, 2) == 2 && wait_for(epoll, events, 4, 0) == 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.fd = 5};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event) == 0);
    CHECK(wait_for(epoll, events, 4, 0) == 1 && events[0].events == EPOLLOUT && events[0].data.fd == 5);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == -1 && errno == EEXIST);
    CHECK(close(ends[1]) == 0 && wait_for(epoll, events, 4, 1000) == 1);
    CHECK(events[0].events == (EPOLLIN | EPOLLOUT | EPOLLRDHUP));
    CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], NULL) == 0 && wait_for(epoll, events, 4, 0) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], NULL) == -1 && errno == ENOENT);
    CHECK(close(ends[0]) == 0 && close(epoll) == 0);
}

/* Does something come, for one who only looks? */
static int comes(int epoll, struct epoll_event *events)
{
    int found = 0;
    for (time_t end = time(NULL) + 20; found == 0 && time(NULL) < end;) {
        found = wait_for(epoll, events, 4, 0);
    }
    return found == 1;
}

/* Who looks without waiting may be answered from what was seen before, but what holds is told, and what comes is told at last. */
static void looks(int family)
{
    int ends[2], epoll = epoll_create1(0), status;
    char bytes[16];
    struct epoll_event events[4];
    stream_pair(family, ends);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    add(epoll, ends[0], EPOLLIN | EPOLLRDHUP);
    for (int round = 0; round < 100; round++) {
        CHECK(write(ends[1], "data", 4) == 4 && wait_for(epoll, events, 4, 1000) == 1);
        CHECK(wait_for(epoll, events, 4, 0) == 1 && wait_for(epoll, events, 4, 0) == 1); /* a level holds */
        CHECK(read(ends[0], bytes, 1) == 1 && wait_for(epoll, events, 4, 0) == 1);       /* and while there is more */
        CHECK(read(ends[0], bytes, 16) == 3 && write(ends[0], "answer", 6) == 6);
        for (int look = 0; look < 3; look++) {
            CHECK(wait_for(epoll, events, 4, 0) == 0 && read(ends[0], bytes, 16) == -1 && errno == EAGAIN);
        }
        CHECK(recv(ends[1], bytes, 6, MSG_WAITALL) == 6);
        CHECK(write(ends[1], "more", 4) == 4 && comes(epoll, events) && read(ends[0], bytes, 16) == 4);
    }
    CHECK(wait_for(epoll, events, 4, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(write(ends[1], "child", 5) != 5);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(comes(epoll, events) && read(ends[0], bytes, 16) == 5 && wait_for(epoll, events, 4, 0) == 0);
    CHECK(shutdown(ends[1], SHUT_WR) == 0);
    CHECK(comes(epoll, events));
    for (int look = 0; look < 3; look++) { /* the end is never used up */
        CHECK(wait_for(epoll, events, 4, 0) == 1 && events[0].events == (EPOLLIN | EPOLLRDHUP) && read(ends[0], bytes, 16) == 0);
    }
    struct epoll_event event = {.events = EPOLLOUT};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event) == 0);
    for (int look = 0; look < 3; look++) { /* nor is room */
        CHECK(wait_for(epoll, events, 4, 0) == 1 && events[0].events == EPOLLOUT && write(ends[0], "room", 4) == 4);
    }
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(epoll) == 0);
}

static void by_edge(void)
{
    int ends[2], epoll = epoll_create1(0);
    char bytes[16];
    struct epoll_event events[4];
    stream_pair(AF_INET6, ends);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    add(epoll, ends[0], EPOLLIN | EPOLLET | EPOLLRDHUP);
    CHECK(write(ends[1], "four", 4) == 4 && wait_for(epoll, events, 4, 1000) == 1);
    CHECK(wait_for(epoll, events, 4, 0) == 0); /* told once */
    CHECK(read(ends[0], bytes, 2) == 2 && wait_for(epoll, events, 4, 0) == 0);
    CHECK(write(ends[1], "more", 4) == 4 && wait_for(epoll, events, 4, 1000) == 1);
    CHECK(read(ends[0], bytes, 16) == 6 && read(ends[0], bytes, 16) == -1 && errno == EAGAIN);
    for (int round = 0; round < 200; round++) { /* what comes after "would block" is told, however the host was asked */
        CHECK(write(ends[1], "data", 4) == 4 && wait_for(epoll, events, 4, 1000) == 1);
        CHECK(read(ends[0], bytes, 16) == 4 && read(ends[0], bytes, 16) == -1 && errno == EAGAIN);
        CHECK(write(ends[0], "answer", 6) == 6 && read(ends[0], bytes, 16) == -1 && errno == EAGAIN);
        CHECK(read(ends[1], bytes, 16) == 6);
    }
    /* the end comes with the data, and is told once */
    CHECK(write(ends[1], "last", 4) == 4 && close(ends[1]) == 0 && wait_for(epoll, events, 4, 1000) == 1);
    CHECK(read(ends[0], bytes, 16) == 4 && read(ends[0], bytes, 16) == 0 && read(ends[0], bytes, 16) == 0);
    CHECK(close(ends[0]) == 0 && close(epoll) == 0);
    /* only once */
    stream_pair(AF_INET, ends);
    epoll = epoll_create1(0);
    add(epoll, ends[0], EPOLLIN | EPOLLONESHOT);
    CHECK(write(ends[1], "x", 1) == 1 && wait_for(epoll, events, 4, 1000) == 1 && wait_for(epoll, events, 4, 0) == 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = 1};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event) == 0 && wait_for(epoll, events, 4, 0) == 1 && events[0].data.fd == 1);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && wait_for(epoll, events, 4, 0) == 0 && close(epoll) == 0);
}

/* Sockets and what is inside in one epoll, an epoll in an epoll, two descriptors of one socket. */
static void together(void)
{
    int ends[2], epoll = epoll_create1(0), outer = epoll_create1(0), counter = eventfd(0, EFD_NONBLOCK), pipes[2];
    uint64_t value = 1;
    struct epoll_event events[8];
    CHECK(pipe(pipes) == 0);
    stream_pair(AF_INET, ends);
    add(outer, epoll, EPOLLIN);
    add(epoll, counter, EPOLLIN);
    add(epoll, pipes[0], EPOLLIN);
    add(epoll, ends[0], EPOLLIN);
    int twin = dup(ends[0]);
    add(epoll, twin, EPOLLIN);
    CHECK(wait_for(epoll, events, 8, 0) == 0 && wait_for(outer, events, 8, 0) == 0);
    CHECK(write(ends[1], "x", 1) == 1 && wait_for(epoll, events, 8, 1000) == 2);
    CHECK(wait_for(outer, events, 8, 1000) == 1 && events[0].data.u64 == ((uint64_t)epoll | 7ULL << 40));
    CHECK(write(counter, &value, 8) == 8 && write(pipes[1], "x", 1) == 1 && wait_for(epoll, events, 8, 0) == 4);
    int seen[3] = {0};
    for (int round = 0; round < 60; round++) { /* with room for one, nobody starves */
        CHECK(wait_for(epoll, events, 1, 0) == 1);
        int fd = (int)(events[0].data.u64 & 0xFFFF);
        seen[fd == counter ? 0 : fd == pipes[0] ? 1 : 2]++;
    }
    CHECK(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    struct pollfd entries[4] = {{.fd = epoll, .events = POLLIN}, {.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}, {.fd = counter, .events = POLLIN}};
    CHECK(poll(entries, 4, 0) == 3 && entries[2].revents == 0 && entries[1].revents == POLLIN);
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(ends[0], &readable);
    FD_SET(ends[1], &readable);
    FD_SET(ends[1], &writable);
    CHECK(select(64, &readable, &writable, NULL, &(struct timeval){0}) == 2 && FD_ISSET(ends[0], &readable) && FD_ISSET(ends[1], &writable));
    CHECK(close(ends[0]) == 0 && close(twin) == 0 && close(ends[1]) == 0 && close(counter) == 0 && close(pipes[0]) == 0 && close(pipes[1]) == 0);
    CHECK(wait_for(epoll, events, 8, 0) == 0 && close(epoll) == 0 && close(outer) == 0);
}

static void *write_later(void *argument)
{
    usleep(30000);
    CHECK(write(((int *)argument)[0], "12345678", 8) == 8);
    return NULL;
}

/* A wait that something from inside ends, and one that the network ends. */
static void woken(void)
{
    int ends[2], epoll = epoll_create1(0), counter = eventfd(0, 0);
    pthread_t thread;
    struct epoll_event events[4];
    stream_pair(AF_INET, ends);
    add(epoll, ends[0], EPOLLIN);
    add(epoll, counter, EPOLLIN);
    CHECK(pthread_create(&thread, NULL, write_later, &counter) == 0);
    CHECK(wait_for(epoll, events, 4, 5000) == 1 && (events[0].data.u64 & 0xFFFF) == (uint64_t)counter && pthread_join(thread, NULL) == 0);
    uint64_t value;
    CHECK(read(counter, &value, 8) == 8);
    CHECK(pthread_create(&thread, NULL, write_later, &ends[1]) == 0);
    CHECK(wait_for(epoll, events, 4, 5000) == 1 && (events[0].data.u64 & 0xFFFF) == (uint64_t)ends[0] && pthread_join(thread, NULL) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(counter) == 0 && close(epoll) == 0);
}

#define MOST 1000

static void a_thousand(int count)
{
    static int clients[MOST], servers[MOST];
    static struct epoll_event events[MOST];
    static struct pollfd entries[MOST];
    int listener = listening(AF_INET, 128), port = port_of(listener), epoll = epoll_create1(0), told = 0;
    for (int at = 0; at < count; at++) {
        clients[at] = connected_to(AF_INET, port);
        servers[at] = accept(listener, NULL, NULL);
        CHECK(servers[at] >= 0);
        add(epoll, servers[at], EPOLLIN | EPOLLET);
        entries[at] = (struct pollfd){.fd = servers[at], .events = POLLIN};
    }
    CHECK(wait_for(epoll, events, MOST, 0) == 0 && poll(entries, (nfds_t)count, 0) == 0);
    for (int at = 0; at < count; at += 3) {
        CHECK(write(clients[at], "request", 7) == 7);
    }
    int expected = (count + 2) / 3;
    while (told < expected) {
        int found = wait_for(epoll, events, 64, 5000);
        CHECK(found > 0);
        told += found;
    }
    CHECK(told == expected && wait_for(epoll, events, MOST, 0) == 0 && poll(entries, (nfds_t)count, 0) == expected);
    for (int at = 0; at < count; at++) {
        CHECK(close(clients[at]) == 0 && close(servers[at]) == 0);
    }
    CHECK(wait_for(epoll, events, MOST, 0) == 0 && close(listener) == 0 && close(epoll) == 0);
}

#define ACCEPTING 4
#define STORM 400

static int storm_listener, storm_epoll;
static int accepted;

/* Each thread takes what it can get. */
static void *accept_many(void *unused)
{
    struct epoll_event event;
    while (__atomic_load_n(&accepted, __ATOMIC_SEQ_CST) < STORM) {
        if (epoll_wait(storm_epoll, &event, 1, 20) != 1) {
            continue;
        }
        int fd = accept4(storm_listener, NULL, NULL, SOCK_NONBLOCK);
        CHECK(fd >= 0 || errno == EAGAIN);
        if (fd >= 0) {
            __atomic_fetch_add(&accepted, 1, __ATOMIC_SEQ_CST);
            CHECK(write(fd, "hello", 5) == 5 && close(fd) == 0);
        }
    }
    return unused;
}

static void storm(void)
{
    pthread_t threads[ACCEPTING];
    char bytes[8];
    storm_listener = listening(AF_INET, 64);
    storm_epoll = epoll_create1(0);
    CHECK(fcntl(storm_listener, F_SETFL, O_NONBLOCK) == 0);
    add(storm_epoll, storm_listener, EPOLLIN | EPOLLEXCLUSIVE);
    for (int at = 0; at < ACCEPTING; at++) {
        CHECK(pthread_create(&threads[at], NULL, accept_many, NULL) == 0);
    }
    int port = port_of(storm_listener);
    for (int at = 0; at < STORM; at++) {
        int fd = connected_to(AF_INET, port);
        CHECK(recv(fd, bytes, 5, MSG_WAITALL) == 5 && recv(fd, bytes, 1, 0) == 0 && close(fd) == 0);
    }
    for (int at = 0; at < ACCEPTING; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    CHECK(accepted == STORM && close(storm_listener) == 0 && close(storm_epoll) == 0);
}

static void files_to_sockets(void)
{
    static char bytes[200000], got[200000];
    int ends[2], file = open("/tmp/sent", O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(bytes, 'f', sizeof(bytes));
    CHECK(write(file, bytes, sizeof(bytes)) == sizeof(bytes));
    stream_pair(AF_INET, ends);
    off_t offset = 0;
    while (offset < (off_t)sizeof(bytes)) {
        ssize_t sent = sendfile(ends[0], file, &offset, 50000);
        CHECK(sent > 0 && recv(ends[1], got + offset - sent, (size_t)sent, MSG_WAITALL) == sent);
    }
    CHECK(memcmp(bytes, got, sizeof(bytes)) == 0);
    int pipes[2];
    CHECK(pipe(pipes) == 0 && write(ends[1], "through a pipe", 14) == 14);
    CHECK(splice(ends[0], NULL, pipes[1], NULL, 100, 0) == 14);
    CHECK(splice(pipes[0], NULL, ends[0], NULL, 14, 0) == 14);
    CHECK(recv(ends[1], got, 14, MSG_WAITALL) == 14 && memcmp(got, "through a pipe", 14) == 0);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK(splice(ends[0], NULL, pipes[1], NULL, 100, 0) == -1 && errno == EAGAIN);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
    CHECK(close(file) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

int main(int count, char **arguments)
{
    int connections = count > 1 ? atoi(arguments[1]) : 100;
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    CHECK(connections <= MOST && setrlimit(RLIMIT_NOFILE, &limit) == 0);
    by_level();
    looks(AF_INET);
    looks(AF_INET6);
    by_edge();
    together();
    woken();
    a_thousand(connections);
    storm();
    files_to_sockets();
    puts("ready sockets ok");
    return 0;
}
