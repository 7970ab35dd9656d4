/* Signals for a forked child that computes and is waiting for its turn at the moment: it hears of them before it computes on. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 40
#define PATIENCE_S 90 /* SIGALRM ends who waits in vain */

static void leave(int signal)
{
    _exit(signal);
}

static pid_t start(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (;;) {
            __asm__ volatile("");
        }
    }
    return child;
}

int main(void)
{
    int status;
    CHECK(signal(SIGUSR1, leave) != SIG_ERR);
    alarm(PATIENCE_S);
    for (int round = 0; round < ROUNDS; round++) {
        int number = round % 2 ? SIGUSR1 : SIGKILL;
        pid_t child = start();
        usleep((useconds_t)(round * 397 % 5000)); /* it runs meanwhile, and this one takes its turn from it */
        CHECK(kill(child, number) == 0);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(number == SIGKILL ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == SIGUSR1);
    }
    puts("heard");
    return 0;
}
