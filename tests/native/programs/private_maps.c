/*
 * Private mappings of a large file whose pages come when they are touched: every byte is right whoever touches it first, what is stored stays private,
 * what is dropped comes back, and behind the end of the file there is SIGBUS. The file is an argument; byte i is (i * 31 + i / 4096 * 17) & 255.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096UL
#define THREADS 4

static size_t size;

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + at / PAGE * 17);
}

static uint8_t *map(int file, size_t length, int protection, off_t offset)
{
    uint8_t *start = mmap(NULL, length, protection, MAP_PRIVATE, file, offset);
    CHECK(start != MAP_FAILED);
    return start;
}

static sigjmp_buf back;

static void on_fault(int signal)
{
    siglongjmp(back, signal);
}

static int fault_of(volatile uint8_t *at)
{
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        (void)*at;
    }
    return signal;
}

struct race {
    const uint8_t *start;
    pthread_barrier_t *barrier;
};

/* All threads touch the same pages at once: none may see a page before it has its content. */
static void *race(void *argument)
{
    const struct race *with = argument;
    for (size_t at = 0; at < size; at += 64 * 1024) {
        pthread_barrier_wait(with->barrier);
        for (size_t page = at; page < at + 64 * 1024 && page < size; page += PAGE) {
            size_t place = page + (page / PAGE * 97) % PAGE;
            CHECK(place >= size || ((volatile const uint8_t *)with->start)[place] == byte_at(place));
        }
    }
    return NULL;
}

static void check_threads(int file, int protection)
{
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    struct race with = {map(file, size, protection, 0), &barrier};
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, race, &with) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(munmap((void *)with.start, size) == 0);
}

static void check_one(int file)
{
    uint8_t *start = map(file, size + 3 * PAGE, PROT_READ | PROT_WRITE, 0);
    for (size_t at = size; at-- > 0; at -= at % 509) {
        CHECK(start[at] == byte_at(at));
    }
    size_t last_page = (size + PAGE - 1) / PAGE * PAGE;
    for (size_t at = size; at < last_page; at++) {
        CHECK(start[at] == 0);
    }
    CHECK(fault_of(start + last_page) == SIGBUS && fault_of(start + last_page + 2 * PAGE) == SIGBUS);

    start[5 * PAGE] ^= 0xFF;
    uint8_t found;
    CHECK(pread(file, &found, 1, 5 * PAGE) == 1 && found == byte_at(5 * PAGE));
    CHECK(start[5 * PAGE] + byte_at(5 * PAGE) == 0xFF);
    CHECK(madvise(start + 5 * PAGE, PAGE, MADV_DONTNEED) == 0 && start[5 * PAGE] == byte_at(5 * PAGE));
    CHECK(munmap(start, size + 3 * PAGE) == 0);
}

static void check_rights(int file)
{
    uint8_t *start = map(file, size, PROT_NONE, 0);
    CHECK(fault_of(start) == SIGSEGV);
    CHECK(mprotect(start, size / 2 / PAGE * PAGE, PROT_READ) == 0);
    CHECK(start[7 * PAGE + 1] == byte_at(7 * PAGE + 1) && fault_of(start + size / 2 / PAGE * PAGE) == SIGSEGV);
    CHECK(mprotect(start, size, PROT_READ | PROT_WRITE) == 0);
    start[7 * PAGE + 1]++;
    start[size - 1]++;
    CHECK(start[7 * PAGE + 1] == (uint8_t)(byte_at(7 * PAGE + 1) + 1) && start[size - 2] == byte_at(size - 2));
    uint8_t *moved = mremap(start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, start - (64UL << 20));
    CHECK(moved != MAP_FAILED && moved[7 * PAGE + 1] == (uint8_t)(byte_at(7 * PAGE + 1) + 1));
    CHECK(moved[100 * PAGE + 3] == byte_at(100 * PAGE + 3));
    CHECK(munmap(moved, size) == 0);
}

/* A system call reads and writes what nobody has touched yet. */
static void check_calls(int file)
{
    static uint8_t copy[300000];
    int channel = memfd_create("copy", 0);
    uint8_t *start = map(file, size - 3 * PAGE, PROT_READ | PROT_WRITE, 3 * PAGE);
    CHECK(write(channel, start + 200000, sizeof copy) == sizeof copy);
    CHECK(pread(channel, copy, sizeof copy, 0) == sizeof copy);
    for (size_t at = 0; at < sizeof copy; at++) {
        CHECK(copy[at] == byte_at(3 * PAGE + 200000 + at));
    }
    CHECK(pread(channel, start + 700000, 10, 0) == 10);
    CHECK(start[700000] == copy[0] && start[700010] == byte_at(3 * PAGE + 700010));
    CHECK(munmap(start, size - 3 * PAGE) == 0);
}

int main(int count, char **arguments)
{
    struct stat status;
    int file = open(count > 1 ? arguments[1] : "/measured", O_RDONLY);
    CHECK(file >= 0 && fstat(file, &status) == 0);
    size = (size_t)status.st_size;
    if (count > 2) { /* nothing but the mapping */
        map(file, size, PROT_READ | PROT_EXEC, 0);
        return 0;
    }
    const uint8_t *start = map(file, size, PROT_READ, 0);
    for (size_t at = 0; at < size; at += PAGE) {
        CHECK(start[at] == byte_at(at));
    }
    signal(SIGBUS, on_fault);
    signal(SIGSEGV, on_fault);
    check_one(file);
    check_rights(file);
    check_calls(file);
    for (int round = 0; round < 4; round++) {
        check_threads(file, round % 2 ? PROT_READ : PROT_READ | PROT_EXEC);
        check_threads(file, PROT_READ | PROT_WRITE);
    }
    check_one(file);
    check_calls(file);
    return 0;
}
