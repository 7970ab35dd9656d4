/* membarrier(2): of two threads that each store and then look at what the other stores, one sees it, though only one has a barrier
 * of its own; several that ask for barriers at once, of one program and of a forked one, do not wait for each other.
 * argv[1]: rounds. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static void *ask(void *rounds)
{
    for (long round = 0; round < (long)rounds; round++) {
        CHECK(membarrier(PRIVATE_EXPEDITED, 0) == 0 && membarrier(GLOBAL, 0) == 0);
    }
    return NULL;
}

static void ask_at_once(long rounds)
{
    pthread_t threads[3];
    for (unsigned at = 0; at < 3; at++) {
        CHECK(pthread_create(&threads[at], NULL, ask, (void *)rounds) == 0);
    }
    ask((void *)rounds);
    for (unsigned at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
}

int main(int count, char **values)
{
    long rounds = count > 1 ? atol(values[1]) : 200;
    pthread_t threads[2];
    if (rounds == 0) { /* execve() forgets who is registered; fork() does not */
        FAILS(membarrier(PRIVATE_EXPEDITED, 0), EPERM);
        return 0;
    }
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
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    ask_at_once(rounds);
    if (child == 0) {
        execl("/proc/self/exe", "barriers", "0", NULL);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("barriers ok");
}
