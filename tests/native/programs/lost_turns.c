/*
 * An instruction that touches two pages of shared memory, of a program that loses its turn between both: it faults at the first one anew, and goes on. It is
 * a call, which nobody can make for the program, with its target in one page and its stack in the other.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define SECONDS 2

extern void nothing(void);
__asm__("nothing: ret");

static uint64_t *view_of(int file)
{
    uint64_t *view = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(view != MAP_FAILED);
    return view;
}

/* Both views are new: each call touches their pages for the first time. */
static void call(int target_file, int stack_file)
{
    uint64_t *target = view_of(target_file), *stack = view_of(stack_file), old;
    __asm__ volatile("mov %%rsp, %0\n\tmov %1, %%rsp\n\tcall *(%2)\n\tmov %0, %%rsp"
                     : "=&r"(old)
                     : "r"(stack + PAGE / sizeof *stack), "r"(target)
                     : "memory");
    CHECK(munmap(target, PAGE) == 0 && munmap(stack, PAGE) == 0);
}

int main(void)
{
    void (*address)(void) = nothing;
    struct timespec now, start;
    int target = memfd_create("target", 0), stack = memfd_create("stack", 0);
    CHECK(target >= 0 && stack >= 0 && ftruncate(stack, PAGE) == 0 && ftruncate(target, PAGE) == 0);
    CHECK(pwrite(target, &address, sizeof address, 0) == sizeof address);
    pid_t other = fork();
    CHECK(other >= 0);
    while (other == 0) {
        __asm__ volatile(""); /* wants all the turns that it can get */
    }
    CHECK(clock_gettime(CLOCK_MONOTONIC, &start) == 0);
    do {
        call(target, stack);
        CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    } while (now.tv_sec - start.tv_sec < SECONDS);
    CHECK(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
    puts("went on");
    return 0;
}
