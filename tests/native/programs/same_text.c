/* Programs that are linked for one address read what they cannot store to, by turns; prints how many KiB of memory that takes. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 4
#define ROUNDS 3
#define SIZE (4 << 20)
#define STEP 64

extern char **environ;

static const unsigned char table[SIZE] = {[0] = 1, [SIZE / 2] = 2, [SIZE - STEP] = 4};

static unsigned long read_all(void)
{
    unsigned long sum = 0;
    for (size_t at = 0; at < SIZE; at += STEP) {
        sum += *(const volatile unsigned char *)&table[at];
    }
    return sum;
}

static unsigned long free_kib(void)
{
    struct sysinfo info;
    CHECK(sysinfo(&info) == 0);
    return info.freeram / 1024 * info.mem_unit;
}

/* A byte for each round comes by standard input, and goes by standard output. */
static int child(void)
{
    for (char byte; read(STDIN_FILENO, &byte, 1) == 1;) {
        CHECK(read_all() == 7 && write(STDOUT_FILENO, &byte, 1) == 1);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int to[CHILDREN][2], from[CHILDREN][2], status;
    char *arguments[] = {argv[0], "child", NULL}, byte = 0;
    if (argc > 1) {
        return child();
    }
    CHECK(read_all() == 7);
    unsigned long before = free_kib();
    for (int at = 0; at < CHILDREN; at++) {
        pid_t pid;
        posix_spawn_file_actions_t actions;
        CHECK(pipe2(to[at], O_CLOEXEC) == 0 && pipe2(from[at], O_CLOEXEC) == 0);
        CHECK(posix_spawn_file_actions_init(&actions) == 0 && posix_spawn_file_actions_adddup2(&actions, to[at][0], 0) == 0);
        CHECK(posix_spawn_file_actions_adddup2(&actions, from[at][1], 1) == 0);
        CHECK(posix_spawn(&pid, argv[0], &actions, NULL, arguments, environ) == 0);
        CHECK(close(to[at][0]) == 0 && close(from[at][1]) == 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int at = 0; at < CHILDREN; at++) {
            CHECK(write(to[at][1], &byte, 1) == 1 && read(from[at][0], &byte, 1) == 1 && read_all() == 7);
        }
    }
    printf("%ld\n", (long)(before - free_kib()));
    for (int at = 0; at < CHILDREN; at++) {
        CHECK(close(to[at][1]) == 0 && wait(&status) > 0 && status == 0);
    }
    return 0;
}
