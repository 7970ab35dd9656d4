/* A process starts programs and waits for them: posix_spawn(3), vfork(2), execve(2), wait4(2), waitid(2). The program runs
 * itself: argv[1] says as what. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 50

extern char **environ;
static char *self;

static pid_t start(char *const arguments[])
{
    pid_t child;
    CHECK(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0);
    CHECK(child > 1);
    return child;
}

static int status_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void a_status_is_told(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        char number[16];
        snprintf(number, sizeof number, "%d", round);
        int status = status_of(start((char *[]){self, "exit", number, NULL}));
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == round);
    }
    int status = status_of(start((char *[]){self, "signal", NULL}));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
}

static void a_child_of_vfork_runs_first(void)
{
    volatile int seen = 0;
    pid_t child = vfork();
    if (child == 0) {
        seen = getpid() != getppid();
        _exit(3);
    }
    CHECK(child > 0 && seen == 1);
    CHECK(WEXITSTATUS(status_of(child)) == 3);
}

static void a_missing_program_is_told(void)
{
    pid_t child;
    CHECK(posix_spawn(&child, "/nothing", NULL, NULL, (char *[]){"nothing", NULL}, environ) == ENOENT);
    CHECK(posix_spawn(&child, "/tmp", NULL, NULL, (char *[]){"tmp", NULL}, environ) == EACCES);
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static void descriptors_are_inherited(void)
{
    int kept[2], closed[2];
    char number[16], other[16], answer[64];
    CHECK(pipe(kept) == 0 && pipe2(closed, O_CLOEXEC) == 0);
    snprintf(number, sizeof number, "%d", kept[1]);
    snprintf(other, sizeof other, "%d", closed[1]);
    pid_t child = start((char *[]){self, "descriptors", number, other, NULL});
    close(kept[1]);
    CHECK(read(kept[0], answer, sizeof answer) == 2 && memcmp(answer, "ok", 2) == 0);
    CHECK(read(kept[0], answer, sizeof answer) == 0);
    CHECK(status_of(child) == 0);
    close(kept[0]);
    close(closed[0]);
    close(closed[1]);
}

/* Three programs in a row, as a shell's pipeline. */
static void a_pipeline_runs(void)
{
    int ends[4][2];
    pid_t children[3];
    char text[100000], answer[sizeof text];
    for (int at = 0; at < 4; at++) {
        CHECK(pipe2(ends[at], O_CLOEXEC) == 0);
    }
    for (int at = 0; at < 3; at++) {
        posix_spawn_file_actions_t actions;
        CHECK(posix_spawn_file_actions_init(&actions) == 0);
        CHECK(posix_spawn_file_actions_adddup2(&actions, ends[at][0], 0) == 0);
        CHECK(posix_spawn_file_actions_adddup2(&actions, ends[at + 1][1], 1) == 0);
        CHECK(posix_spawn(&children[at], self, &actions, NULL, (char *[]){self, "copy", NULL}, environ) == 0);
        posix_spawn_file_actions_destroy(&actions);
    }
    for (int at = 0; at < 4; at++) {
        if (at != 0) {
            close(ends[at][1]);
        }
        if (at != 3) {
            close(ends[at][0]);
        }
    }
    for (size_t at = 0; at < sizeof text; at++) {
        text[at] = (char)(at * 7);
    }
    size_t sent = 0, got = 0;
    while (got < sizeof text) {
        size_t part = sizeof text - sent < 4096 ? sizeof text - sent : 4096;
        if (part) {
            CHECK(write(ends[0][1], text + sent, part) == (ssize_t)part);
            sent += part;
        }
        if (sent == sizeof text) {
            close(ends[0][1]);
            ends[0][1] = -1;
        }
        ssize_t done = read(ends[3][0], answer + got, sizeof answer - got);
        CHECK(done > 0);
        got += (size_t)done;
    }
    CHECK(memcmp(text, answer, sizeof text) == 0);
    for (int at = 0; at < 3; at++) {
        CHECK(status_of(children[at]) == 0);
    }
}

static int as_child(int count, char *arguments[])
{
    if (strcmp(arguments[1], "exit") == 0) {
        return atoi(arguments[2]);
    }
    if (strcmp(arguments[1], "signal") == 0) {
        raise(SIGTERM);
    }
    if (strcmp(arguments[1], "descriptors") == 0 && count == 4) {
        int kept = atoi(arguments[2]), closed = atoi(arguments[3]);
        CHECK(fcntl(closed, F_GETFD) == -1 && errno == EBADF);
        CHECK(write(kept, "ok", 2) == 2);
        return 0;
    }
    if (strcmp(arguments[1], "copy") == 0) {
        char buffer[4096];
        ssize_t got;
        while ((got = read(0, buffer, sizeof buffer)) > 0) {
            CHECK(write(1, buffer, (size_t)got) == got);
        }
        return got != 0;
    }
    return 99;
}

int main(int count, char *arguments[])
{
    self = arguments[0];
    if (count > 1) {
        return as_child(count, arguments);
    }
    a_status_is_told();
    a_child_of_vfork_runs_first();
    a_missing_program_is_told();
    descriptors_are_inherited();
    a_pipeline_runs();
    puts("spawn ok");
    return 0;
}
