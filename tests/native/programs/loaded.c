/*
 * What programs do to their own texts and constants, and to where these lie, is theirs alone: the next program of the same file is as the file has it. The
 * program starts itself: argv[1] says as what.
 *     loaded              all parts, one after the other and at once
 *     loaded repeat N     one part N times
 *     loaded fill         takes all memory that is free: for the enclave alone
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define WORDS (4 * PAGE / sizeof(uint32_t))
#define ROUNDS 3

extern char **environ;
static char *self;

/* Pages of constants, and a page of text, that can be changed without harm. */
static const uint32_t constants[WORDS] __attribute__((aligned(4096))) = {[0 ... WORDS - 1] = 0x5EED5EED};

__attribute__((noinline, aligned(4096))) static int answer(void)
{
    int value;
    __asm__ volatile("mov $42, %0" : "=r"(value));
    return value;
}
__attribute__((noinline, aligned(4096))) static void after_answer(void)
{
    __asm__ volatile("");
}

static int run(const char *what)
{
    pid_t child;
    int status;
    CHECK(posix_spawn(&child, self, NULL, NULL, (char *[]){self, (char *)what, NULL}, environ) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int look(void)
{
    volatile const uint32_t *at = constants;
    for (size_t i = 0; i < WORDS; i++) {
        CHECK(at[i] == 0x5EED5EED);
    }
    CHECK(answer() == 42);
    after_answer();
    return 0;
}

static uint8_t *page_of(const void *at)
{
    return (uint8_t *)((uintptr_t)at & ~(PAGE - 1));
}

/* Stores to the constants, and gives the right to do so back. */
static int store_to_constants(void)
{
    CHECK(mprotect(page_of(constants), sizeof constants, PROT_READ | PROT_WRITE) == 0);
    memset(page_of(constants), 7, sizeof constants);
    CHECK(mprotect(page_of(constants), sizeof constants, PROT_READ) == 0);
    return 0;
}

static int store_to_text(void)
{
    uint8_t *text = page_of((const void *)answer);
    CHECK(mprotect(text, PAGE, PROT_READ | PROT_WRITE) == 0);
    memcpy(text, "\xB8\x07\x00\x00\x00\xC3", 6); /* mov $7, %eax; ret */
    CHECK(mprotect(text, PAGE, PROT_READ | PROT_EXEC) == 0);
    return answer();
}

/* Something else where constants were. */
static int replace_constants(void)
{
    uint8_t *at = page_of(constants);
    CHECK(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
    memset(at, 1, PAGE);
    CHECK(munmap(at + PAGE, PAGE) == 0);
    CHECK(mremap(at + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE) == at + PAGE);
    return 0;
}

static int drop_constants(void)
{
    CHECK(madvise(page_of(constants), sizeof constants, MADV_DONTNEED) == 0);
    return look();
}

/* A child of fork() stores to both, and goes before its parent, or after it. */
static int fork_and_store(void)
{
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char byte;
        CHECK(store_to_constants() == 0 && store_to_text() == 7);
        CHECK(read(gate[0], &byte, 1) == 1);
        _exit(answer());
    }
    look();
    CHECK(write(gate[1], "", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    return look();
}

/* The file as a file: what it holds, however it is mapped, and whatever has been done to texts that were loaded from it. */
static int map_file(void)
{
    int file = open(self, O_RDONLY);
    struct stat facts;
    CHECK(file >= 0 && fstat(file, &facts) == 0);
    size_t size = (size_t)facts.st_size;
    uint8_t *content = malloc(size);
    CHECK(content && read(file, content, size) == (ssize_t)size);
    for (size_t length = size; length < size + 64 * PAGE; length += PAGE) {
        for (int flags = 0; flags <= MAP_DENYWRITE; flags += MAP_DENYWRITE) {
            uint8_t *at = mmap(NULL, length, PROT_READ, MAP_PRIVATE | flags, file, 0);
            CHECK(at != MAP_FAILED && memcmp(at, content, size) == 0);
            CHECK(munmap(at, length) == 0);
        }
    }
    free(content);
    close(file);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
    int status;
} parts[] = {
    {"look", look, 0},
    {"store_to_constants", store_to_constants, 0},
    {"store_to_text", store_to_text, 7},
    {"replace_constants", replace_constants, 0},
    {"drop_constants", drop_constants, 0},
    {"fork_and_store", fork_and_store, 0},
    {"map_file", map_file, 0},
};
#define PARTS (sizeof parts / sizeof *parts)

/* Many at once, which need a place each; then one after the other again. */
static void at_once(void)
{
    pid_t children[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(posix_spawn(&children[i], self, NULL, NULL, (char *[]){self, "look", NULL}, environ) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        int status;
        CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
    }
}

/* All memory that is said to be free, to the last pages, can be had; and programs start before and after. */
static int fill(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(run("look") == 0);
        struct sysinfo memory;
        CHECK(sysinfo(&memory) == 0);
        size_t size = (size_t)memory.freeram * memory.mem_unit - (1UL << 20);
        uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at != MAP_FAILED);
        for (size_t page = 0; page < size; page += PAGE) {
            at[page] = 1;
        }
        CHECK(munmap(at, size) == 0);
    }
    puts("filled");
    return 0;
}

static int repeat(int times)
{
    for (int i = 0; i < times; i++) {
        CHECK(run("look") == 0);
    }
    return 0;
}

int main(int count, char *arguments[])
{
    self = arguments[0];
    if (count > 2) {
        return repeat(atoi(arguments[2]));
    }
    if (count > 1 && strcmp(arguments[1], "fill") == 0) {
        return fill();
    }
    for (size_t i = 0; count > 1 && i < PARTS; i++) {
        if (strcmp(arguments[1], parts[i].name) == 0) {
            return parts[i].run();
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < PARTS; i++) {
            CHECK(run(parts[i].name) == parts[i].status);
            CHECK(run("look") == 0);
        }
        at_once();
    }
    puts("loaded ok");
    return 0;
}
