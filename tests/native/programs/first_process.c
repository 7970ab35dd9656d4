/*
 * What pid_namespaces(7) says of the first process: signals that it does not handle do nothing to it, whoever of its own
 * namespace sends them, itself and the kernel among them. What it blocks waits for it all the same. Natively it runs as the
 * first process of a namespace.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { BYTES = 4096 };

static const int UNHANDLED[] = {SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGALRM, SIGTERM, SIGTSTP, SIGTTIN,
                                SIGSTOP, SIGKILL, SIGSYS, SIGSEGV, SIGBUS, SIGIO, 34, 64};
#define COUNT (sizeof UNHANDLED / sizeof *UNHANDLED)

static void by_itself(void)
{
    for (size_t at = 0; at < COUNT; at++) {
        CHECK(kill(getpid(), UNHANDLED[at]) == 0);
        CHECK(syscall(SYS_tgkill, getpid(), gettid(), UNHANDLED[at]) == 0);
        union sigval value = {.sival_int = 1};
        CHECK(sigqueue(getpid(), UNHANDLED[at], value) == 0);
    }
    CHECK(kill(0, SIGTERM) == 0);
}

static void wait_for(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void by_a_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (size_t at = 0; at < COUNT; at++) {
            CHECK(kill(getppid(), UNHANDLED[at]) == 0);
        }
        _exit(0);
    }
    wait_for(child);
}

/* As init programs do: all is blocked, and taken by sigwaitinfo() or a signalfd. */
static void blocked(void)
{
    sigset_t all, old;
    siginfo_t info;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(kill(getppid(), SIGTERM) || kill(getppid(), SIGUSR1) || kill(getppid(), SIGHUP));
    }
    wait_for(child);
    sigset_t terms;
    sigemptyset(&terms);
    sigaddset(&terms, SIGTERM);
    CHECK(sigwaitinfo(&terms, &info) == SIGTERM && info.si_pid == child && info.si_code == SI_USER);
    sigset_t users;
    sigemptyset(&users);
    sigaddset(&users, SIGUSR1);
    int reader = signalfd(-1, &users, SFD_NONBLOCK);
    struct signalfd_siginfo read_info;
    CHECK(reader >= 0 && read(reader, &read_info, sizeof read_info) == sizeof read_info);
    CHECK(read_info.ssi_signo == SIGUSR1 && read_info.ssi_pid == (uint32_t)child && close(reader) == 0);
    sigset_t waiting;
    CHECK(sigpending(&waiting) == 0 && sigismember(&waiting, SIGHUP) == 1);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0); /* and what waited does nothing */
    CHECK(sigpending(&waiting) == 0 && sigismember(&waiting, SIGHUP) == 0);
}

static void by_the_kernel(void)
{
    int pipes[2];
    char bytes[BYTES] = {0};
    CHECK(pipe(pipes) == 0 && close(pipes[0]) == 0);
    FAILS(write(pipes[1], "", 1), EPIPE);
    CHECK(close(pipes[1]) == 0);

    struct rlimit limit = {.rlim_cur = BYTES, .rlim_max = RLIM_INFINITY};
    int file = open("/dev/shm/first_process", O_CREAT | O_TRUNC | O_RDWR, 0600);
    CHECK(file >= 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0 && write(file, bytes, BYTES) == BYTES);
    FAILS(write(file, bytes, BYTES), EFBIG);
    CHECK(close(file) == 0 && unlink("/dev/shm/first_process") == 0);

    struct itimerval soon = {.it_value.tv_usec = 1000}, left;
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    do {
        CHECK(getitimer(ITIMER_REAL, &left) == 0);
        sched_yield();
    } while (left.it_value.tv_usec || left.it_value.tv_sec);
}

/* A child is no first process. */
static void others(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        raise(SIGTERM);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static volatile sig_atomic_t handled;

static void handle(int number)
{
    handled = number;
}

static void handlers(void)
{
    CHECK(signal(SIGTERM, handle) != SIG_ERR && raise(SIGTERM) == 0 && handled == SIGTERM);
}

int main(int count, char **words)
{
    CHECK(getpid() == 1);
    (void)setsid(); /* natively its group has members outside of the namespace */
    if (count == 2 && strcmp(words[1], "abort") == 0) {
        abort(); /* which finds another way */
    }
    if (count == 2 && strcmp(words[1], "trap") == 0) {
        __builtin_trap();
    }
    by_itself();
    by_a_child();
    blocked();
    by_the_kernel();
    others();
    handlers();
    return 0;
}
