/* epoll(7): what is told of which files, when, and to whom, however many are watched. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 400
#define LONG_WAIT 120000 /* of what has to come */
#define WAITERS 4
#define ONE_SHOTS 300
#define CROWD 23000
#define SPARE 64

static struct epoll_event events[MANY];

static int make(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll >= 0);
    return epoll;
}

static void watch(int epoll, int descriptor, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.u64 = (uint64_t)descriptor};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

static void change(int epoll, int descriptor, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.u64 = (uint64_t)descriptor};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) == 0);
}

static int ask(int epoll)
{
    return epoll_wait(epoll, events, MANY, 0);
}

static void put(int descriptor)
{
    CHECK(write(descriptor, "ab", 2) == 2);
}

static void take(int descriptor, size_t size)
{
    char bytes[16];
    CHECK(read(descriptor, bytes, size) == (ssize_t)size);
}

static void one_of_many(void)
{
    static int ends[MANY][2];
    int epoll = make();
    for (int at = 0; at < MANY; at++) {
        CHECK(pipe(ends[at]) == 0);
        watch(epoll, ends[at][0], EPOLLIN);
    }
    CHECK(ask(epoll) == 0);
    for (int round = 0; round < MANY; round++) {
        int at = round * 7 % MANY;
        put(ends[at][1]);
        CHECK(ask(epoll) == 1 && events[0].data.u64 == (uint64_t)ends[at][0] && events[0].events == EPOLLIN);
        CHECK(ask(epoll) == 1);
        take(ends[at][0], 2);
        CHECK(ask(epoll) == 0);
    }
    for (int at = 0; at < MANY; at++) {
        put(ends[at][1]);
    }
    CHECK(ask(epoll) == MANY);
    for (int at = 0; at < MANY; at += 2) { /* half of them by name, half by being closed */
        CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[at][0], NULL) == 0);
        close(ends[at + 1][0]);
    }
    CHECK(ask(epoll) == 0);
    for (int at = 0; at < MANY; at++) {
        close(ends[at][0]);
        close(ends[at][1]);
    }
    close(epoll);
}

/* With room for one event, all get their turn. */
static void turns(void)
{
    int epoll = make(), descriptors[5];
    unsigned seen[5] = {0};
    for (int at = 0; at < 5; at++) {
        descriptors[at] = eventfd(1, 0);
        watch(epoll, descriptors[at], EPOLLIN);
    }
    for (int round = 0; round < 20; round++) {
        CHECK(epoll_wait(epoll, events, 1, LONG_WAIT) == 1);
        for (int at = 0; at < 5; at++) {
            seen[at] += events[0].data.u64 == (uint64_t)descriptors[at];
        }
    }
    for (int at = 0; at < 5; at++) {
        CHECK(seen[at] == 4 && close(descriptors[at]) == 0);
    }
    close(epoll);
}

static void edges(void)
{
    int epoll = make(), ends[2];
    CHECK(pipe(ends) == 0);
    watch(epoll, ends[0], EPOLLIN | EPOLLET);
    put(ends[1]);
    CHECK(ask(epoll) == 1 && ask(epoll) == 0);
    take(ends[0], 1);
    CHECK(ask(epoll) == 0);
    put(ends[1]);
    CHECK(ask(epoll) == 1 && ask(epoll) == 0);
    change(epoll, ends[0], EPOLLIN | EPOLLET);
    CHECK(ask(epoll) == 1 && ask(epoll) == 0);
    change(epoll, ends[0], EPOLLIN | EPOLLONESHOT);
    CHECK(ask(epoll) == 1 && ask(epoll) == 0);
    put(ends[1]);
    CHECK(ask(epoll) == 0);
    change(epoll, ends[0], EPOLLIN);
    CHECK(ask(epoll) == 1 && ask(epoll) == 1);
    change(epoll, ends[0], 0);
    CHECK(ask(epoll) == 0);
    close(ends[1]);
    CHECK(ask(epoll) == 1 && events[0].events == EPOLLHUP); /* whether asked for or not */
    close(ends[0]);
    close(epoll);
}

/* Linux does not let a timer go on before it is read. */
static void timers(void)
{
    int epoll = make(), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec often = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000}, never = {0};
    uint64_t expirations;
    watch(epoll, timer, EPOLLIN | EPOLLET);
    CHECK(timerfd_settime(timer, 0, &often, NULL) == 0);
    for (int round = 0; round < 5; round++) {
        CHECK(epoll_wait(epoll, events, MANY, LONG_WAIT) == 1 && epoll_wait(epoll, events, MANY, 3) == 0);
        CHECK(read(timer, &expirations, sizeof(expirations)) == sizeof(expirations));
    }
    CHECK(timerfd_settime(timer, 0, &never, NULL) == 0);
    CHECK(ask(epoll) == 0);
    close(timer);
    close(epoll);
}

static void nested(uint32_t wanted)
{
    int outer = make(), middle = make(), inner = make(), event = eventfd(0, 0);
    bool is_edge = (wanted & EPOLLET) != 0;
    struct pollfd asked = {.fd = outer, .events = POLLIN};
    watch(outer, middle, wanted);
    watch(middle, inner, EPOLLIN);
    watch(inner, event, EPOLLIN);
    CHECK(ask(outer) == 0 && poll(&asked, 1, 0) == 0);
    for (int round = 0; round < 3; round++) {
        CHECK(eventfd_write(event, 1) == 0);
        CHECK(poll(&asked, 1, LONG_WAIT) == 1 && asked.revents == POLLIN);
        CHECK(ask(outer) == 1 && events[0].data.u64 == (uint64_t)middle);
        CHECK(ask(outer) == !is_edge && ask(inner) == 1);
    }
    CHECK(read(event, &(eventfd_t){0}, sizeof(eventfd_t)) == sizeof(eventfd_t));
    CHECK(ask(outer) == 0 && ask(middle) == 0 && ask(inner) == 0 && poll(&asked, 1, 0) == 0);
    close(inner);
    CHECK(eventfd_write(event, 1) == 0 && ask(outer) == 0);
    close(event);
    close(middle);
    close(outer);
}

static void two_descriptors_of_one_file(void)
{
    int epoll = make(), ends[2], other[2];
    CHECK(pipe(ends) == 0 && pipe(other) == 0);
    int twin = dup(ends[0]), number = ends[0];
    watch(epoll, number, EPOLLIN);
    watch(epoll, twin, EPOLLIN);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, twin, &(struct epoll_event){.events = EPOLLIN}), EEXIST);
    put(ends[1]);
    CHECK(ask(epoll) == 2);
    CHECK(dup2(other[0], number) == number); /* the file stays open, and watched under its old number */
    FAILS(epoll_ctl(epoll, EPOLL_CTL_DEL, number, NULL), ENOENT);
    watch(epoll, number, EPOLLIN);
    CHECK(ask(epoll) == 2);
    put(other[1]);
    CHECK(ask(epoll) == 3);
    close(twin);
    CHECK(ask(epoll) == 1 && events[0].data.u64 == (uint64_t)number);
    close(number);
    CHECK(ask(epoll) == 1);
    close(other[0]);
    CHECK(ask(epoll) == 0);
    close(ends[1]);
    close(other[1]);
    close(epoll);
}

struct station {
    int epoll, found;
    atomic_int is_there;
};

static void *wait_for_one(void *argument)
{
    struct station *station = argument;
    struct epoll_event event;
    atomic_store(&station->is_there, 1);
    station->found = epoll_wait(station->epoll, &event, 1, LONG_WAIT);
    return NULL;
}

/* Who waits already hears of what is added, changed, and written; of what was closed, nobody hears. */
static void who_waits(void)
{
    struct station station = {.epoll = make()};
    pthread_t thread;
    int first[2], second[2];
    for (int how = 0; how < 4; how++) {
        CHECK(pipe(first) == 0 && pipe(second) == 0);
        watch(station.epoll, first[0], how == 1 ? 0 : EPOLLIN);
        atomic_store(&station.is_there, 0);
        CHECK(pthread_create(&thread, NULL, wait_for_one, &station) == 0);
        while (!atomic_load(&station.is_there)) {
            usleep(100);
        }
        usleep(2000); /* most often it sleeps by now; what follows is true either way */
        switch (how) {
        case 0:
            put(first[1]);
            break;
        case 1:
            put(first[1]);
            change(station.epoll, first[0], EPOLLIN);
            break;
        case 2:
            put(second[1]);
            watch(station.epoll, second[0], EPOLLIN | EPOLLET);
            break;
        default:
            close(first[0]);
            put(second[1]);
            watch(station.epoll, second[0], EPOLLIN | EPOLLEXCLUSIVE);
            break;
        }
        CHECK(pthread_join(thread, NULL) == 0 && station.found == 1);
        close(first[0]), close(first[1]), close(second[0]), close(second[1]);
        CHECK(ask(station.epoll) == 0);
    }
    close(station.epoll);
}

static atomic_int served[ONE_SHOTS], total;
static int one_shots[ONE_SHOTS];

/* A one-shot event is told to one of those who wait. */
static void *serve(void *argument)
{
    struct epoll_event found[3];
    int epoll = *(int *)argument;
    while (atomic_load(&total) < ONE_SHOTS) {
        int count = epoll_wait(epoll, found, 3, 1);
        CHECK(count >= 0);
        for (int at = 0; at < count; at++) {
            atomic_fetch_add(&served[found[at].data.u64], 1);
            atomic_fetch_add(&total, 1);
        }
    }
    return NULL;
}

static void one_for_each(void)
{
    int epoll = make();
    pthread_t threads[WAITERS];
    for (int at = 0; at < WAITERS; at++) {
        CHECK(pthread_create(&threads[at], NULL, serve, &epoll) == 0);
    }
    for (int at = 0; at < ONE_SHOTS; at++) {
        struct epoll_event event = {.events = EPOLLIN | (at % 2 ? EPOLLONESHOT : EPOLLET), .data.u64 = (uint64_t)at};
        one_shots[at] = eventfd(0, 0);
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, one_shots[at], &event) == 0);
        CHECK(eventfd_write(one_shots[at], 1) == 0);
    }
    for (int at = 0; at < WAITERS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    CHECK(ask(epoll) == 0);
    for (int at = 0; at < ONE_SHOTS; at++) {
        CHECK(atomic_load(&served[at]) == 1 && close(one_shots[at]) == 0);
    }
    close(epoll);
}

/* A datagram socket that is connected while it is watched waits for its new partner. */
static void connected_later(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0epoll_items"};
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + sizeof("\0epoll_items") - 1;
    int epoll = make(), from = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), to = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    char byte = 'x';
    CHECK(bind(to, (struct sockaddr *)&name, length) == 0);
    watch(epoll, from, EPOLLOUT | EPOLLET);
    CHECK(ask(epoll) == 1 && ask(epoll) == 0);
    CHECK(connect(from, (struct sockaddr *)&name, length) == 0);
    while (send(from, &byte, 1, 0) == 1) {
    }
    CHECK(errno == EAGAIN);
    ask(epoll); /* what there was before is no matter */
    while (recv(to, &byte, 1, 0) == 1) {
    }
    CHECK(ask(epoll) == 1 && events[0].events == EPOLLOUT);
    close(from);
    close(to);
    close(epoll);
}

/* A child adds to the epoll that both have, and it writes. */
static void shared_by_processes(void)
{
    int epoll = make(), ends[2], status;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watch(epoll, ends[0], EPOLLIN);
        put(ends[1]);
        _exit(0);
    }
    CHECK(epoll_wait(epoll, events, MANY, LONG_WAIT) == 1 && events[0].data.u64 == (uint64_t)ends[0]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    take(ends[0], 2);
    CHECK(ask(epoll) == 0);
    close(ends[0]), close(ends[1]), close(epoll);
}

/* A wait tells of all that is ready, if there is room for it. */
static void all_at_once(void)
{
    static struct epoll_event found[CROWD];
    static bool seen[CROWD + SPARE];
    const struct rlimit limit = {CROWD + SPARE, CROWD + SPARE};
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    if (before.rlim_max < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return; /* nobody has so many here */
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int epoll = make(), first = eventfd(1, 0);
    watch(epoll, first, EPOLLIN);
    for (int count = 1; count < CROWD; count++) {
        watch(epoll, dup(first), EPOLLIN);
    }
    CHECK(epoll_wait(epoll, found, CROWD, 0) == CROWD);
    for (int at = 0; at < CROWD; at++) {
        CHECK(found[at].events == EPOLLIN && found[at].data.u64 < CROWD + SPARE && !seen[found[at].data.u64]);
        seen[found[at].data.u64] = true;
    }
}

int main(void)
{
    one_of_many();
    turns();
    edges();
    timers();
    nested(EPOLLIN);
    nested(EPOLLIN | EPOLLET);
    two_descriptors_of_one_file();
    who_waits();
    one_for_each();
    connected_later();
    shared_by_processes();
    all_at_once();
    puts("epoll items ok");
}
