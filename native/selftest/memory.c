/* Dynamic memory: pages that come (EAUG, EACCEPT), whose rights change (EMODPE; EMODPR), and that go (EMODT, EREMOVE). */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "selftest.h"

#define PAGE 4096UL
#define SIZE (32UL << 20)
#define PART (1UL << 20)

static sigjmp_buf faulted;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(faulted, 1);
}

static int store_faults(volatile unsigned char *at)
{
    if (sigsetjmp(faulted, 1)) {
        return 1;
    }
    *at = 7;
    return 0;
}

static unsigned char *map(size_t size)
{
    unsigned char *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(got != MAP_FAILED, "there is no memory for %zu bytes", size);
    return got;
}

static void try_growth(unsigned char *area)
{
    for (size_t at = 0; at < SIZE; at += PAGE) {
        EXPECT(area[at] == 0, "a new page is not zero, at %zu", at);
        area[at] = (unsigned char)(at / PAGE);
    }
    for (size_t at = 0; at < SIZE; at += PAGE) {
        EXPECT(area[at] == (unsigned char)(at / PAGE), "a page has lost its content, at %zu", at);
    }
}

static void try_rights(unsigned char *area)
{
    signal(SIGSEGV, on_fault);
    EXPECT(mprotect(area, PART, PROT_READ) == 0, "rights cannot be taken");
    EXPECT(store_faults(area) && store_faults(area + PART - 1), "a page that is read-only can be written");
    EXPECT(!store_faults(area + PART), "a page that is not read-only cannot be written");
    EXPECT(mprotect(area, PART, PROT_READ | PROT_WRITE) == 0 && !store_faults(area), "rights cannot be given back");
}

/* mov $42, %eax; ret: what is written may be executed afterwards. */
static void try_code(unsigned char *area)
{
    static const unsigned char code[] = {0xB8, 42, 0, 0, 0, 0xC3};
    int (*function)(void);
    memcpy(area, code, sizeof(code));
    EXPECT(mprotect(area, PAGE, PROT_READ | PROT_EXEC) == 0, "a page cannot be made executable");
    memcpy(&function, &area, sizeof(function));
    EXPECT(function() == 42, "code that was written gives something else");
}

void try_memory(void)
{
    unsigned char *area = map(SIZE);
    try_growth(area);
    try_rights(area);
    try_code(area);
    EXPECT(munmap(area, SIZE) == 0, "memory cannot be given back");
    for (int round = 0; round < 4; round++) { /* what has gone comes again, and is new */
        unsigned char *again = map(PART);
        for (size_t at = 0; at < PART; at += PAGE) {
            EXPECT(again[at] == 0, "a page that comes again is not new, at %zu", at);
            again[at] = 1;
        }
        EXPECT(munmap(again, PART) == 0, "memory cannot be given back");
    }
}
