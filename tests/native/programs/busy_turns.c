/* Forked processes that never wait, each with memory of its own that comes and goes, and more that differs: who has the turn keeps it for a
 * while. argv[1]: rounds. */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 4
#define KEPT (16U << 20) /* bytes that differ between them */
#define PIECE (128U << 10)

static unsigned char kept[KEPT]; /* an exchange takes long enough for the others to wait for the lock of memory meanwhile */

static void work(long rounds, unsigned char own)
{
    for (long round = 0; round < rounds; round++) {
        unsigned char *memory = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        memset(memory, own, PIECE);
        for (unsigned at = 0; at < KEPT; at += 4096) {
            CHECK(round == 0 || kept[at] == own);
            kept[at] = own;
        }
        CHECK(memory[PIECE - 1] == own && munmap(memory, PIECE) == 0);
    }
}

int main(int count, char **values)
{
    CHECK(count == 2);
    for (unsigned char child = 1; child <= CHILDREN; child++) {
        pid_t id = fork();
        CHECK(id >= 0);
        if (id == 0) {
            work(atol(values[1]), child);
            _exit(0);
        }
    }
    for (int child = 0; child < CHILDREN; child++) {
        int status;
        CHECK(wait(&status) > 0 && status == 0);
    }
    puts("busy turns ok");
}
