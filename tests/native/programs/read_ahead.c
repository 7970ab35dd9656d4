/*
 * What has come over a connection, and an epoll has told of, may be inside already. To all others it is there as if it were not: levels, edges, other
 * waits, a look, the count of bytes, the end, a reset. And bytes keep their order, whoever waits and whoever reads.
 *
 *     read_ahead ROUNDS
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>

static void watch(int epoll, int operation, int fd, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.fd = fd};
    CHECK(epoll_ctl(epoll, operation, fd, &event) == 0);
}

static uint32_t told(int epoll, int timeout_ms)
{
    struct epoll_event events[4];
    int count = epoll_wait(epoll, events, 4, timeout_ms);
    CHECK(count == 0 || count == 1);
    return count == 1 ? events[0].events : 0;
}

static int bytes_there(int fd)
{
    int count;
    CHECK(ioctl(fd, FIONREAD, &count) == 0);
    return count;
}

static void come(int fd, int count)
{
    while (bytes_there(fd) < count) {
        sched_yield();
    }
    CHECK(bytes_there(fd) == count);
}

#define SIZE 20000
static char bytes[SIZE], wanted[SIZE];

/* ends[0] is watched, and its reader has found nothing. */
static void begin(int ends[2], int epoll, uint32_t events)
{
    stream_pair(AF_INET, ends);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    watch(epoll, EPOLL_CTL_ADD, ends[0], events);
    FAILS(recv(ends[0], bytes, SIZE, 0), EAGAIN);
}

static void end(const int ends[2])
{
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void by_level(void)
{
    int ends[2], epoll = epoll_create1(0), other = epoll_create1(0), copy, outer = epoll_create1(0);
    begin(ends, epoll, EPOLLIN);
    CHECK(write(ends[1], "abc", 3) == 3 && told(epoll, -1) == EPOLLIN && told(epoll, 0) == EPOLLIN && told(epoll, -1) == EPOLLIN);
    CHECK(bytes_there(ends[0]) == 3 && recv(ends[0], bytes, 2, MSG_PEEK) == 2 && bytes_there(ends[0]) == 3);
    struct pollfd entry = {.fd = ends[0], .events = POLLIN | POLLOUT | POLLRDNORM};
    CHECK(poll(&entry, 1, -1) == 1 && entry.revents == (POLLIN | POLLOUT | POLLRDNORM));
    watch(other, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
    CHECK(told(other, -1) == EPOLLIN && told(other, 0) == 0 && told(epoll, -1) == EPOLLIN);
    CHECK((copy = dup(ends[0])) >= 0);
    watch(other, EPOLL_CTL_ADD, copy, EPOLLIN);
    CHECK(told(other, -1) == EPOLLIN && told(other, -1) == EPOLLIN && close(copy) == 0);
    watch(outer, EPOLL_CTL_ADD, epoll, EPOLLIN);
    CHECK(told(outer, -1) == EPOLLIN);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLOUT);
    CHECK(told(epoll, -1) == (EPOLLIN | EPOLLOUT));
    CHECK(read(ends[0], bytes, 1) == 1 && bytes[0] == 'a' && told(epoll, -1) == (EPOLLIN | EPOLLOUT) && told(outer, -1) == EPOLLIN);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN);
    CHECK(write(ends[1], "def", 3) == 3);
    come(ends[0], 5);
    CHECK(recv(ends[0], bytes, SIZE, MSG_PEEK) == 5 && memcmp(bytes, "bcdef", 5) == 0);
    CHECK(told(epoll, -1) == EPOLLIN);
    CHECK(recv(ends[0], bytes, 4, MSG_WAITALL) == 4 && memcmp(bytes, "bcde", 4) == 0 && told(epoll, -1) == EPOLLIN);
    CHECK(read(ends[0], bytes, SIZE) == 1 && bytes[0] == 'f' && told(epoll, 0) == 0 && told(outer, 0) == 0);
    FAILS(read(ends[0], bytes, SIZE), EAGAIN);
    watch(epoll, EPOLL_CTL_DEL, ends[0], 0);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    CHECK(write(ends[1], "gh", 2) == 2 && told(epoll, -1) == EPOLLIN);
    watch(epoll, EPOLL_CTL_DEL, ends[0], 0);
    CHECK(told(epoll, 0) == 0);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    CHECK(told(epoll, -1) == EPOLLIN && read(ends[0], bytes, SIZE) == 2 && told(epoll, 0) == 0);
    end(ends);
    CHECK(close(epoll) == 0 && close(other) == 0 && close(outer) == 0);
}

/* Beside what the host tells: nothing is told twice in one wait, nor by halves because there is little room. */
static void by_level_with_room(void)
{
    int ends[2], twin, epoll = epoll_create1(0);
    begin(ends, epoll, EPOLLIN | EPOLLOUT);
    struct epoll_event events[4];
    CHECK(write(ends[1], "abc", 3) == 3);
    come(ends[0], 3);
    for (int turn = 0; turn < 4; turn++) {
        CHECK(epoll_wait(epoll, events, 1, turn % 2 - 1) == 1 && events[0].events == (EPOLLIN | EPOLLOUT));
    }
    CHECK((twin = dup(ends[0])) >= 0);
    watch(epoll, EPOLL_CTL_ADD, twin, EPOLLIN | EPOLLOUT);
    for (int turn = 0; turn < 8; turn++) {
        CHECK(epoll_wait(epoll, events, 4, turn % 2 - 1) == 2 && events[0].data.fd + events[1].data.fd == ends[0] + twin);
        CHECK(events[0].events == (EPOLLIN | EPOLLOUT) && events[1].events == (EPOLLIN | EPOLLOUT));
    }
    CHECK(close(twin) == 0);
    end(ends);
    CHECK(close(epoll) == 0);
}

/* Who reads by edges takes a read that gives less than he has room for as the last one. */
static void by_edge(void)
{
    int ends[2], epoll = epoll_create1(0);
    begin(ends, epoll, EPOLLIN | EPOLLET);
    CHECK(write(ends[1], wanted, SIZE / 2) == SIZE / 2);
    come(ends[0], SIZE / 2);
    CHECK(told(epoll, -1) == EPOLLIN && told(epoll, 0) == 0 && bytes_there(ends[0]) == SIZE / 2);
    CHECK(read(ends[0], bytes, SIZE) == SIZE / 2 && memcmp(bytes, wanted, SIZE / 2) == 0);
    FAILS(read(ends[0], bytes, SIZE), EAGAIN);
    CHECK(write(ends[1], "abc", 3) == 3 && told(epoll, -1) == EPOLLIN && told(epoll, 0) == 0);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET);
    CHECK(told(epoll, -1) == EPOLLIN && told(epoll, 0) == 0);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT);
    CHECK(told(epoll, -1) == EPOLLIN && told(epoll, 0) == 0);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT);
    CHECK(told(epoll, -1) == EPOLLIN && told(epoll, 0) == 0);
    CHECK(write(ends[1], "def", 3) == 3);
    come(ends[0], 6);
    CHECK(told(epoll, 0) == 0 && read(ends[0], bytes, 6) >= 3);
    end(ends);
    CHECK(close(epoll) == 0);
}

static void at_the_end(void)
{
    int ends[2], epoll = epoll_create1(0);
    begin(ends, epoll, EPOLLIN);
    CHECK(write(ends[1], "abc", 3) == 3 && told(epoll, -1) == EPOLLIN && shutdown(ends[1], SHUT_WR) == 0);
    CHECK(read(ends[0], bytes, 2) == 2 && told(epoll, -1) == EPOLLIN && read(ends[0], bytes, SIZE) == 1);
    CHECK(told(epoll, -1) == EPOLLIN && read(ends[0], bytes, SIZE) == 0 && read(ends[0], bytes, SIZE) == 0);
    end(ends);
    begin(ends, epoll, EPOLLIN | EPOLLRDHUP);
    CHECK(write(ends[1], "abc", 3) == 3 && told(epoll, -1) == EPOLLIN && close(ends[0]) == 0); /* unread */
    CHECK(read(ends[1], bytes, SIZE) == -1 && errno == ECONNRESET && close(ends[1]) == 0);
    begin(ends, epoll, EPOLLIN);
    CHECK(write(ends[1], "abc", 3) == 3 && told(epoll, -1) == EPOLLIN && shutdown(ends[0], SHUT_RD) == 0);
    CHECK(read(ends[0], bytes, SIZE) == 3 && read(ends[0], bytes, SIZE) == 0);
    end(ends);
    CHECK(close(epoll) == 0);
}

/* Several threads. What is sent is numbers, in order. */
static struct race {
    int ends[2], epoll;
    int rounds;
    int is_over;
    uint32_t events;
    uint32_t next;
    size_t part; /* of a number that was read */
    unsigned char number[4];
    pthread_mutex_t lock;
} race;

static void take(const unsigned char *from, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        uint32_t value;
        race.number[race.part++] = from[at];
        if (race.part == sizeof(race.number)) {
            memcpy(&value, race.number, sizeof(value));
            CHECK(value == race.next);
            race.next++;
            race.part = 0;
        }
    }
}

/* Reads in turn, so that what a read gives is the next of all. */
static void *wait_and_read(void *unused)
{
    unsigned char some[64];
    while (!__atomic_load_n(&race.is_over, __ATOMIC_ACQUIRE)) {
        told(race.epoll, -1);
        pthread_mutex_lock(&race.lock);
        for (ssize_t got; (got = recv(race.ends[0], some, 1 + race.next % sizeof(some), MSG_DONTWAIT)) > 0;) {
            take(some, (size_t)got);
        }
        if (race.next == (uint32_t)race.rounds) {
            __atomic_store_n(&race.is_over, 1, __ATOMIC_RELEASE);
            CHECK(shutdown(race.ends[1], SHUT_WR) == 0); /* the other one hears of that */
        }
        pthread_mutex_unlock(&race.lock);
        if ((race.events & EPOLLONESHOT) != 0) {
            watch(race.epoll, EPOLL_CTL_MOD, race.ends[0], race.events);
        }
    }
    return unused;
}

/* Does nothing but wait: it lets be read ahead what the other one reads. */
static void *wait_only(void *unused)
{
    while (!__atomic_load_n(&race.is_over, __ATOMIC_ACQUIRE)) {
        told(race.epoll, 1);
    }
    return unused;
}

static void *read_all(void *unused)
{
    unsigned char some[64];
    while (race.next < (uint32_t)race.rounds) {
        ssize_t got = read(race.ends[0], some, 1 + race.next % sizeof(some));
        CHECK(got > 0);
        take(some, (size_t)got);
    }
    __atomic_store_n(&race.is_over, 1, __ATOMIC_RELEASE);
    return unused;
}

/* Finds each time that it waits that there is something, before it is read. */
static void *poll_and_read(void *unused)
{
    unsigned char some[64];
    while (race.next < (uint32_t)race.rounds) {
        struct pollfd entry = {.fd = race.ends[0], .events = POLLIN};
        CHECK(poll(&entry, 1, -1) == 1 && entry.revents == POLLIN);
        ssize_t got = recv(race.ends[0], some, 1 + race.next % sizeof(some), MSG_DONTWAIT);
        CHECK(got > 0 || errno == EAGAIN);
        take(some, got > 0 ? (size_t)got : 0);
    }
    __atomic_store_n(&race.is_over, 1, __ATOMIC_RELEASE);
    return unused;
}

static void run_race(int rounds, uint32_t events, void *(*one)(void *), void *(*other)(void *))
{
    pthread_t threads[2];
    race = (struct race){.epoll = epoll_create1(0), .rounds = rounds, .events = events, .lock = PTHREAD_MUTEX_INITIALIZER};
    stream_pair(AF_INET, race.ends);
    watch(race.epoll, EPOLL_CTL_ADD, race.ends[0], events);
    CHECK(pthread_create(&threads[0], NULL, one, NULL) == 0 && pthread_create(&threads[1], NULL, other, NULL) == 0);
    for (uint32_t sent = 0; sent < (uint32_t)rounds; sent++) {
        CHECK(send(race.ends[1], &sent, sizeof(sent), 0) == sizeof(sent));
        char answer = 'a'; /* the other way, which asks for more to be read ahead */
        CHECK(sent % 3 != 0 || send(race.ends[0], &answer, 1, 0) == 1);
        if (sent % 64 == 0) {
            CHECK(sent == 0 || recv(race.ends[1], bytes, SIZE, 0) > 0);
        }
    }
    CHECK(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
    CHECK(race.next == (uint32_t)rounds);
    end(race.ends);
    CHECK(close(race.epoll) == 0);
}

/* Another thread sleeps in an epoll, which reads ahead. What was sent is there for who looks without waiting, in each way. */
static void looks_see_what_was_sent(int rounds)
{
    pthread_t waiter;
    race = (struct race){.epoll = epoll_create1(0), .rounds = rounds, .events = EPOLLIN | EPOLLET, .lock = PTHREAD_MUTEX_INITIALIZER};
    int beside = epoll_create1(0);
    stream_pair(AF_INET, race.ends);
    watch(race.epoll, EPOLL_CTL_ADD, race.ends[0], race.events);
    watch(beside, EPOLL_CTL_ADD, race.ends[0], EPOLLIN);
    CHECK(pthread_create(&waiter, NULL, wait_only, NULL) == 0);
    for (uint32_t sent = 0; sent < (uint32_t)rounds; sent++) {
        struct pollfd entry = {.fd = race.ends[0], .events = POLLIN};
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(race.ends[0], &readable);
        FAILS(recv(race.ends[0], bytes, SIZE, MSG_DONTWAIT), EAGAIN); /* whoever looks has found nothing before */
        CHECK(send(race.ends[1], &sent, sizeof(sent), 0) == sizeof(sent));
        come(race.ends[0], sizeof(sent)); /* until then it may be on its way over the network */
        switch (sent % 4) {
        case 0:
            CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLIN);
            break;
        case 1:
            CHECK(told(beside, 0) == EPOLLIN);
            break;
        case 2:
            CHECK(select(race.ends[0] + 1, &readable, NULL, NULL, &(struct timeval){0}) == 1);
            break;
        }
        uint32_t got = 0;
        CHECK(recv(race.ends[0], &got, sizeof(got), MSG_DONTWAIT) == sizeof(got) && got == sent);
    }
    __atomic_store_n(&race.is_over, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(waiter, NULL) == 0);
    end(race.ends);
    CHECK(close(race.epoll) == 0 && close(beside) == 0);
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 1000;
    for (int at = 0; at < SIZE; at++) {
        wanted[at] = (char)(at * 7);
    }
    by_level();
    by_level_with_room();
    by_edge();
    at_the_end();
    run_race(rounds, EPOLLIN, wait_and_read, wait_and_read);
    run_race(rounds, EPOLLIN | EPOLLET, wait_and_read, wait_and_read);
    run_race(rounds, EPOLLIN | EPOLLONESHOT, wait_and_read, wait_and_read);
    run_race(rounds, EPOLLIN | EPOLLET, wait_only, read_all);
    run_race(rounds, EPOLLIN, wait_only, read_all);
    run_race(rounds, EPOLLIN | EPOLLET, wait_only, poll_and_read);
    looks_see_what_was_sent(rounds);
    return 0;
}
