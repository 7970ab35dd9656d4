/* What a process is told of itself and its children, at the edges: waitid(2), PR_GET_DUMPABLE and PR_GET_PDEATHSIG, sigaltstack(2), SCHED_RESET_ON_FORK,
 * the title that it writes over its arguments (proc(5), /proc/PID/cmdline). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AUTODISARM (1U << 31)
#define NOBODY 65534U

/* musl refuses policies, as POSIX has none of threads. */
static long set_policy(int policy)
{
    int priority = 0;
    return syscall(SYS_sched_setscheduler, 0, policy, &priority);
}

static void zombie(void)
{
    siginfo_t info;
    pid_t child = fork();
    if (child == 0) {
        _exit(7);
    }
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
    FAILS(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG), ECHILD);
    FAILS(waitid(P_ALL, 0, &info, WCONTINUED), ECHILD);
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WSTOPPED) == 0 && info.si_status == 7);
}

static void step_down(void)
{
    CHECK(prctl(PR_GET_DUMPABLE) == 1 && prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
    CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && prctl(PR_GET_DUMPABLE) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    int signal = -1;
    CHECK(prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 && prctl(PR_GET_DUMPABLE) == 1);
    CHECK(set_policy(SCHED_OTHER | SCHED_RESET_ON_FORK) == 0);
    FAILS(set_policy(SCHED_OTHER), EPERM);
    CHECK(set_policy(SCHED_BATCH | SCHED_RESET_ON_FORK) == 0);
    CHECK(syscall(SYS_sched_getscheduler, 0) == (SCHED_BATCH | SCHED_RESET_ON_FORK));
}

static void stacks(void)
{
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory, .ss_flags = (int)AUTODISARM}, found;
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaltstack(NULL, &found) == 0 && (unsigned)found.ss_flags == AUTODISARM);
    stack.ss_flags = (int)(AUTODISARM | SS_DISABLE);
    CHECK(syscall(SYS_sigaltstack, &stack, NULL) == 0 && sigaltstack(NULL, &found) == 0);
    CHECK((unsigned)found.ss_flags == (AUTODISARM | SS_DISABLE));
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaltstack(NULL, &found) == 0 && found.ss_flags == SS_DISABLE);
}

static ssize_t read_arguments(char *to, size_t size)
{
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t length = read(fd, to, size);
    CHECK(fd >= 0 && length > 0 && close(fd) == 0);
    return length;
}

/* What is written over arguments alone is shown with all that stands behind it; a title that goes on over their end ends at its NUL. */
static void title(char *arguments, size_t length)
{
    char before[8192], now[8192];
    CHECK(length > 2 && read_arguments(before, sizeof before) == (ssize_t)length && memcmp(before, arguments, length) == 0);
    arguments[1] = '\0';
    CHECK(read_arguments(now, sizeof now) == (ssize_t)length && memcmp(now, arguments, length) == 0);
    arguments[length - 1] = ' ';
    CHECK(read_arguments(now, sizeof now) == 2 && now[0] == before[0] && now[1] == '\0');
    arguments[1] = before[1];
    size_t end = strlen(arguments) + 1;
    CHECK(end < 4096 && read_arguments(now, sizeof now) == (ssize_t)end && memcmp(now, arguments, end) == 0);
    arguments[length - 1] = '\0';
    CHECK(read_arguments(now, sizeof now) == (ssize_t)length && memcmp(now, before, length) == 0);
}

int main(int argc, char **argv)
{
    title(argv[0], (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]));
    zombie();
    stacks();
    pid_t child = fork();
    if (child == 0) {
        step_down();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("told ok");
    return 0;
}
