/* many_children COUNT: so many children, one after the other and eight at once, by each way to start them; then prints how many KiB of free memory are gone. */
#define _GNU_SOURCE
#include "check.h"

#include <spawn.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 8
#define WARM_UP 64
#define STATUS 7

extern char **environ;

static char *program;

static pid_t by_spawn(void)
{
    pid_t child;
    char *arguments[] = {program, NULL};
    CHECK(posix_spawn(&child, program, NULL, NULL, arguments, environ) == 0);
    return child;
}

static pid_t by_vfork(void)
{
    pid_t child = vfork();
    if (child == 0) {
        _exit(STATUS);
    }
    return child;
}

static pid_t by_fork(void)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(STATUS);
    }
    return child;
}

static pid_t by_fork_and_exec(void)
{
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, NULL);
        _exit(1);
    }
    return child;
}

static void start_and_wait(int count)
{
    static pid_t (*const ways[])(void) = {by_spawn, by_vfork, by_fork, by_fork_and_exec};
    int status;
    for (int started = 0; started < count; started += AT_ONCE) {
        for (int at = 0; at < AT_ONCE; at++) {
            CHECK(ways[(started / AT_ONCE + at) % 4]() > 0);
        }
        for (int at = 0; at < AT_ONCE; at++) {
            CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == STATUS);
        }
    }
    FAILS(wait(&status), ECHILD);
}

static unsigned long free_kib(void)
{
    struct sysinfo info;
    CHECK(sysinfo(&info) == 0);
    return info.freeram / 1024 * info.mem_unit;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return STATUS;
    }
    program = argv[0];
    start_and_wait(WARM_UP);
    unsigned long before = free_kib();
    start_and_wait(atoi(argv[1]));
    printf("%ld\n", (long)(before - free_kib()));
    return 0;
}
