/* Ends while its other threads are in the middle of what makes no system call. */
#include <pthread.h>
#include <stdlib.h>

#define THREADS 3

static volatile unsigned running;

static void *spin(void *unused)
{
    __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
    for (;;) {
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    for (int index = 0; index < THREADS; index++) {
        if (pthread_create(&thread, NULL, spin, NULL) != 0) {
            return 1;
        }
    }
    while (running < THREADS) {
    }
    return 23;
}
