#define _GNU_SOURCE
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define SIGNAL_BASE 128

static pid_t child; /* 0: there is none */
static pthread_mutex_t child_mutex = PTHREAD_MUTEX_INITIALIZER;
static int start_socket = -1; /* a byte lets the child go; a socket, as writing to a pipe of a dead child raises SIGPIPE */
static int error_pipe = -1;   /* errno comes out of it if the loader cannot be started */

/* Between fork() and execve(), in a process with other threads: system calls alone. Standard descriptors that are given crosswise
 * are moved out of the way first. */
static int place_stdio(const struct pal_stdio_fds *stdio)
{
    const int given[] = {stdio->in, stdio->out, stdio->err};
    int kept[3];
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(given[i], F_DUPFD_CLOEXEC, 3);
        if (kept[i] < 0)
            return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(kept[i], i) < 0)
            return -1;
    }
    return 0;
}

/* The caller blocks what it receives in a thread of its own, and ignores SIGPIPE: both would be inherited. */
static void default_signals(void)
{
    sigset_t none;
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&none);
    sigaction(SIGPIPE, &action, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become_loader(const struct words *words, const struct pal_stdio_fds *stdio, int start, int failure)
{
    char byte;
    ssize_t result;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    do
        result = read(start, &byte, 1);
    while (result < 0 && errno == EINTR);
    if (result != 1)
        _exit(SIGNAL_BASE + SIGKILL);
    if (place_stdio(stdio) == 0) {
        default_signals();
        execve(words->arguments[0], words->arguments, words->environment);
    }
    int error = errno;
    result = write(failure, &error, sizeof(error));
    _exit(SIGNAL_BASE - 1);
}

int loader_create(const struct words *words, const struct pal_stdio_fds *stdio)
{
    int start[2], failure[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, start) != 0)
        return fail(-errno, "cannot make a pair of sockets: %s", strerror(errno));
    if (pipe2(failure, O_CLOEXEC) != 0) {
        close(start[0]);
        close(start[1]);
        return fail(-errno, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(start[1]);
        become_loader(words, stdio, start[0], failure[1]);
    }
    int error = errno;
    close(start[0]);
    close(failure[1]);
    if (pid < 0) {
        close(start[1]);
        close(failure[0]);
        return fail(-error, "cannot make a process: %s", strerror(error));
    }
    child = pid;
    start_socket = start[1];
    error_pipe = failure[0];
    return pid;
}

static void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

/* The number may belong to another process once the child has been waited for. */
static int wait_for_child(int *status)
{
    siginfo_t info;
    int result;
    do
        result = waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    while (result < 0 && errno == EINTR);
    pthread_mutex_lock(&child_mutex);
    if (result == 0)
        result = waitpid(child, status, 0) == child ? 0 : -1;
    child = 0;
    pthread_mutex_unlock(&child_mutex);
    return result == 0 ? 0 : -errno;
}

int loader_run(int *exit_value)
{
    const char go = 1;
    int exec_error = 0, status = 0;
    ssize_t sent = send(start_socket, &go, 1, MSG_NOSIGNAL), got;
    close_end(&start_socket);
    do
        got = read(error_pipe, &exec_error, sizeof(exec_error));
    while (got < 0 && errno == EINTR);
    close_end(&error_pipe);
    int error = wait_for_child(&status);
    if (error)
        return fail(error, "the end of Gramine's loader was lost: %s", strerror(-error));
    if (got == (ssize_t)sizeof(exec_error))
        return fail(-exec_error, "Gramine's loader cannot be started: %s", strerror(exec_error));
    *exit_value = WIFSIGNALED(status) ? SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
    (void)sent; /* a child that was killed before: its status says so */
    return 0;
}

/* Gramine lets SIGTERM in and nothing else: what asks a program to end becomes that. Others would end the loader. */
static int signal_for_gramine(int number)
{
    switch (number) {
    case SIGKILL:
        return SIGKILL;
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
    case SIGQUIT:
        return SIGTERM;
    default:
        return 0;
    }
}

void loader_signal(int number)
{
    int sent = signal_for_gramine(number);
    pthread_mutex_lock(&child_mutex);
    if (child > 0 && sent)
        kill(child, sent);
    pthread_mutex_unlock(&child_mutex);
}

void loader_destroy(void)
{
    int status;
    close_end(&start_socket);
    close_end(&error_pipe);
    if (child > 0) {
        kill(child, SIGKILL);
        wait_for_child(&status);
    }
}
