/* A forked child has much that its parent has not; both take turns. argv[1]: how often; argv[2]: MiB. */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void pass(int from, int to, char *byte)
{
    CHECK(read(from, byte, 1) == 1 && write(to, byte, 1) == 1);
}

int main(int count, char **values)
{
    CHECK(count == 3);
    long rounds = atol(values[1]);
    size_t size = (size_t)atol(values[2]) << 20;
    int there[2], back[2], status;
    char byte = 1;
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        unsigned char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        memset(memory, 7, size);
        for (long round = 0; round < rounds; round++) {
            pass(there[0], back[1], &byte);
            CHECK(memory[(size_t)round * 4099 % size] == 7);
        }
        _exit(0);
    }
    for (long round = 0; round < rounds; round++) {
        CHECK(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("large turns ok");
}
