/*
 * Programs that are linked for one address, by turns: each keeps what it has elsewhere to itself. argv[1]: how many turns; argv[2]: MiB of heap and of other memory
 * that the first has, and the others twice and three times. argv[3]: some fork on their way. All map and unmap where the others are not.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 2
#define PAGE 4096

extern char **environ;

static unsigned char image[64 * PAGE] = {1}; /* this is where they take turns */

struct memory {
    unsigned char *heap, *mapped;
    size_t size;
    unsigned char value;
};

static void fill(struct memory *memory, unsigned char value)
{
    memory->value = value;
    memset(image, value, sizeof image);
    memset(memory->heap, value, memory->size);
    memset(memory->mapped, value, memory->size);
}

static void check(const struct memory *memory)
{
    for (size_t at = 0; at < sizeof image; at += PAGE) {
        CHECK(image[at] == memory->value);
    }
    for (size_t at = 0; at < memory->size; at += PAGE) {
        CHECK(memory->heap[at] == memory->value && memory->mapped[at] == memory->value);
    }
}

static struct memory make(size_t size, unsigned char value)
{
    struct memory memory = {.heap = (unsigned char *)syscall(SYS_brk, 0), .size = size};
    CHECK((unsigned char *)syscall(SYS_brk, memory.heap + size) == memory.heap + size);
    memory.mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory.mapped != MAP_FAILED);
    fill(&memory, value);
    return memory;
}

/* What the copy does is its own, and the others, who have never seen these pages, do not get them. */
static void fork_once(struct memory *memory)
{
    int status;
    pid_t copy = fork();
    CHECK(copy >= 0);
    if (!copy) {
        check(memory);
        fill(memory, 0xEE);
        sched_yield();
        check(memory);
        _exit(0);
    }
    CHECK(waitpid(copy, &status, 0) == copy && status == 0);
    check(memory);
}

static void map_once(size_t round)
{
    unsigned char *more = mmap(NULL, (round % 7 + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(more != MAP_FAILED && !more[0]);
    more[0] = 1;
    CHECK(munmap(more, (round % 7 + 1) * PAGE) == 0);
}

/* A byte for each turn comes by standard input, and goes by standard output. */
static int child(unsigned char value, size_t size, size_t forks_at)
{
    struct memory memory = make(size, value);
    size_t round = 0;
    for (char byte; read(STDIN_FILENO, &byte, 1) == 1; round++) {
        check(&memory);
        if (round == forks_at) {
            fork_once(&memory);
        }
        map_once(round);
        CHECK(write(STDOUT_FILENO, &byte, 1) == 1);
    }
    check(&memory);
    return 0;
}

static void start(char *program, size_t size, int number, char *forks_at, int *to, int *from)
{
    int in[2], out[2];
    pid_t pid;
    char value[2] = {(char)('b' + number), 0}, mib[16], *arguments[] = {program, value, mib, forks_at, "child", NULL};
    snprintf(mib, sizeof mib, "%zu", size >> 20);
    posix_spawn_file_actions_t actions;
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, in[0], 0) == 0 && posix_spawn_file_actions_adddup2(&actions, out[1], 1) == 0);
    CHECK(posix_spawn(&pid, program, &actions, NULL, arguments, environ) == 0);
    CHECK(close(in[0]) == 0 && close(out[1]) == 0);
    *to = in[1];
    *from = out[0];
}

int main(int count, char **values)
{
    CHECK(count >= 3);
    size_t size = (size_t)atol(values[2]) << 20;
    if (count == 5) {
        return child((unsigned char)values[1][0], size, (size_t)atol(values[3]));
    }
    int to[CHILDREN], from[CHILDREN], status;
    char byte = 0;
    struct memory memory = make(size, 'a');
    bool forks = count > 3;
    for (int at = 0; at < CHILDREN; at++) {
        start(values[0], size * (size_t)(at + 2), at, forks && at ? "3" : "-1", &to[at], &from[at]);
    }
    for (long round = 0; round < atol(values[1]); round++) {
        for (int at = 0; at < CHILDREN; at++) {
            CHECK(write(to[at], &byte, 1) == 1 && read(from[at], &byte, 1) == 1);
            check(&memory);
        }
        map_once((size_t)round);
    }
    if (forks) {
        fork_once(&memory);
    }
    for (int at = 0; at < CHILDREN; at++) {
        CHECK(close(to[at]) == 0 && wait(&status) > 0 && status == 0);
    }
    check(&memory);
    puts("apart ok");
}
