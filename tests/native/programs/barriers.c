/* membarrier(2): of two threads that each store and then look at what the other stores, one sees it, though only one has a barrier
 * of its own. argv[1]: rounds. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { QUERY = 0, GLOBAL = 1, PRIVATE_EXPEDITED = 8, REGISTER_PRIVATE_EXPEDITED = 16 };

static volatile int mine, yours, seen, stop;
static volatile long turn, done;

static long membarrier(int command, unsigned flags)
{
    return syscall(SYS_membarrier, command, flags, 0);
}

static void *quick(void *unused)
{
    for (long round = 1; !stop; round++) {
        while (turn < round && !stop) {
        }
        yours = 1;
        __asm__ volatile("" ::: "memory"); /* the compiler alone keeps the order */
        seen = mine;
        __asm__ volatile("" ::: "memory");
        done = round;
    }
    return unused;
}

static void *asleep(void *unused)
{
    while (!stop) {
        usleep(20000);
    }
    return unused;
}

int main(int count, char **values)
{
    long rounds = count > 1 ? atol(values[1]) : 200;
    pthread_t threads[2];
    long commands = membarrier(QUERY, 0);
    CHECK((commands & PRIVATE_EXPEDITED) && (commands & REGISTER_PRIVATE_EXPEDITED) && (commands & GLOBAL));
    FAILS(membarrier(QUERY, 77), EINVAL);
    FAILS(membarrier(1 << 20, 0), EINVAL);
    FAILS(membarrier(PRIVATE_EXPEDITED, 0), EPERM);
    CHECK(membarrier(REGISTER_PRIVATE_EXPEDITED, 0) == 0);
    CHECK(membarrier(PRIVATE_EXPEDITED, 0) == 0 && membarrier(GLOBAL, 0) == 0);
    CHECK(pthread_create(&threads[0], NULL, quick, NULL) == 0 && pthread_create(&threads[1], NULL, asleep, NULL) == 0);
    for (long round = 1; round <= rounds; round++) {
        mine = yours = 0;
        turn = round;
        mine = 1;
        CHECK(membarrier(PRIVATE_EXPEDITED, 0) == 0);
        int saw = yours;
        while (done < round) {
        }
        CHECK(saw || seen);
    }
    stop = 1;
    CHECK(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
    puts("barriers ok");
}
