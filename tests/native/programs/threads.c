/* Threads, mutexes, condition variables, TLS. argv[1]: rounds. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define ITEMS 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static long queue[ITEMS], head, tail, produced, sum;
static _Thread_local long mine;
static long rounds = 2000;

static void *produce(void *argument)
{
    (void)argument;
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        while (head - tail == ITEMS) {
            pthread_cond_wait(&not_full, &lock);
        }
        queue[head++ % ITEMS] = i;
        produced += i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&lock);
        mine++;
    }
    CHECK(mine == rounds);
    return NULL;
}

static void *consume(void *argument)
{
    (void)argument;
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        while (head == tail) {
            pthread_cond_wait(&not_empty, &lock);
        }
        sum += queue[tail++ % ITEMS];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&lock);
        mine += 2;
    }
    CHECK(mine == 2 * rounds);
    return NULL;
}

static void test_queue(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, i % 2 ? produce : consume, NULL) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(sum == produced && head == tail);
}

static void *return_argument(void *argument)
{
    CHECK(mine == 0);
    mine = (long)argument;
    sched_yield();
    CHECK(mine == (long)argument);
    return argument;
}

static void test_create_and_join(void)
{
    for (long i = 0; i < rounds / 4; i++) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, return_argument, (void *)i) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == (void *)i);
    }
}

static sem_t semaphore;
static pthread_barrier_t barrier;

static void *meet(void *argument)
{
    for (int i = 0; i < 100; i++) {
        pthread_barrier_wait(&barrier);
    }
    sem_post(&semaphore);
    return argument;
}

static void test_barrier_and_detached(void)
{
    CHECK(sem_init(&semaphore, 0, 0) == 0 && pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, meet, NULL) == 0 && pthread_detach(thread) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(sem_wait(&semaphore) == 0);
    }
}

static void test_timeouts(void)
{
    struct timespec start, now, limit;
    clock_gettime(CLOCK_MONOTONIC, &start);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += 20000000;
    limit.tv_sec += limit.tv_nsec / 1000000000;
    limit.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    CHECK(pthread_cond_timedwait(&not_empty, &lock, &limit) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC, &now);
    long passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
    CHECK(passed >= 38);
}

static int ends[2];

static void *receive_nothing(void *argument)
{
    char byte;
    return recv(ends[0], &byte, 1, 0) == 0 ? argument : NULL;
}

static void *send_too_much(void *argument)
{
    static char bytes[1 << 20];
    ssize_t sent;
    do
        sent = send(ends[0], bytes, sizeof(bytes), MSG_NOSIGNAL);
    while (sent > 0);
    return sent < 0 && errno == EPIPE ? argument : NULL;
}

/* Who waits in an end is woken when another thread shuts that end down (shutdown(2)). */
static void test_shutdown_of_an_end_in_use(void)
{
    for (int i = 0; i < 20; i++) {
        pthread_t receiver, sender;
        void *received, *sent;
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        CHECK(pthread_create(&receiver, NULL, receive_nothing, &rounds) == 0);
        CHECK(pthread_create(&sender, NULL, send_too_much, &rounds) == 0);
        usleep(i % 2 ? 2000 : 0);
        CHECK(shutdown(ends[0], SHUT_RDWR) == 0);
        CHECK(pthread_join(receiver, &received) == 0 && received == &rounds);
        CHECK(pthread_join(sender, &sent) == 0 && sent == &rounds);
        CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    }
}

int main(int count, char **values)
{
    rounds = count > 1 ? atol(values[1]) : rounds;
    test_queue();
    test_create_and_join();
    test_barrier_and_detached();
    test_timeouts();
    test_shutdown_of_an_end_in_use();
    puts("threads ok");
    return 0;
}
