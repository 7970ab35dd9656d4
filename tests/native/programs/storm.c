/* Threads that change, fault in and check their own memory while signals rain on them. argv[1]: rounds. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define THREADS 6
#define PAGES 256

static volatile int done, finished;
static volatile long delivered;
static long rounds = 3000;

static void on_signal(int signal)
{
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memory[signal] = 1;
    CHECK(munmap(memory, PAGE) == 0);
    __atomic_add_fetch(&delivered, 1, __ATOMIC_RELAXED);
}

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 33;
}

static void *work(void *argument)
{
    uint64_t state = (uint64_t)argument;
    uint8_t expected[PAGES] = {0};
    char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (long i = 0; i < rounds; i++) {
        uint64_t first = next(&state) % PAGES, count = 1 + next(&state) % (PAGES - first);
        char *at = memory + first * PAGE;
        count = count > 20 ? 20 : count;
        switch (next(&state) % 6) {
        case 0:
            CHECK(mmap(at, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                       0) == at);
            memset(expected + first, 0, count);
            break;
        case 1:
            CHECK(madvise(at, count * PAGE, MADV_DONTNEED) == 0);
            memset(expected + first, 0, count);
            break;
        case 2:
            CHECK(mprotect(at, count * PAGE, PROT_READ) == 0 &&
                  mprotect(at, count * PAGE, PROT_READ | PROT_WRITE) == 0);
            break;
        default:
            for (uint64_t page = first; page < first + count; page++) {
                expected[page] = (uint8_t)next(&state);
                memory[page * PAGE + page % PAGE] = (char)expected[page];
            }
        }
        for (uint64_t page = first; page < first + count; page++) {
            CHECK((uint8_t)memory[page * PAGE + page % PAGE] == expected[page]);
        }
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        CHECK((uint8_t)memory[page * PAGE + page % PAGE] == expected[page]);
    }
    CHECK(munmap(memory, PAGES * PAGE) == 0);
    __atomic_add_fetch(&finished, 1, __ATOMIC_RELAXED);
    return NULL;
}

static pthread_t threads[THREADS];

static void *rain(void *argument)
{
    (void)argument;
    for (unsigned i = 0; !done; i++) {
        pthread_kill(threads[i % THREADS], SIGUSR1);
        if (i % 64 == 0) {
            usleep(200);
        }
    }
    return NULL;
}

int main(int count, char **values)
{
    pthread_t sender;
    rounds = count > 1 ? atol(values[1]) : rounds;
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(long)(i + 1)) == 0);
    }
    CHECK(pthread_create(&sender, NULL, rain, NULL) == 0);
    while (finished < THREADS) {
        usleep(1000);
    }
    done = 1;
    CHECK(pthread_join(sender, NULL) == 0); /* only then may the others' handles go */
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(delivered > 0);
    puts("storm ok");
    return 0;
}
