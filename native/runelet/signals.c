#define _GNU_SOURCE
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "pal.h"

static atomic_bool forwarding;
static atomic_int terminal_mark;
static atomic_int awaited; /* the process that the PAL waits for, if it is a child of this one */
static sigset_t received;

/* The last real-time signals are the PAL's, to interrupt the enclave. */
#define PAL_SIGNALS 3

/* Faults belong to the thread that made them; SIGSYS is the PAL's way to see system calls. SIGURG comes many times a second from
 * runc in the foreground: it is a Go program, whose scheduler sends it to itself, and it passes on what it gets. */
sigset_t asynchronous_signals(void)
{
    sigset_t chosen;
    static const int excepted[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGKILL, SIGSTOP, SIGPIPE, SIGURG};
    sigemptyset(&chosen);
    for (int number = 1; number < 32; number++)
        sigaddset(&chosen, number);
    for (int number = SIGRTMIN; number <= SIGRTMAX - PAL_SIGNALS; number++)
        sigaddset(&chosen, number);
    for (size_t i = 0; i < sizeof(excepted) / sizeof(*excepted); i++)
        sigdelset(&chosen, excepted[i]);
    return chosen;
}

static bool ignored_by_default(int number)
{
    return number == SIGCHLD || number == SIGCONT || number == SIGWINCH || number == SIGTSTP || number == SIGTTIN ||
           number == SIGTTOU;
}

/* Orphans that the kernel gives to PID 1. The PAL's own child stays: with its end everything ends. */
static void reap_orphans(void)
{
    siginfo_t child = {0};
    while (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid > 0 &&
           child.si_pid != atomic_load(&awaited)) {
        waitpid(child.si_pid, NULL, WNOHANG);
        child.si_pid = 0;
    }
}

/* Its keys, and a new size: what the kernel sends to the group in the foreground. The other signals that it sends are for this process. */
static bool is_of_terminal(const siginfo_t *info)
{
    return info->si_code == SI_KERNEL && (info->si_signo == SIGINT || info->si_signo == SIGQUIT || info->si_signo == SIGTSTP || info->si_signo == SIGWINCH);
}

static void *receive(void *unused)
{
    (void)unused;
    for (;;) {
        siginfo_t info;
        int number = sigwaitinfo(&received, &info);
        if (number < 0)
            continue;
        if (number == SIGCHLD) {
            reap_orphans();
        } else if (atomic_load(&forwarding)) {
            pal_kill(-1, number | (is_of_terminal(&info) ? atomic_load(&terminal_mark) : 0));
        } else if (!ignored_by_default(number)) {
            _exit(128 + number);
        }
    }
    return NULL;
}

bool start_signal_thread_for(const sigset_t *signals)
{
    pthread_t thread;
    received = *signals;
    signal(SIGCHLD, SIG_DFL); /* inherited SIG_IGN would reap the PAL's child before its end is known */
    signal(SIGPIPE, SIG_IGN); /* a write to a closed pipe is EPIPE; the LibOS decides what that means inside */
    int error = pthread_sigmask(SIG_BLOCK, &received, NULL);
    if (!error)
        error = pthread_create(&thread, NULL, receive, NULL);
    if (error)
        error_message("cannot start the signal thread: %s", strerror(error));
    return !error;
}

bool start_signal_thread(void)
{
    const sigset_t signals = asynchronous_signals();
    return start_signal_thread_for(&signals);
}

void mark_signals_of_terminal(int mark)
{
    atomic_store(&terminal_mark, mark);
}

void forward_signals(int pid)
{
    atomic_store(&awaited, pid);
    atomic_store(&forwarding, true);
}
