/* MAP_GROWSDOWN, and mprotect(2) of what grows. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096UL
#define GAP (256 * PAGE)
#define ROOM (4096 * PAGE)

static sigjmp_buf back;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static int faults(volatile char *at)
{
    if (sigsetjmp(back, 1)) {
        return 1;
    }
    *at = 1;
    return 0;
}

/* The last page of a range that is free otherwise. */
static char *growing_page(void)
{
    char *at = mmap(NULL, ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED && munmap(at, ROOM) == 0);
    char *top = mmap(at + ROOM - PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    CHECK(top == at + ROOM - PAGE);
    return top;
}

static void grows(void)
{
    char *top = growing_page();
    CHECK(!faults(top - 1) && !faults(top - 64 * PAGE));
    CHECK(top[-32 * (long)PAGE] == 0);
    int zero = open("/dev/zero", O_RDONLY); /* the kernel's own stores make it grow, too */
    CHECK(read(zero, top - 100 * PAGE, 10) == 10 && !faults(top - 99 * PAGE));
    close(zero);
    char *below = mmap(top - 300 * PAGE - GAP, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(below == top - 300 * PAGE - GAP);
    CHECK(!faults(top - 299 * PAGE));
    CHECK(faults(top - 300 * PAGE)); /* less than the gap would be left */
    CHECK(mprotect(below, PAGE, PROT_NONE) == 0);
    CHECK(!faults(top - 310 * PAGE)); /* what is a guard already needs no gap */
    struct rlimit limit, old;
    CHECK(getrlimit(RLIMIT_STACK, &old) == 0);
    limit = old;
    limit.rlim_cur = 330 * PAGE;
    CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
    CHECK(!faults(top - 329 * PAGE) && faults(top - 330 * PAGE));
    CHECK(setrlimit(RLIMIT_STACK, &old) == 0);
    CHECK(munmap(below, top + PAGE - below) == 0);
}

static void keeps_a_gap(void)
{
    char *top = growing_page();
    char *near = mmap(top - PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(near != top - PAGE && (near > top || near + PAGE + GAP <= top));
    munmap(near, PAGE), munmap(top, PAGE);
}

static void protects(void)
{
    char *top = growing_page();
    CHECK(!faults(top - 10 * PAGE));
    CHECK(mprotect(top - 2 * PAGE, PAGE, PROT_READ | PROT_GROWSDOWN) == 0);
    CHECK(faults(top - 10 * PAGE) && faults(top - 2 * PAGE) && !faults(top - PAGE));
    FAILS(mprotect(top - 2 * PAGE, PAGE, PROT_READ | PROT_GROWSUP), EINVAL);
    FAILS(mprotect(top - 2 * PAGE, PAGE, PROT_READ | PROT_GROWSUP | PROT_GROWSDOWN), EINVAL);
    CHECK(munmap(top - 10 * PAGE, 11 * PAGE) == 0);
    char *plain = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAILS(mprotect(plain, PAGE, PROT_READ | PROT_GROWSDOWN), EINVAL);
    FAILS(mprotect(plain, PAGE, PROT_READ | PROT_GROWSUP), EINVAL);
    CHECK(mprotect(plain, PAGE, PROT_READ | 8) == 0); /* PROT_SEM */
    FAILS(mprotect(plain, PAGE, 0x100), EINVAL);
    CHECK(mprotect(plain, 0, 0x100) == 0);
    FAILS(mprotect(plain, -PAGE * 2, PROT_READ), ENOMEM);
    CHECK(munmap(plain, 4 * PAGE) == 0);
    FAILS(mprotect(plain, PAGE, PROT_READ | PROT_GROWSUP), ENOMEM);
}

static void refused(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0), EINVAL);
    close(fd);
}

int main(void)
{
    CHECK(signal(SIGSEGV, on_fault) != SIG_ERR);
    grows();
    keeps_a_gap();
    protects();
    refused();
    return 0;
}
