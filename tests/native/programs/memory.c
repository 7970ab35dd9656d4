/* The mmap family against what Linux promises. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL

static sigjmp_buf back;
static void *volatile fault_address;
static volatile int fault_code;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    fault_address = info->si_addr;
    fault_code = info->si_code;
    siglongjmp(back, 1);
}

static int faults_on_read(volatile char *at)
{
    if (sigsetjmp(back, 1)) {
        return 1;
    }
    (void)*at;
    return 0;
}

static int faults_on_write(volatile char *at)
{
    if (sigsetjmp(back, 1)) {
        return 1;
    }
    *at = 1;
    return 0;
}

static char *map(size_t size, int protection, int flags)
{
    char *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void test_map_and_protect(void)
{
    char *at = map(64 * PAGE, PROT_READ | PROT_WRITE, 0);
    for (size_t i = 0; i < 64 * PAGE; i++) {
        CHECK(at[i] == 0);
    }
    memset(at, 7, 64 * PAGE);
    CHECK(mprotect(at + 8 * PAGE, 4 * PAGE, PROT_READ) == 0);
    CHECK(!faults_on_read(at + 8 * PAGE) && faults_on_write(at + 9 * PAGE));
    CHECK(fault_address == at + 9 * PAGE && fault_code == SEGV_ACCERR);
    CHECK(!faults_on_write(at + 7 * PAGE) && !faults_on_write(at + 12 * PAGE));
    CHECK(mprotect(at + 8 * PAGE, PAGE, PROT_NONE) == 0);
    CHECK(faults_on_read(at + 8 * PAGE));
    CHECK(mprotect(at + 8 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(at[8 * PAGE + 1] == 7 && !faults_on_write(at + 8 * PAGE));
    CHECK(munmap(at + 16 * PAGE, PAGE) == 0);
    CHECK(faults_on_read(at + 16 * PAGE) && fault_code == SEGV_MAPERR);
    CHECK(mprotect(at, 64 * PAGE, PROT_READ) == -1 && errno == ENOMEM);
    CHECK(munmap(at, 64 * PAGE) == 0);
    CHECK(mprotect(at, PAGE, PROT_READ) == -1 && errno == ENOMEM);
}

static void test_fixed(void)
{
    char *at = map(16 * PAGE, PROT_READ | PROT_WRITE, 0);
    memset(at, 1, 16 * PAGE);
    CHECK(mmap(at + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) == at + 4 * PAGE);
    CHECK(at[4 * PAGE - 1] == 1 && at[4 * PAGE] == 0 && at[8 * PAGE - 1] == 0 && at[8 * PAGE] == 1);
    CHECK(mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED &&
          errno == EEXIST);
    CHECK(mmap(at, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(at + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED &&
          errno == EINVAL);
    CHECK(munmap(at, 16 * PAGE) == 0);
}

static void test_large_and_lazy(void)
{
    char *reserve = map(1UL << 32, PROT_NONE, MAP_NORESERVE);
    CHECK(faults_on_read(reserve + (1UL << 31)));
    CHECK(mprotect(reserve + (1UL << 31), 1UL << 20, PROT_READ | PROT_WRITE) == 0);
    for (size_t i = 0; i < 1UL << 20; i += PAGE) {
        reserve[(1UL << 31) + i] = (char)(i / PAGE);
    }
    for (size_t i = 0; i < 1UL << 20; i += PAGE) {
        CHECK(reserve[(1UL << 31) + i] == (char)(i / PAGE));
    }
    CHECK(madvise(reserve + (1UL << 31), 1UL << 19, MADV_DONTNEED) == 0);
    CHECK(reserve[(1UL << 31) + PAGE] == 0 && reserve[(1UL << 31) + (1UL << 19) + PAGE] == (char)129);
    CHECK(munmap(reserve, 1UL << 32) == 0);
}

static void test_mremap(void)
{
    char *at = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
    memset(at, 5, 4 * PAGE);
    char *moved = mremap(at, 4 * PAGE, 1000 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved[0] == 5 && moved[4 * PAGE - 1] == 5 && moved[4 * PAGE] == 0 &&
          moved[1000 * PAGE - 1] == 0);
    memset(moved, 6, 1000 * PAGE);
    CHECK(mremap(moved, 1000 * PAGE, 2 * PAGE, 0) == moved && moved[2 * PAGE - 1] == 6);
    CHECK(faults_on_read(moved + 2 * PAGE));
    char *target = map(8 * PAGE, PROT_READ, 0);
    CHECK(mremap(moved, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE) == target + PAGE);
    CHECK(target[PAGE] == 6 && faults_on_read(moved) && !faults_on_write(target + PAGE) &&
          faults_on_write(target));
    CHECK(mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    munmap(target, 8 * PAGE);
}

/* musl finds the main stack's size by asking mremap() page after page. */
static void test_main_stack(void)
{
    pthread_attr_t attributes;
    void *start;
    size_t size;
    char local;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getstack(&attributes, &start, &size) == 0);
    CHECK(&local >= (char *)start && &local < (char *)start + size && size < 64UL << 20);
}

static void test_brk(void)
{
    char *start = (char *)syscall(SYS_brk, 0);
    CHECK((char *)syscall(SYS_brk, start + 100000) == start + 100000);
    memset(start, 9, 100000);
    CHECK((char *)syscall(SYS_brk, start) == start);
    CHECK((char *)syscall(SYS_brk, start + 100000) == start + 100000);
    CHECK(start[50000] == 0);
    syscall(SYS_brk, start);
}

static int forty_two(void)
{
    return 42;
}

static void test_generated_code(void)
{
    char *at = map(PAGE, PROT_READ | PROT_WRITE, 0);
    memcpy(at, "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov $42, %eax; ret */
    CHECK(mprotect(at, PAGE, PROT_READ | PROT_EXEC) == 0);
    int (*generated)(void) = (int (*)(void))(void *)at;
    CHECK(generated() == forty_two());
    CHECK(faults_on_write(at));
    CHECK(mprotect(at, PAGE, PROT_READ) == 0);
    if (!sigsetjmp(back, 1)) {
        generated();
        CHECK(0);
    }
    CHECK(fault_address == at);
}

static void test_many_areas(void)
{
    enum { COUNT = 2000 };
    static char *areas[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        areas[i] = map((1 + i % 3) * PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, 0);
        if (i % 2 == 0) {
            areas[i][0] = (char)i;
        }
    }
    for (size_t i = 0; i < COUNT; i += 2) {
        CHECK(areas[i][0] == (char)i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(munmap(areas[(i * 7919) % COUNT], (1 + (i * 7919) % COUNT % 3) * PAGE) == 0);
    }
}

static void test_wrong_pointers(void)
{
    CHECK(write(1, (void *)8, 1) == -1 && errno == EFAULT);
    CHECK(write(1, (void *)0xF00000000, 1) == -1 && errno == EFAULT);
    CHECK(write(1, (void *)-4096L, 1) == -1 && errno == EFAULT);
    char *at = map(2 * PAGE, PROT_READ | PROT_WRITE, 0);
    CHECK(mprotect(at + PAGE, PAGE, PROT_NONE) == 0);
    CHECK(syscall(SYS_uname, at + PAGE - 100) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_clock_gettime, 0, at + PAGE - 8) == -1 && errno == EFAULT);
    CHECK(mprotect(at, PAGE, PROT_READ) == 0);
    CHECK(syscall(SYS_clock_gettime, 0, at) == -1 && errno == EFAULT);
    munmap(at, 2 * PAGE);
    CHECK(syscall(SYS_clock_gettime, 0, at) == -1 && errno == EFAULT);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    test_map_and_protect();
    test_fixed();
    test_large_and_lazy();
    test_mremap();
    test_main_stack();
    test_brk();
    test_generated_code();
    test_many_areas();
    test_wrong_pointers();
    puts("memory ok");
    return 0;
}
