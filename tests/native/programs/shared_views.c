/*
 * What Linux promises of memory that is mapped shared, more than once.
 *
 *     shared_views TURNS MEASURED FOLDER    MEASURED: a file of the image, FOLDER: where to make files
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL

enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_WAKE_PRIVATE = 129 };

static unsigned long turns;
static sigjmp_buf back;

static void on_fault(int signal)
{
    siglongjmp(back, signal);
}

/* The signal that a store raises, or 0. */
static int store(volatile char *at, char value)
{
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        *at = value;
    }
    return signal;
}

static int load(volatile char *at)
{
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        (void)*at;
    }
    return signal;
}

static char *map_at(void *address, int file, size_t length, off_t offset, int protection, int flags)
{
    char *at = mmap(address, length, protection, MAP_SHARED | flags, file, offset);
    CHECK(at != MAP_FAILED);
    return at;
}

static char *map(int file, size_t length, int protection)
{
    return map_at(NULL, file, length, 0, protection, 0);
}

static int memory_file(size_t length)
{
    int file = memfd_create("views", 0);
    CHECK(file >= 0 && ftruncate(file, (off_t)length) == 0);
    return file;
}

/* The same memory twice, side by side: what is written over the end is at the start. */
static void test_ring(void)
{
    enum { SIZE = 4 * PAGE };
    int file = memory_file(SIZE);
    char *ring = mmap(NULL, 2 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(ring != MAP_FAILED);
    map_at(ring, file, SIZE, 0, PROT_READ | PROT_WRITE, MAP_FIXED);
    map_at(ring + SIZE, file, SIZE, 0, PROT_READ | PROT_WRITE, MAP_FIXED);
    close(file);
    char message[3000], copy[3000];
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = (char)(i * 7);
    }
    for (size_t at = 0; at < 20 * SIZE; at += sizeof message) {
        memcpy(ring + at % SIZE, message, sizeof message);
        memcpy(copy, ring + at % SIZE, sizeof copy);
        CHECK(memcmp(copy, message, sizeof copy) == 0);
        CHECK(ring[(at + 2999) % SIZE] == message[2999] && ring[SIZE + at % SIZE] == message[0]);
    }
    CHECK(munmap(ring, SIZE) == 0 && ring[SIZE + 5] == ring[SIZE + 5]);
    CHECK(munmap(ring + SIZE, SIZE) == 0);
}

/* A ring of one page: what crosses its border needs the page at both addresses at once, in one instruction. */
static void test_small_ring(void)
{
    int file = memory_file(PAGE);
    char *ring = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(ring != MAP_FAILED);
    map_at(ring, file, PAGE, 0, PROT_READ | PROT_WRITE, MAP_FIXED);
    map_at(ring + PAGE, file, PAGE, 0, PROT_READ | PROT_WRITE, MAP_FIXED);
    close(file);
    for (size_t at = PAGE - 7; at < PAGE; at++) {
        volatile uint64_t *word = (volatile uint64_t *)(void *)(ring + at);
        *word = 0x0807060504030201 + at;
        CHECK(*word == 0x0807060504030201 + at && ring[(at + 7) % PAGE] == 8 && ring[at] == (char)(1 + at));
        *word += 0x100;
        CHECK(*word == 0x0807060504030301 + at);
    }
    char message[900], copy[900];
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = (char)(i * 11);
    }
    for (size_t at = 0; at < 20 * PAGE; at += sizeof message) {
        memcpy(ring + at % PAGE, message, sizeof message);
        memcpy(copy, ring + at % PAGE, sizeof copy);
        CHECK(memcmp(copy, message, sizeof copy) == 0 && ring[PAGE + at % PAGE] == message[0]);
    }
    /* one instruction that reads one view and writes the other */
    char *from = ring + 100, *to = ring + PAGE + 2000;
    size_t length = 1000;
    memcpy(from, message, sizeof message);
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(length) : : "memory");
    CHECK(length == 0 && memcmp(ring + 2000, message, sizeof message) == 0);
    from = ring + PAGE - 3, to = ring + PAGE + 3000, length = 2;
    memcpy(ring + PAGE - 3, "abc", 3);
    memcpy(ring, "defghijklmnop", 13);
    __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(length) : : "memory");
    CHECK(memcmp(ring + 3000, "abcdefghijklmnop", 16) == 0);
    /* what faults in the middle of it is told where it is */
    CHECK(mprotect(ring + PAGE, PAGE, PROT_READ) == 0);
    CHECK(store(ring + PAGE + 5, 1) == SIGSEGV && load(ring + PAGE + 5) == 0);
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        from = ring + 10, to = ring + PAGE + 20, length = 5;
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(length) : : "memory");
    }
    CHECK(signal == SIGSEGV);
    CHECK(munmap(ring, 2 * PAGE) == 0);
}

/* Code that changes the page it runs in, through another view: relative to itself, and by a register. */
static void test_code_that_changes_itself(void)
{
    int file = memory_file(PAGE);
    unsigned char *writable = (unsigned char *)map(file, PAGE, PROT_READ | PROT_WRITE);
    unsigned char *runs = (unsigned char *)map(file, PAGE, PROT_READ | PROT_EXEC);
    close(file);
    /* movb $42, 1000(%rdi); mov 1000-14(%rip), %al with RIP behind it; movzbl %al, %eax; ret */
    const unsigned char code[] = {0xc6, 0x87, 0xe8, 3, 0, 0, 42, 0x8a, 0x05, 0xdb, 3, 0, 0, 0x0f, 0xb6, 0xc0, 0xc3};
    memcpy(writable, code, sizeof code);
    writable[1000] = 1;
    int (*function)(unsigned char *) = (int (*)(unsigned char *))(void *)runs;
    CHECK(function(writable) == 42 && writable[1000] == 42 && runs[1000] == 42);
    munmap(writable, PAGE);
    munmap(runs, PAGE);
}

/* A compiler that keeps W^X: code is written in one view and runs in the other. */
static void test_compiler(void)
{
    int file = memory_file(2 * PAGE);
    unsigned char *writable = (unsigned char *)map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    unsigned char *runs = (unsigned char *)map(file, 2 * PAGE, PROT_READ | PROT_EXEC);
    close(file);
    for (int value = 0; value < 50; value++) {
        const unsigned char code[] = {0xb8, (unsigned char)value, 1, 0, 0, 0xc3}; /* mov $..., %eax; ret */
        size_t at = (size_t)value * 100;
        memcpy(writable + at, code, sizeof code);
        int (*function)(void) = (int (*)(void))(void *)(runs + at);
        CHECK(function() == 256 + value);
        writable[at + 1] = 200;
        CHECK(function() == 456);
    }
    CHECK(store((char *)runs, 1) == SIGSEGV);
    munmap(writable, 2 * PAGE);
    munmap(runs, 2 * PAGE);
}

struct party {
    pthread_t thread;
    char *view;
    unsigned index;
};

static void *take_turns(void *context)
{
    struct party *party = context;
    uint64_t *shared = (uint64_t *)(void *)party->view;
    for (unsigned long turn = 0; turn < turns; turn++) {
        __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
        shared[1 + party->index]++;
    }
    return NULL;
}

/* A thread that uses two views by turns finds what it stored last, whoever takes the page meanwhile. */
static void *alternate(void *context)
{
    struct party *party = context;
    for (unsigned long turn = 0; turn < turns; turn++) {
        volatile uint64_t *word = (volatile uint64_t *)(void *)(party->view + (turn & 1) * PAGE) + party->index;
        CHECK(*word == turn);
        *word = turn + 1;
    }
    return NULL;
}

static void *cross_border(void *context)
{
    struct party *party = context;
    for (unsigned long turn = 0; turn < turns / 50; turn++) {
        volatile uint64_t *word = (volatile uint64_t *)(void *)(party->view + PAGE - 3);
        *word = turn;
        (void)*word;
    }
    return NULL;
}

static void test_small_ring_of_threads(void)
{
    enum { THREADS = 4 };
    struct party parties[THREADS];
    int file = memory_file(PAGE);
    char *ring = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(ring != MAP_FAILED);
    map_at(ring, file, PAGE, 0, PROT_READ | PROT_WRITE, MAP_FIXED);
    map_at(ring + PAGE, file, PAGE, 0, PROT_READ | PROT_WRITE, MAP_FIXED);
    close(file);
    for (unsigned i = 0; i < THREADS; i++) {
        parties[i] = (struct party){.view = ring, .index = 8 + i};
        CHECK(pthread_create(&parties[i].thread, NULL, i ? alternate : cross_border, &parties[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(parties[i].thread, NULL) == 0);
    }
    munmap(ring, 2 * PAGE);
}

/* Threads that store to one page through two views: no store is lost, all come to an end. */
static void test_threads(void)
{
    enum { THREADS = 4 };
    struct party parties[THREADS];
    int file = memory_file(PAGE);
    char *views[2] = {map(file, PAGE, PROT_READ | PROT_WRITE), map(file, PAGE, PROT_READ | PROT_WRITE)};
    for (unsigned i = 0; i < THREADS; i++) {
        parties[i] = (struct party){.view = views[i % 2], .index = i};
        CHECK(pthread_create(&parties[i].thread, NULL, take_turns, &parties[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(parties[i].thread, NULL) == 0);
    }
    uint64_t totals[1 + THREADS];
    CHECK(pread(file, totals, sizeof totals, 0) == sizeof totals);
    CHECK(totals[0] == THREADS * turns);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(totals[1 + i] == turns);
    }
    close(file);
    munmap(views[0], PAGE);
    munmap(views[1], PAGE);
}

static long futex(void *word, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static void *wait_in_view(void *context)
{
    const struct timespec limit = {20, 0};
    uint32_t *word = context;
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) {
        if (futex(word, FUTEX_WAIT, 0, &limit) == -1 && errno == ETIMEDOUT) {
            return context;
        }
    }
    return NULL;
}

/* A wake through one view finds who sleeps on the other; a private one does not. */
static void test_futexes(void)
{
    int file = memory_file(2 * PAGE);
    char *one = map(file, 2 * PAGE, PROT_READ | PROT_WRITE), *other = map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    uint32_t *sleeps = (uint32_t *)(void *)(one + PAGE + 64), *wakes = (uint32_t *)(void *)(other + PAGE + 64);
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, wait_in_view, sleeps) == 0);
    usleep(50000);
    CHECK(futex(wakes, FUTEX_WAKE_PRIVATE, INT_MAX, NULL) == 0);
    CHECK(futex(wakes + 1, FUTEX_WAKE, INT_MAX, NULL) == 0);
    __atomic_store_n(wakes, 1, __ATOMIC_SEQ_CST);
    futex(wakes, FUTEX_WAKE, INT_MAX, NULL);
    CHECK(pthread_join(thread, &result) == 0 && result == NULL);

    pthread_mutexattr_t attributes;
    pthread_mutex_t *mutex = (pthread_mutex_t *)(void *)one, *same = (pthread_mutex_t *)(void *)other;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutex_init(mutex, &attributes) == 0);
    CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_trylock(same) == EBUSY);
    CHECK(pthread_mutex_unlock(same) == 0 && pthread_mutex_trylock(mutex) == 0);
    close(file);
    munmap(one, 2 * PAGE);
    munmap(other, 2 * PAGE);
}

/* mremap of what is shared: moved, grown over the end, and a second view where there was one. */
static void test_remap(void)
{
    int file = memory_file(2 * PAGE);
    char *at = map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    at[5000] = 'a';
    char *second = mremap(at, 0, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(second != MAP_FAILED && second != at && second[5000] == 'a');
    second[5001] = 'b';
    CHECK(at[5001] == 'b');
    char *grown = mremap(at, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED && grown[5001] == 'b' && load(grown + 2 * PAGE) == SIGBUS);
    CHECK(ftruncate(file, 4 * PAGE) == 0 && store(grown + 3 * PAGE, 'c') == 0);
    char c = 0;
    CHECK(pread(file, &c, 1, 3 * PAGE) == 1 && c == 'c');
    char *elsewhere = mremap(grown, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(elsewhere != MAP_FAILED && elsewhere[5000] == 'a' && grown[5000] == 'a');
    munmap(grown, 4 * PAGE);
    munmap(elsewhere, 4 * PAGE);
    munmap(second, 2 * PAGE);
    close(file);

    char *own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    own[1] = 'p';
    CHECK(mremap(own, 0, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
    CHECK(mremap(own, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED && errno == EINVAL);
    char *moved = mremap(own, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(moved != MAP_FAILED && moved[1] == 'p' && own[1] == 0);
    munmap(own, 2 * PAGE);
    munmap(moved, 2 * PAGE);
}

/* Anonymous shared memory is an object as well. */
static void test_anonymous(void)
{
    char *at = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && at[100] == 0);
    at[100] = 'x';
    char *second = mremap(at, 0, 3 * PAGE, MREMAP_MAYMOVE);
    CHECK(second != MAP_FAILED && second[100] == 'x');
    CHECK(munmap(at, 3 * PAGE) == 0 && second[100] == 'x');
    CHECK(madvise(second, 3 * PAGE, MADV_DONTNEED) == 0 && second[100] == 'x');
    munmap(second, 3 * PAGE);
}

/* A file of the image: its views show it, and what is written to it later. */
static void test_measured(const char *path)
{
    int file = open(path, O_RDONLY), writes = open(path, O_RDWR);
    CHECK(file >= 0 && writes >= 0);
    unsigned char *at = (unsigned char *)map(file, 4 * PAGE, PROT_READ);
    unsigned char *changes = (unsigned char *)map(writes, 4 * PAGE, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < 4 * PAGE; i++) {
        CHECK(at[i] == i % 256);
    }
    CHECK(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    CHECK(pwrite(writes, "new", 3, 6000) == 3 && memcmp(at + 6000, "new", 3) == 0 && at[5999] == 5999 % 256);
    changes[9000] = 'X';
    unsigned char c = 0;
    CHECK(at[9000] == 'X' && pread(file, &c, 1, 9000) == 1 && c == 'X' && at[9001] == 9001 % 256);
    CHECK(munmap(changes, 4 * PAGE) == 0 && at[9000] == 'X' && munmap(at, 4 * PAGE) == 0);
    CHECK(pread(file, &c, 1, 9000) == 1 && c == 'X' && pread(file, &c, 1, 9255) == 1 && c == 9255 % 256);
    CHECK(pwrite(writes, "\0\1\2", 3, 9000) == 3);
    close(file);
    close(writes);
}

/* What stays when names, descriptors and other views go. */
static void test_lifetime(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/unlinked", folder);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && ftruncate(file, 2 * PAGE) == 0);
    char *at = map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    strcpy(at + PAGE, "here");
    CHECK(close(file) == 0 && (file = open(path, O_RDWR)) >= 0);
    char *second = map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(strcmp(second + PAGE, "here") == 0 && unlink(path) == 0 && close(file) == 0);
    strcpy(second, "there");
    CHECK(strcmp(at, "there") == 0 && munmap(at, 2 * PAGE) == 0 && strcmp(second + PAGE, "here") == 0);
    CHECK(munmap(second, 2 * PAGE) == 0);
}

static void test_refusals(void)
{
    int file = memory_file(PAGE);
    char *at = map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(msync(at, PAGE, MS_SYNC | MS_ASYNC) == -1 && errno == EINVAL);
    CHECK(msync(at, PAGE, 8) == -1 && errno == EINVAL);
    CHECK(msync(at + 1, PAGE, MS_SYNC) == -1 && errno == EINVAL);
    CHECK(msync(at, PAGE, MS_ASYNC) == 0 && msync(at, 2 * PAGE, MS_SYNC) == 0 && msync(at, PAGE, 0) == 0);
    CHECK(load(at + PAGE) == SIGBUS && store(at + PAGE, 1) == SIGBUS);
    CHECK(write(1, at + PAGE, 1) == -1 && errno == EFAULT);
    CHECK(mprotect(at, PAGE, PROT_READ) == 0 && store(at, 1) == SIGSEGV && load(at) == 0);
    CHECK(pwrite(file, "w", 1, 0) == 1 && at[0] == 'w' && store(at, 1) == SIGSEGV);
    CHECK(mprotect(at, PAGE, PROT_NONE) == 0 && load(at) == SIGSEGV);
    char c = 0;
    CHECK(pread(file, &c, 1, 0) == 1 && c == 'w' && load(at) == SIGSEGV);
    CHECK(mprotect(at, PAGE, PROT_READ) == 0 && load(at) == 0 && mprotect(at, PAGE, PROT_NONE) == 0);
    char *copy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(copy != MAP_FAILED && copy[0] == 'w' && store(copy, 'p') == 0 && load(at) == SIGSEGV);
    munmap(copy, PAGE);
    munmap(at, 2 * PAGE);
    close(file);
}

static long locked_kilobytes(void)
{
    char text[4096] = "";
    int file = open("/proc/self/status", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    const char *line = strstr(text, "VmLck:");
    CHECK(line != NULL);
    return strtol(line + 6, NULL, 10);
}

static void test_locked(void)
{
    unsigned char resident[4];
    long before = locked_kilobytes();
    char *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mincore(at, 4 * PAGE, resident) == 0 && !(resident[0] & 1) && !(resident[3] & 1));
    at[PAGE] = 1;
    CHECK(mincore(at, 4 * PAGE, resident) == 0 && !(resident[0] & 1) && (resident[1] & 1));
    CHECK(mlock(at + 10, 2 * PAGE) == 0 && locked_kilobytes() == before + 12);
    CHECK(mincore(at, 4 * PAGE, resident) == 0 && (resident[0] & 1) && (resident[2] & 1) && !(resident[3] & 1));
    CHECK(madvise(at, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
    CHECK(munlock(at, 4 * PAGE) == 0 && locked_kilobytes() == before);
    CHECK(syscall(SYS_mlock2, at, PAGE, 1) == 0 && locked_kilobytes() == before + 4);
    CHECK(syscall(SYS_mlock2, at, PAGE, 2) == -1 && errno == EINVAL);
    CHECK(munmap(at, 2 * PAGE) == 0 && locked_kilobytes() == before);
    CHECK(mlock(at, 4 * PAGE) == -1 && errno == ENOMEM);
    CHECK(mlockall(0) == -1 && errno == EINVAL);
    munmap(at, 4 * PAGE);
}

/* For the host to see: what was stored to this mapping is there when the process has ended. */
static void leave_stored(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/stored", folder);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && ftruncate(file, 2 * PAGE) == 0);
    char *at = map(file, 2 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(close(file) == 0);
    strcpy(at, "stored");
}

int main(int count, char **arguments)
{
    CHECK(count == 4);
    turns = strtoul(arguments[1], NULL, 10);
    struct sigaction action = {.sa_handler = on_fault};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGBUS, &action, NULL) == 0);
    test_ring();
    test_small_ring();
    test_code_that_changes_itself();
    test_compiler();
    test_threads();
    test_small_ring_of_threads();
    test_futexes();
    test_remap();
    test_anonymous();
    test_measured(arguments[2]);
    test_lifetime("/tmp");
    test_lifetime(arguments[3]);
    test_refusals();
    test_locked();
    leave_stored(arguments[3]);
    puts("views ok");
    return 0;
}
