/* Who waits for a child that a signal to the group ends has the signal itself by then: Linux tells a group as a whole. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { ROUNDS = 100, CHILDREN = 3 };

static volatile sig_atomic_t told;

static void tell(int number)
{
    (void)number;
    told = 1;
}

/* Leads a group of children who do nothing against the signal; 0 if it is told before it sees one of them end. */
static int lead(int ready)
{
    pid_t children[CHILDREN];
    CHECK(setpgid(0, 0) == 0);
    for (int at = 0; at < CHILDREN; at++) {
        children[at] = fork();
        if (children[at] == 0) {
            for (;;) {
                pause();
            }
        }
        CHECK(children[at] > 0);
    }
    CHECK(signal(SIGTERM, tell) != SIG_ERR && write(ready, "", 1) == 1);
    int status;
    while (waitpid(children[0], &status, 0) != children[0]) {
        CHECK(errno == EINTR);
    }
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    int result = told ? 0 : 1;
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    return result;
}

int main(void)
{
    int pipes[2], status;
    char byte;
    CHECK(pipe(pipes) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t leader = fork();
        if (leader == 0) {
            _exit(lead(pipes[1]));
        }
        CHECK(leader > 0 && read(pipes[0], &byte, 1) == 1 && kill(-leader, SIGTERM) == 0);
        CHECK(waitpid(leader, &status, 0) == leader && status == 0);
    }
    return 0;
}
