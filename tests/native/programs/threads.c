/* Threads, mutexes, condition variables, TLS. argv[1]: rounds. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <semaphore.h>
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

int main(int count, char **values)
{
    rounds = count > 1 ? atol(values[1]) : rounds;
    test_queue();
    test_create_and_join();
    test_barrier_and_detached();
    test_timeouts();
    puts("threads ok");
    return 0;
}
