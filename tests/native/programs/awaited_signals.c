/* Who waits for signals or children can be stopped and ended meanwhile; what is waited for comes before its handler (sigwaitinfo(2), waitid(2)). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t handled;

static void handle(int number)
{
    (void)number;
    handled++;
}

static sigset_t only(int number)
{
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, number);
    return set;
}

/* Until /proc says that the process sleeps, for it may still be on its way. */
static void let_sleep(pid_t child)
{
    char path[64], state;
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    for (;;) {
        FILE *file = fopen(path, "r");
        CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && fclose(file) == 0);
        if (state == 'S') {
            return;
        }
        usleep(1000);
    }
}

static void *await(void *unused)
{
    sigset_t set = only(SIGUSR1);
    int number = 0;
    sigwait(&set, &number);
    return unused;
}

/* Sleeps in sigwait(), in a thread of its own or not; ends with 3 when it is told. */
static pid_t start_waiting(int in_thread)
{
    sigset_t set = only(SIGUSR1);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        int number;
        CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
        CHECK(!in_thread || pthread_create(&thread, NULL, await, NULL) == 0);
        if (in_thread) {
            pthread_join(thread, NULL);
        } else {
            CHECK(sigwait(&set, &number) == 0 && number == SIGUSR1);
        }
        _exit(3);
    }
    let_sleep(child);
    usleep(10000);
    return child;
}

static void who_waits_is_ended_and_stopped(int in_thread)
{
    int status;
    pid_t child = start_waiting(in_thread);
    CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK(kill(child, SIGCONT) == 0);
    let_sleep(child);
    CHECK(kill(child, SIGUSR1) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    child = start_waiting(in_thread);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    child = start_waiting(in_thread);
    CHECK(kill(child, SIGTERM) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* That of musl never says EINTR. */
static long wait_for(const sigset_t *set, siginfo_t *info)
{
    return syscall(SYS_rt_sigtimedwait, set, info, NULL, 8);
}

/* The first of the two that nobody blocks is taken, the second has its handler. */
static void what_is_not_blocked_is_taken_too(void)
{
    sigset_t set = only(SIGUSR1), other = only(SIGUSR2);
    siginfo_t info;
    CHECK(signal(SIGUSR1, handle) != SIG_ERR && signal(SIGUSR2, handle) != SIG_ERR);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        let_sleep(parent);
        usleep(10000);
        CHECK(kill(parent, SIGUSR1) == 0);
        _exit(0);
    }
    CHECK(wait_for(&set, &info) == SIGUSR1 && info.si_pid == child && info.si_code == SI_USER && handled == 0);
    CHECK(waitpid(child, NULL, 0) == child);
    child = fork();
    if (child == 0) {
        let_sleep(parent);
        usleep(10000);
        CHECK(kill(parent, SIGUSR1) == 0);
        _exit(0);
    }
    FAILS(wait_for(&other, &info), EINTR);
    CHECK(handled == 1 && waitpid(child, NULL, 0) == child);
}

static void a_descriptor_that_does_not_wait(void)
{
    siginfo_t info;
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(close(ends[1]) == 0 && read(ends[0], &byte, 1) == 0);
        _exit(5);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, child, O_NONBLOCK);
    CHECK(pidfd >= 0 && close(ends[0]) == 0);
    FAILS(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), EAGAIN);
    info.si_pid = 1;
    CHECK(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
    CHECK(close(ends[1]) == 0 && fcntl(pidfd, F_SETFL, 0) == 0);
    CHECK(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_pid == child && info.si_status == 5);
    CHECK(close(pidfd) == 0);
}

int main(void)
{
    for (int in_thread = 0; in_thread < 2; in_thread++) {
        who_waits_is_ended_and_stopped(in_thread);
    }
    what_is_not_blocked_is_taken_too();
    a_descriptor_that_does_not_wait();
    puts("awaited signals ok");
}
