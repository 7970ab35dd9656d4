/*
 * A place that a process of a group has had for a while and given back is another program's afterwards: turns in the group leave it alone. The program starts
 * itself. Natively nothing can go wrong.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (64UL << 20)
#define PAGE 4096UL
#define ROUNDS 2
#define PATIENCE_S 90 /* SIGALRM ends who waits in vain */

extern char **environ;

static uint8_t *map(size_t size)
{
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void tell(int pipe)
{
    CHECK(write(pipe, "", 1) == 1);
}

static void hear(int pipe)
{
    char byte;
    CHECK(read(pipe, &byte, 1) == 1);
}

/* The other program: what it has stored stays as it is, whatever the group does meanwhile. */
static int bystander(void)
{
    uint8_t *memory = map(SIZE);
    for (size_t at = 0; at < SIZE; at += PAGE) {
        memcpy(memory + at, &at, sizeof at);
    }
    tell(STDOUT_FILENO);
    hear(STDIN_FILENO);
    for (size_t at = 0; at < SIZE; at += PAGE) {
        CHECK(memcmp(memory + at, &at, sizeof at) == 0);
    }
    tell(STDOUT_FILENO);
    return 0;
}

struct pipes {
    int to_bystander[2], from_bystander[2], to_child[2];
};

/* Takes a large place, gives it back, and starts the other program there. It sleeps while its parent has the turn. */
static int child(char *self, const struct pipes *pipes)
{
    int status;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    uint8_t *memory = map(SIZE * 2);
    for (size_t at = 0; at < SIZE * 2; at += PAGE) {
        memory[at] = 1;
    }
    CHECK(munmap(memory, SIZE * 2) == 0);
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, pipes->to_bystander[0], STDIN_FILENO) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, pipes->from_bystander[1], STDOUT_FILENO) == 0);
    CHECK(posix_spawn(&pid, self, &actions, NULL, (char *[]){self, "bystander", NULL}, environ) == 0);
    hear(pipes->to_child[0]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return bystander();
    }
    alarm(PATIENCE_S);
    for (int round = 0; round < ROUNDS; round++) {
        struct pipes pipes;
        int status;
        CHECK(pipe2(pipes.to_bystander, O_CLOEXEC) == 0 && pipe2(pipes.from_bystander, O_CLOEXEC) == 0 && pipe2(pipes.to_child, O_CLOEXEC) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            _exit(child(argv[0], &pipes));
        }
        hear(pipes.from_bystander[0]);
        tell(pipes.to_bystander[1]);
        hear(pipes.from_bystander[0]); /* it has looked, and the child has not had a turn since */
        tell(pipes.to_child[1]);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        for (int *end = (int *)&pipes; end < (int *)(&pipes + 1); end++) {
            CHECK(close(*end) == 0);
        }
    }
    puts("left alone");
    return 0;
}
