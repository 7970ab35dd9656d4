/* Who waits for a child hears of it, though its SIGCHLD is caught, by a handler after which nothing starts again: wait(2). */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 40 /* some end before anybody sleeps */

static volatile int told;

static void count(int signal)
{
    (void)signal;
    told++;
}

static pid_t start(unsigned delay_us)
{
    pid_t child = fork();
    if (child == 0) {
        usleep(delay_us);
        _exit(7);
    }
    CHECK(child > 0);
    return child;
}

int main(void)
{
    CHECK(sigaction(SIGCHLD, &(struct sigaction){.sa_handler = count}, NULL) == 0);
    for (int at = 0; at < CHILDREN; at++) {
        int status;
        siginfo_t info;
        pid_t child = start(at % 4 * 3000U);
        CHECK(waitpid(at % 2 ? child : -1, &status, 0) == child && WEXITSTATUS(status) == 7);
        child = start(at % 4 * 3000U);
        CHECK(waitid(P_PID, (id_t)child, &info, WEXITED) == 0 && info.si_pid == child && info.si_status == 7);
    }
    CHECK(told == 2 * CHILDREN);
    const struct itimerval often = {.it_interval.tv_usec = 10000, .it_value.tv_usec = 10000}, never = {0};
    CHECK(sigaction(SIGALRM, &(struct sigaction){.sa_handler = count}, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    pid_t child = fork();
    if (child == 0) {
        pause(); /* it has no timers */
    }
    FAILS(waitpid(child, NULL, 0), EINTR); /* nobody has ended */
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    puts("waits ok");
    return 0;
}
