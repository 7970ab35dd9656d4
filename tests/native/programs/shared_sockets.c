/*
 * Several threads at one socket: whoever comes first, what one call does is done as a whole.
 *
 *     shared_sockets ROUNDS
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#define THREADS 3
#define CONNECTS 8

static pthread_barrier_t together;
static int rounds, shared;

static void run(void *(*each)(void *))
{
    pthread_t threads[THREADS];
    for (long at = 0; at < THREADS; at++) {
        CHECK(pthread_create(&threads[at], NULL, each, (void *)at) == 0);
    }
    for (int at = 0; at < THREADS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
}

/* One opens and closes it, all connect it at once. */
static void *connect_it(void *number)
{
    union name name = loopback(AF_INET, 9);
    for (int round = 0; round < rounds; round++) {
        if (number == NULL) {
            CHECK((shared = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
        }
        pthread_barrier_wait(&together);
        for (int count = 0; count < CONNECTS; count++) {
            CHECK(connect(shared, &name.any, name_size(AF_INET)) == 0);
        }
        pthread_barrier_wait(&together);
        if (number == NULL) {
            CHECK(close(shared) == 0);
            look_at_all();
        }
    }
    return NULL;
}

#define PERIOD 251 /* of the bytes: what is left out between two shows, unless it is a multiple */
#define CHUNK (PERIOD * 64)

static unsigned char pattern[2 * CHUNK];
static int ends[2], epoll, is_over;

static void *send_all(void)
{
    for (int round = 0; round < rounds; round++) {
        char answer = 'a'; /* the other way: it asks for more to be read ahead */
        CHECK(send(ends[1], pattern, CHUNK, 0) == CHUNK && send(ends[0], &answer, 1, 0) == 1 && recv(ends[1], &answer, 1, 0) == 1);
    }
    CHECK(shutdown(ends[1], SHUT_WR) == 0);
    return NULL;
}

/* The bytes of one read follow one another, whatever others have read before and after them. */
static void *read_it(void *number)
{
    unsigned char some[3000];
    if (number == NULL) {
        return send_all();
    }
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        struct epoll_event event;
        CHECK(epoll_wait(epoll, &event, 1, 1) >= 0);
        ssize_t got = recv(ends[0], some, sizeof some, MSG_DONTWAIT);
        if (got > 0) {
            CHECK(some[0] < PERIOD && memcmp(some, pattern + some[0], (size_t)got) == 0);
        } else if (got == 0) {
            __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
        } else {
            CHECK(errno == EAGAIN);
        }
    }
    return NULL;
}

int main(int count, char **arguments)
{
    struct epoll_event event = {.events = EPOLLIN};
    rounds = count > 1 ? atoi(arguments[1]) : 1000;
    for (int at = 0; at < 2 * CHUNK; at++) {
        pattern[at] = (unsigned char)(at % PERIOD);
    }
    CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
    run(connect_it);
    stream_pair(AF_INET, ends);
    epoll = epoll_create1(0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    run(read_it);
    puts("shared sockets ok");
}
