/*
 * What processes that are forked from one another cost. Prints ms.
 *     fork exec MB ROUNDS     fork(), execve() and wait() from a process with so much memory that it has written
 *     fork switch MB ROUNDS   a message to a child and back: two exchanges of so much that differs
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int execute(char *self, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            execl(self, self, "child", (char *)NULL);
            _exit(1);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            return 1;
        }
    }
    return 0;
}

static int exchange(char *memory, size_t size, int rounds, double *start)
{
    int down[2], up[2];
    char byte = 0;
    if (pipe(down) != 0 || pipe(up) != 0) {
        return 1;
    }
    if (fork() == 0) {
        memset(memory, 2, size);
        close(down[1]);
        while (read(down[0], &byte, 1) == 1 && write(up[1], &byte, 1) == 1) {
        }
        _exit(0);
    }
    for (int round = -1; round < rounds; round++) {
        *start = round == 0 ? now() : *start;
        if (write(down[1], &byte, 1) != 1 || read(up[0], &byte, 1) != 1) {
            return 1;
        }
    }
    return 0;
}

int main(int count, char *arguments[])
{
    if (count < 4) {
        return 0;
    }
    size_t size = (size_t)atoi(arguments[2]) << 20;
    int rounds = atoi(arguments[3]);
    char *memory = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, size);
    double start = now();
    int failed = strcmp(arguments[1], "exec") == 0 ? execute(arguments[0], rounds) : exchange(memory, size, rounds, &start);
    printf("%.3f\n", (now() - start) / rounds);
    return failed;
}
