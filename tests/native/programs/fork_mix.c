/* Random stores, mappings and forks: each process knows what its own memory must hold, whoever took turns with it. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES 96
#define DEPTH 2 /* 13 processes at the most */
#define KIDS 3
#define PAGE 4096UL

enum mode { UNMAPPED, READABLE, WRITABLE, HIDDEN };

static uint8_t *memory;            /* PAGES pages, each full of its value */
static uint8_t value[PAGES];
static enum mode mode[PAGES];
static uint64_t state;
static volatile uint64_t *counter; /* shared by all */
static int depth;

static uint32_t pick(uint32_t below)
{
    state ^= state << 13; /* xorshift64 (Marsaglia, 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % below;
}

static void die(const char *what, int page)
{
    dprintf(2, "depth %d: %s, page %d, value %d, mode %d\n", depth, what, page, value[page], mode[page]);
    _exit(99);
}

static void look(int page)
{
    const uint8_t *at = memory + page * PAGE;
    if (mode[page] != READABLE && mode[page] != WRITABLE) {
        return;
    }
    if (at[0] != value[page] || at[PAGE / 2] != value[page] || at[PAGE - 1] != value[page]) {
        die("wrong content", page);
    }
}

static void protect(int page, int protection, enum mode wanted)
{
    if (mode[page] == UNMAPPED) {
        return;
    }
    if (mprotect(memory + page * PAGE, PAGE, protection)) {
        die("mprotect", page);
    }
    mode[page] = wanted;
}

static void change(int page)
{
    uint8_t *at = memory + page * PAGE;
    switch (pick(12)) {
    case 0:
        if (munmap(at, PAGE)) {
            die("munmap", page);
        }
        mode[page] = UNMAPPED;
        break;
    case 1:
    case 2:
        if (mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at) {
            die("mmap", page);
        }
        mode[page] = WRITABLE;
        value[page] = 0;
        break;
    case 3:
        protect(page, PROT_READ, READABLE);
        break;
    case 4:
        protect(page, PROT_NONE, HIDDEN);
        break;
    case 5:
    case 6:
        protect(page, PROT_READ | PROT_WRITE, WRITABLE);
        break;
    case 7:
        if (mode[page] != UNMAPPED && madvise(at, PAGE, MADV_DONTNEED)) {
            die("madvise", page);
        }
        value[page] = 0;
        break;
    default:
        if (mode[page] == WRITABLE) {
            value[page] = (uint8_t)pick(256);
            memset(at, value[page], PAGE);
        }
    }
}

static void pause_shortly(void)
{
    switch (pick(4)) {
    case 0:
        sched_yield();
        break;
    case 1:
        nanosleep(&(struct timespec){0, 100000}, NULL);
        break;
    default:
        for (volatile int at = 0; at < 20000; at++) {
        }
    }
}

static int reap(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

static int run(uint64_t seed, int steps)
{
    pid_t kids[KIDS];
    int count = 0, good = 1;
    state = seed;
    for (int step = 0; step < steps && good; step++) {
        change((int)pick(PAGES));
        look((int)pick(PAGES));
        if (pick(8) == 0) {
            __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
        }
        if (pick(64) == 0) {
            pause_shortly();
        }
        if (pick(48) == 0 && depth < DEPTH && count < KIDS) {
            uint64_t child_seed = (seed * 6364136223846793005ULL + (uint64_t)step + 1) | 1;
            pid_t child = fork();
            if (child == 0) {
                depth++;
                _exit(run(child_seed, steps / 2));
            }
            good = child > 0;
            kids[count] = child;
            count += good;
        }
        if (count && pick(64) == 0) {
            good &= reap(kids[--count]);
        }
    }
    while (count) {
        good &= reap(kids[--count]);
    }
    for (int page = 0; page < PAGES; page++) {
        look(page);
    }
    return !good;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    int steps = argc > 2 ? atoi(argv[2]) : 400;
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    counter = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int page = 0; page < PAGES; page++) {
        mode[page] = WRITABLE;
    }
    int result = run(seed * 2654435761ULL | 1, steps);
    printf("%d, %lu counted\n", result, (unsigned long)*counter);
    return result;
}
