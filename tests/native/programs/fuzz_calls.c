/* Random system calls with random arguments: the LibOS must survive them. argv: seed, rounds. A second thread
 * interrupts what blocks. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define SCRATCH (64 * PAGE)
#define CALLS 512

static uint64_t state = 1;
static char *scratch;
static volatile int done;

static uint64_t random_number(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717ULL >> 11;
}

/* Calls that end the process or the thread, take away the ground under it, or wait for ever with all signals
 * blocked. */
static int is_left_out(long number)
{
    static const short numbers[] = {
        SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_kill,
        SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal, SYS_tkill, SYS_tgkill,
        SYS_rt_sigprocmask, SYS_rt_sigsuspend, SYS_rt_sigaction, SYS_arch_prctl, SYS_set_tid_address,
        SYS_sigaltstack, SYS_rt_sigtimedwait, SYS_brk, SYS_ppoll, SYS_pselect6, SYS_epoll_pwait,
        SYS_epoll_pwait2, SYS_alarm, SYS_setitimer, SYS_close_range, SYS_set_robust_list,
        SYS_setrlimit, SYS_prlimit64, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_timer_create, SYS_mq_notify,
        SYS_io_pgetevents, 462, /* mseal: what is below the arguments could not be mapped anew */
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i] == number) {
            return 1;
        }
    }
    return 0;
}

/* No signal ends the wait for a lock of priority inheritance, and thread 1 or 2 may be its owner. */
static int waits_for_ever(long number, uint64_t operation)
{
    static const char operations[] = {6, 11, 13};
    return number == SYS_futex && memchr(operations, (int)(operation & 0x7F), sizeof operations);
}

static uint64_t random_argument(void)
{
    static const uint64_t values[] = {
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        100,
        4095,
        4096,
        4097,
        65536,
        0x7FFFFFFF,
        0x80000000,
        0xFFFFFFFF,
        0x7FFFFFFFFFFFFFFF,
        0x8000000000000000,
        (uint64_t)-1,
        (uint64_t)-100,
        (uint64_t)-4096,
        0xE00000000,
        0xDFFFFFFF8,
        0xF00000000,
        0xF00001000,
        0x10000,
        0x8,
    };
    switch (random_number() % 4) {
    case 0:
        return values[random_number() % (sizeof values / sizeof values[0])];
    case 1:
        return random_number() % 64;
    case 2:
        return (uint64_t)scratch + random_number() % SCRATCH;
    default:
        return (uint64_t)scratch + random_number() % (SCRATCH / PAGE) * PAGE;
    }
}

static int changes_memory(long number)
{
    return number == SYS_mmap || number == SYS_munmap || number == SYS_mprotect || number == SYS_mremap ||
           number == SYS_madvise;
}

/* Also empties what files have grown, or memory runs out and the round ends with SIGBUS. */
static void fill_scratch(void)
{
    static const char *const names[] = {
        "/",  "/tmp", "/tmp/a",      "/dev/null", "/proc/self/maps",
        "..", "",     "/tmp/a/../b", "/nowhere/x"};
    mmap(scratch, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (int descriptor = 0; descriptor < 64; descriptor++) {
        ftruncate(descriptor, 0);
    }
    for (size_t i = 0; i < SCRATCH; i += 256) {
        uint64_t value = random_argument();
        memcpy(scratch + i, &value, sizeof value);
        if (i % PAGE == 0) {
            strcpy(scratch + i, names[random_number() % (sizeof names / sizeof names[0])]);
        }
    }
}

static void nothing(int signal)
{
    (void)signal;
}

static void *interrupt(void *thread)
{
    while (!done) {
        usleep(2000);
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
    }
    return NULL;
}

int main(int count, char **values)
{
    state = count > 1 ? strtoull(values[1], NULL, 10) * 2 + 1 : 1;
    long rounds = count > 2 ? atol(values[2]) : 100000;
    scratch = mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(scratch != MAP_FAILED);
    struct sigaction action = {.sa_handler = nothing};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGSEGV, SIG_DFL);
    pthread_t self = pthread_self(), other;
    CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
    int output = fcntl(1, F_DUPFD, 200);
    close(0);
    close(1);
    close(2);
    for (long i = 0; i < rounds; i++) {
        if (i % 64 == 0) {
            fill_scratch();
        }
        long number = (long)(random_number() % CALLS);
        if (is_left_out(number)) {
            continue;
        }
        uint64_t a[6];
        for (int k = 0; k < 6; k++) {
            a[k] = random_argument();
        }
        if (changes_memory(number)) { /* only where nothing else lies */
            a[0] = (uint64_t)scratch + random_number() % 64 * PAGE / 2 * (random_number() % 2 + 1);
            a[1] = random_number() % (SCRATCH - (a[0] - (uint64_t)scratch) + 1);
            if (number == SYS_mremap) {
                a[2] %= SCRATCH - (a[0] - (uint64_t)scratch) + 1;
                a[3] &= 1;
            }
        }
        if (number == SYS_close || number == SYS_dup2 || number == SYS_dup3 || number == SYS_fcntl) {
            a[0] %= 64;
            a[1] %= 64;
        }
        if (!waits_for_ever(number, a[1])) {
            syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
        }
    }
    done = 1;
    pthread_join(other, NULL);
    CHECK(write(output, "calls ok\n", 9) == 9);
    return 0;
}
