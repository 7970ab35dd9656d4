#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Prints nanoseconds per call: getpid by an inline syscall instruction, and a 64-byte write to standard error; then MB/s of reading a file (the
 * argument, or /data) in pieces of 1 MiB, in the best of some passes; then nanoseconds, in the best of some passes: to read the clock, to send a byte
 * to another thread and back by pipes, to have a condition signalled and signalled back, to make a thread and join it; then nanoseconds
 * per store to a page that is mapped shared twice, by turns through one view and the other; then MB/s of filling shared memory for the first time. */
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static long raw_getpid(void) {
    long result;
    __asm__ volatile("movl $39, %%eax\n\tsyscall" : "=a"(result) : : "rcx", "r11", "memory");
    return result;
}

static double read_rate(const char *path) {
    enum { PASSES = 5 };
    static char piece[1 << 20];
    double best = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        double start = now(), size = 0;
        int file = open(path, O_RDONLY);
        for (ssize_t count; (count = read(file, piece, sizeof piece)) > 0;)
            size += (double)count;
        close(file);
        double rate = size / (now() - start) * 1e3;
        best = rate > best ? rate : best;
    }
    return best;
}

#define BEST_OF(passes, count, body)                                                                                       \
    ({                                                                                                                     \
        double best = 1e18;                                                                                                \
        for (int pass = 0; pass < (passes); pass++) {                                                                      \
            double start = now();                                                                                          \
            for (int i = 0; i < (count); i++) {                                                                            \
                body;                                                                                                      \
            }                                                                                                              \
            double cost = (now() - start) / (count);                                                                       \
            best = cost < best ? cost : best;                                                                              \
        }                                                                                                                  \
        best;                                                                                                              \
    })

static int there[2], back[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn; /* 0 or 1, 2: the end */

static void *answer_by_pipe(void *unused) {
    char byte;
    while (read(there[0], &byte, 1) == 1)
        if (write(back[1], &byte, 1) != 1)
            break;
    return unused;
}

static double pipe_cost(void) {
    pthread_t thread;
    char byte = 0;
    if (pipe(there) != 0 || pipe(back) != 0)
        return 0;
    pthread_create(&thread, NULL, answer_by_pipe, NULL);
    double cost = BEST_OF(10, 1000, if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 0);
    close(there[1]);
    pthread_join(thread, NULL);
    return cost;
}

static void *answer_by_condition(void *unused) {
    pthread_mutex_lock(&mutex);
    while (turn != 2) {
        while (turn == 0)
            pthread_cond_wait(&condition, &mutex);
        turn = turn == 1 ? 0 : turn;
        pthread_cond_signal(&condition);
    }
    pthread_mutex_unlock(&mutex);
    return unused;
}

static double condition_cost(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, answer_by_condition, NULL);
    pthread_mutex_lock(&mutex);
    double cost = BEST_OF(10, 1000, turn = 1; pthread_cond_signal(&condition); while (turn != 0) pthread_cond_wait(&condition, &mutex));
    turn = 2;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    return cost;
}

static void *do_nothing(void *unused) {
    return unused;
}

static double exchange_cost(void) {
    enum { STORES = 2000, PAGE = 4096 };
    int file = memfd_create("cost", 0);
    volatile char *views[2];
    if (file < 0 || ftruncate(file, PAGE) != 0)
        return -1;
    for (int view = 0; view < 2; view++)
        if ((views[view] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) == MAP_FAILED)
            return -1;
    double start = now();
    for (int store = 0; store < STORES; store++)
        views[store % 2][0]++;
    return (now() - start) / STORES;
}

static double fill_rate(void) {
    enum { SIZE = 32 << 20 };
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    double start = now();
    for (long at = 0; at < SIZE; at += 8)
        *(volatile long *)(void *)(memory + at) = at;
    return SIZE / (now() - start) * 1e3;
}

int main(int count, char **arguments) {
    enum { CALLS = 200000 };
    char text[64] = {0};
    double start = now();
    for (int i = 0; i < CALLS; i++)
        raw_getpid();
    double getpid_cost = (now() - start) / CALLS;
    start = now();
    for (int i = 0; i < CALLS; i++)
        if (write(2, text, sizeof text) != sizeof text)
            return 1;
    double write_cost = (now() - start) / CALLS;
    struct timespec time;
    pthread_t thread;
    double clock_cost = BEST_OF(5, 100000, clock_gettime(CLOCK_MONOTONIC, &time));
    double thread_cost = BEST_OF(5, 100, pthread_create(&thread, NULL, do_nothing, NULL); pthread_join(thread, NULL));
    printf("%.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f\n", getpid_cost, write_cost, read_rate(count > 1 ? arguments[1] : "/data"), clock_cost, pipe_cost(),
           condition_cost(), thread_cost, exchange_cost(), fill_rate());
    return 0;
}
