/* What a program finds that was started by another, and what becomes of children: execve(2), waitid(2), setpgid(2), kill(2),
 * proc(5). The program runs itself: argv[1] says as what. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *self;
static volatile sig_atomic_t children_told;

static pid_t start(char *const arguments[])
{
    pid_t child;
    CHECK(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0);
    return child;
}

static int status_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void count(int signal, siginfo_t *info, void *context)
{
    (void)context;
    children_told += signal == SIGCHLD && info->si_code == CLD_EXITED && info->si_status == 7;
}

static void a_parent_is_told(void)
{
    struct sigaction action = {.sa_sigaction = count, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
    CHECK(sigaction(SIGCHLD, &action, &old) == 0);
    pid_t child = start((char *[]){self, "exit", NULL});
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == child && info.si_status == 7);
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED) == 0 && info.si_code == CLD_EXITED && info.si_signo == SIGCHLD);
    CHECK(children_told == 1);
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED) == -1 && errno == ECHILD);
    CHECK(sigaction(SIGCHLD, &old, NULL) == 0);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    start((char *[]){self, "exit", NULL});
    CHECK(wait(NULL) == -1 && errno == ECHILD); /* it sleeps until the last one has gone */
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void signals_reach_children(void)
{
    pid_t child = start((char *[]){self, "pause", NULL});
    int status;
    CHECK(kill(child, 0) == 0);
    CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK(kill(child, SIGCONT) == 0 && waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
    CHECK(waitpid(child, &status, WNOHANG) == 0);
    CHECK(kill(child, SIGKILL) == 0);
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(kill(child, 0) == -1 && errno == ESRCH);
}

static void groups_are_killed_together(void)
{
    pid_t first = start((char *[]){self, "lead", NULL}), second;
    while (getpgid(first) != first) {
        usleep(1000);
    }
    posix_spawnattr_t attributes;
    CHECK(posix_spawnattr_init(&attributes) == 0);
    CHECK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP) == 0);
    CHECK(posix_spawnattr_setpgroup(&attributes, first) == 0);
    CHECK(posix_spawn(&second, self, NULL, &attributes, (char *[]){self, "pause", NULL}, environ) == 0);
    CHECK(getpgid(second) == first && getsid(second) == getsid(0));
    CHECK(setpgid(second, 0) == -1 && errno == EACCES);
    CHECK(kill(-first, SIGTERM) == 0);
    CHECK(WTERMSIG(status_of(first)) == SIGTERM && WTERMSIG(status_of(second)) == SIGTERM);
    CHECK(kill(-first, SIGTERM) == -1 && errno == ESRCH);
}

static void orphans_go_to_the_reaper(void)
{
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t middle = start((char *[]){self, "parent", NULL});
    CHECK(status_of(middle) == 0);
    int status;
    pid_t orphan = wait(&status);
    CHECK(orphan > 0 && orphan != middle && WEXITSTATUS(status) == 7);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
}

static void *execute(void *argument)
{
    (void)argument;
    execv(self, (char *[]){self, "alone", NULL});
    exit(1);
}

static void *wait_for_ever(void *argument)
{
    for (;;) {
        pause();
    }
    return argument;
}

static int threads(void)
{
    int found = 0;
    DIR *directory = opendir("/proc/self/task");
    CHECK(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        found += entry->d_name[0] != '.';
    }
    closedir(directory);
    return found;
}

static int as_child(char *arguments[])
{
    const char *role = arguments[1];
    if (strcmp(role, "exit") == 0) {
        return 7;
    }
    if (strcmp(role, "lead") == 0) {
        CHECK(setpgid(0, 0) == 0);
    }
    if (strcmp(role, "pause") == 0 || strcmp(role, "lead") == 0) {
        for (;;) {
            pause();
        }
    }
    if (strcmp(role, "parent") == 0) {
        start((char *[]){self, "exit", NULL});
        return 0;
    }
    if (strcmp(role, "threads") == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
        CHECK(pthread_create(&thread, NULL, execute, NULL) == 0);
        wait_for_ever(NULL);
    }
    if (strcmp(role, "alone") == 0) {
        char link[64], text[16];
        snprintf(text, sizeof text, "%d", getpid());
        ssize_t length = readlink("/proc/self", link, sizeof link);
        CHECK(length == (ssize_t)strlen(text) && memcmp(link, text, (size_t)length) == 0);
        CHECK(gettid() == getpid());
        CHECK(threads() == 1);
        return 5;
    }
    return 99;
}

static void other_threads_end(void)
{
    CHECK(WEXITSTATUS(status_of(start((char *[]){self, "threads", NULL}))) == 5);
}

/* What was written cannot be run in an enclave: natively it can. */
static void only_measured_programs_run(void)
{
    if (getpid() != 1) {
        return;
    }
    int from = open(self, O_RDONLY), to = open("/tmp/copy", O_WRONLY | O_CREAT, 0755);
    char buffer[4096];
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0) {
        CHECK(write(to, buffer, (size_t)got) == got);
    }
    CHECK(close(from) == 0 && close(to) == 0);
    pid_t child;
    CHECK(posix_spawn(&child, "/tmp/copy", NULL, NULL, (char *[]){"copy", NULL}, environ) == EACCES);
    CHECK(unlink("/tmp/copy") == 0);
}

/* Natively nothing stops it so soon. */
static void what_multiplies_is_bounded(void)
{
    if (getpid() != 1) {
        return;
    }
    pid_t children[64];
    int count = 0, error;
    while ((error = posix_spawn(&children[count], self, NULL, NULL, (char *[]){self, "pause", NULL}, environ)) == 0) {
        count++;
        CHECK(count < 64);
    }
    CHECK(error == EAGAIN && count > 4);
    CHECK(kill(-1, SIGTERM) == 0);
    for (int at = 0; at < count; at++) {
        CHECK(WTERMSIG(status_of(children[at])) == SIGTERM);
    }
    CHECK(WEXITSTATUS(status_of(start((char *[]){self, "exit", NULL}))) == 7);
}

static void limits_are_kept(void)
{
    static char large[0x20001];
    memset(large, 'a', sizeof large - 1);
    CHECK(execv(self, (char *[]){self, large, NULL}) == -1 && errno == E2BIG);
    CHECK(execv(self, (char **)8) == -1 && errno == EFAULT);
    CHECK(execv("", (char *[]){self, NULL}) == -1 && errno == ENOENT);
}

int main(int count_of, char *arguments[])
{
    self = arguments[0];
    if (count_of > 1) {
        return as_child(arguments);
    }
    a_parent_is_told();
    signals_reach_children();
    groups_are_killed_together();
    other_threads_end();
    only_measured_programs_run();
    limits_are_kept();
    what_multiplies_is_bounded();
    orphans_go_to_the_reaper();
    puts("execute ok");
    return 0;
}
