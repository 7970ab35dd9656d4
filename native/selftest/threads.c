/* Threads, each on a TCS of its own, which the next one uses again; and interrupts of one that never leaves by itself. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/time.h>

#include "selftest.h"

#define THREADS 4
#define ROUNDS 5
#define COUNT 2000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned long total;

static void *count(void *unused)
{
    for (int at = 0; at < COUNT; at++) {
        pthread_mutex_lock(&mutex);
        total++;
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

void try_threads(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (int at = 0; at < THREADS; at++) {
            EXPECT(pthread_create(&threads[at], NULL, count, NULL) == 0, "a thread cannot be made");
        }
        for (int at = 0; at < THREADS; at++) {
            EXPECT(pthread_join(threads[at], NULL) == 0, "a thread does not end");
        }
    }
    EXPECT(total == (unsigned long)ROUNDS * THREADS * COUNT, "threads have lost what they counted: %lu", total);
}

#define TICKS 20

static atomic_int ticks;

static void on_tick(int signal)
{
    (void)signal;
    ticks++;
}

/* General and vector registers keep what is in them, while signals come and nothing else leaves the enclave. */
void try_interrupts(void)
{
    const struct itimerval period = {{0, 2000}, {0, 2000}};
    uint64_t value = 1, expected = 1;
    double real = 1, expected_real = 1;
    signal(SIGALRM, on_tick);
    EXPECT(setitimer(ITIMER_REAL, &period, NULL) == 0, "there is no timer");
    while (ticks < TICKS) {
        for (int at = 0; at < 1000; at++) {
            __asm__ volatile("imul %1, %0" : "+r"(value) : "r"(0x5851F42D4C957F2DUL));
            __asm__ volatile("addsd %1, %0" : "+x"(real) : "x"(0.5));
        }
        for (int at = 0; at < 1000; at++) {
            expected *= 0x5851F42D4C957F2DUL;
            expected_real += 0.5;
        }
        EXPECT(value == expected, "an interrupt has changed a general register");
        EXPECT(real == expected_real, "an interrupt has changed a vector register");
    }
}
