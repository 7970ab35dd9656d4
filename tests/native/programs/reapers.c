/* A subreaper that ends beside a child of its own loses no orphan: who is left goes to the next one above. */
#define _GNU_SOURCE
#include "check.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 6 /* each of which has one */

static void beget(int ready)
{
    for (int at = 0; at < CHILDREN; at++) {
        if (fork() == 0) {
            if (fork() == 0) {
                CHECK(write(ready, "x", 1) == 1);
            }
            return;
        }
    }
}

/* Three generations in one group; all of them end at once. */
static void family(void)
{
    int ready[2];
    char word;
    CHECK(pipe(ready) == 0);
    pid_t reaper = fork();
    if (reaper == 0) {
        CHECK(setpgid(0, 0) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
        beget(ready[1]);
        for (;;) {
            pause();
        }
    }
    CHECK(reaper > 0 && close(ready[1]) == 0);
    for (int left = CHILDREN; left > 0; left--) {
        CHECK(read(ready[0], &word, 1) == 1);
    }
    CHECK(close(ready[0]) == 0 && kill(-reaper, SIGKILL) == 0);
    for (int left = 1 + 2 * CHILDREN; left > 0; left--) {
        CHECK(wait(NULL) > 0);
    }
    FAILS(wait(NULL), ECHILD);
}

/* CLONE_PARENT: who ends has not been the parent of the other. */
static void sister(void)
{
    pid_t child = fork();
    if (child == 0) {
        pid_t other = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        _exit(other < 0);
    }
    for (int left = 2; left > 0; left--) {
        int status;
        CHECK(wait(&status) > 0 && status == 0);
    }
    FAILS(wait(NULL), ECHILD);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    for (long left = atol(argv[1]); left > 0; left--) {
        family();
        sister();
    }
    puts("reapers ok");
    return 0;
}
