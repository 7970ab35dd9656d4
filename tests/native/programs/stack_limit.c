/* The first stack ends where RLIMIT_STACK says: getrlimit(2). */
#define _GNU_SOURCE
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEBIBYTE (1UL << 20)

static sigjmp_buf outside;
static char own_stack[65536];
static volatile size_t deepest;

static void too_deep(int signal)
{
    (void)signal;
    siglongjmp(outside, 1);
}

static __attribute__((noinline)) size_t descend(size_t bytes)
{
    volatile char piece[16384];
    piece[0] = 1;
    deepest += sizeof piece;
    return bytes > sizeof piece ? descend(bytes - sizeof piece) + (size_t)piece[0] : 0;
}

/* Whether so much can be used. */
static int fits(size_t bytes)
{
    deepest = 0;
    if (sigsetjmp(outside, 1)) {
        return 0;
    }
    descend(bytes);
    return 1;
}

int main(void)
{
    struct rlimit limit;
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    CHECK(sigaltstack(&stack, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &(struct sigaction){.sa_handler = too_deep, .sa_flags = SA_ONSTACK}, NULL) == 0);
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 4 * MEBIBYTE);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = MEBIBYTE;
    CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
    CHECK(fits(MEBIBYTE / 2) && !fits(3 * MEBIBYTE) && deepest < MEBIBYTE);
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
    CHECK(fits(3 * MEBIBYTE));
    puts("stack limit ok");
}
