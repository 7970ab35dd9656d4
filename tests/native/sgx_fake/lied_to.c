/*
 * A program whose host lies about memory and exceptions: everything may fail, but no byte is another than what was stored. Ends with 99 when one is.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STATUS_FOUND 99
#define STATUS_FAULT 1
#define PAGE 4096UL
#define PAGES 64UL

static uint64_t pattern(uint64_t round, uint64_t at)
{
    return (round * 2654435761UL + at) * 11400714819323198485UL;
}

static void need(int condition)
{
    if (!condition) {
        _exit(STATUS_FOUND);
    }
}

static void use_memory(uint64_t round)
{
    uint64_t *words = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED) {
        return;
    }
    for (uint64_t at = 0; at < PAGES * PAGE / 8; at += 64) {
        need(words[at] == 0);
        words[at] = pattern(round, at);
    }
    int is_protected = mprotect(words, PAGES / 2 * PAGE, PROT_READ) == 0;
    for (uint64_t at = 0; at < PAGES * PAGE / 8; at += 64) {
        need(words[at] == pattern(round, at));
    }
    if (is_protected && mprotect(words, PAGES / 2 * PAGE, PROT_READ | PROT_WRITE) == 0) {
        words[0] = 1;
        need(words[0] == 1);
    }
    madvise(words + PAGES / 2 * PAGE / 8, PAGES / 4 * PAGE, MADV_DONTNEED);
    need(words[PAGES / 2 * PAGE / 8] == 0 || words[PAGES / 2 * PAGE / 8] == pattern(round, PAGES / 2 * PAGE / 8));
    munmap(words, PAGES * PAGE);
}

static sigjmp_buf back;
static char *volatile forbidden;
static volatile sig_atomic_t faults;

/* Memory that the host keeps back is an error: it may fault anywhere, and in any thread. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_addr != forbidden) {
        _exit(STATUS_FAULT);
    }
    faults++;
    siglongjmp(back, 1);
}

static void use_faults(void)
{
    char *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sig_atomic_t before = faults;
    if (page == MAP_FAILED) {
        return;
    }
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    forbidden = page;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile char *)page = 1;
        need(0);
    }
    need(faults == before + 1);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    munmap(page, PAGE);
}

static void *work(void *argument)
{
    for (uint64_t round = 0; round < 20; round++) {
        use_memory(round * 7 + (uint64_t)argument);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    int has_thread = pthread_create(&thread, NULL, work, (void *)1) == 0;
    for (uint64_t round = 0; round < 20; round++) {
        use_faults();
        use_memory(round);
    }
    if (has_thread) {
        pthread_join(thread, NULL);
    }
    return 0;
}
