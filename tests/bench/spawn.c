/* How long posix_spawn() and wait() of a program take that ends at once: itself, with an argument more. Prints ms. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

int main(int count, char *arguments[])
{
    if (count > 2) {
        return 0;
    }
    int rounds = atoi(arguments[1]);
    double start = now();
    for (int round = 0; round < rounds; round++) {
        char *words[] = {arguments[0], arguments[1], "child", NULL};
        pid_t child;
        int status;
        if (posix_spawn(&child, arguments[0], NULL, NULL, words, environ) != 0 || waitpid(child, &status, 0) != child ||
            status != 0) {
            return 1;
        }
    }
    printf("%.3f\n", (now() - start) / rounds);
    return 0;
}
