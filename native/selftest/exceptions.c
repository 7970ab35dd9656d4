/* What the CPU tells an enclave of its faults (EXITINFO, EXINFO), and what the LibOS makes of it. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "selftest.h"

static sigjmp_buf faulted;
static volatile int seen;
static void *volatile seen_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen = signal;
    seen_address = info->si_addr;
    siglongjmp(faulted, 1);
}

static void divide(void)
{
    __asm__ volatile("xor %%edx, %%edx\n\tmov $1, %%eax\n\txor %%ecx, %%ecx\n\tdiv %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static void illegal(void)
{
    __asm__ volatile("ud2");
}

static void breakpoint(void)
{
    __asm__ volatile("int3");
}

static void general_protection(void)
{
    __asm__ volatile("mov %0, %%rax\n\tmovb $1, (%%rax)" : : "r"(0x8000000000000000UL) : "rax", "memory");
}

static char *no_page;

static void page_fault(void)
{
    *(volatile char *)no_page = 1;
}

static const struct {
    const char *name;
    int signal;
    void (*provoke)(void);
} FAULTS[] = {
    {"#DE", SIGFPE, divide},
    {"#UD", SIGILL, illegal},
    {"#BP", SIGTRAP, breakpoint},
    {"#GP", SIGSEGV, general_protection},
    {"#PF", SIGSEGV, page_fault},
};

void try_exceptions(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    unsigned a, b, c, d;
    no_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(no_page != MAP_FAILED, "there is no memory");
    for (size_t at = 0; at < sizeof(FAULTS) / sizeof(*FAULTS); at++) {
        sigaction(FAULTS[at].signal, &action, NULL);
        seen = 0;
        if (!sigsetjmp(faulted, 1)) {
            FAULTS[at].provoke();
        }
        EXPECT(seen == FAULTS[at].signal, "%s becomes signal %d", FAULTS[at].name, seen);
    }
    EXPECT(seen_address == no_page, "#PF tells of %p, and was at %p", seen_address, (void *)no_page);
    __cpuid(0, a, b, c, d); /* #UD in an enclave: the LibOS answers */
    EXPECT(a >= 7 && b != 0, "CPUID says nothing sensible");
}
