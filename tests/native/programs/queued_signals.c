/* Real-time signals are queued, others are not; a handler whose frame cannot be written becomes SIGSEGV: signal(7). */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int delivered;

static void count(int signal)
{
    (void)signal;
    delivered++;
}

static void are_queued(int signal, int expected)
{
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK(sigaction(signal, &(struct sigaction){.sa_handler = count}, NULL) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    delivered = 0;
    for (int round = 0; round < 3; round++) {
        CHECK(raise(signal) == 0 && kill(getpid(), signal) == 0);
    }
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, signal) == 1);
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    CHECK(delivered == expected);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(raise(signal) == 0 && raise(signal) == 0);
    CHECK(sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == 0); /* forgets them */
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, signal) == 0);
    CHECK(sigaction(signal, &(struct sigaction){.sa_handler = count}, NULL) == 0);
    CHECK(raise(signal) == 0);
    siginfo_t info;
    struct timespec now = {0};
    CHECK(sigtimedwait(&set, &info, &now) == signal && info.si_pid == getpid());
    CHECK(sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN);
}

static void ends_well(int signal)
{
    (void)signal;
    CHECK(write(1, "queued signals ok\n", 18) == 18);
    _exit(0);
}

int main(void)
{
    are_queued(SIGRTMIN, 6);
    are_queued(SIGRTMAX, 6);
    are_queued(SIGUSR1, 2); /* one for the thread, one for the process */
    CHECK(kill(0x3FFFFFFF, 0) == -1 && errno == ESRCH);
    CHECK(kill(getpid(), 65) == -1 && errno == EINVAL);
    size_t size = 65536;
    stack_t stack = {.ss_size = size};
    stack.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack.ss_sp != MAP_FAILED && sigaltstack(&stack, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &(struct sigaction){.sa_handler = ends_well}, NULL) == 0);
    CHECK(sigaction(SIGHUP, &(struct sigaction){.sa_handler = count, .sa_flags = SA_ONSTACK}, NULL) == 0);
    CHECK(mprotect(stack.ss_sp, size, PROT_READ) == 0);
    raise(SIGHUP);
    return 1;
}
