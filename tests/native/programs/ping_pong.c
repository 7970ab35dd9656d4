/* Two threads that wake each other in turn, by a condition and by pipes. */
#include <pthread.h>
#include <unistd.h>

#include "check.h"

#define ROUNDS 2000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;
static int there[2], back[2];

static void play(int own)
{
    pthread_mutex_lock(&mutex);
    for (int round = 0; round < ROUNDS; round++) {
        while (turn != own) {
            pthread_cond_wait(&condition, &mutex);
        }
        turn = !own;
        pthread_cond_signal(&condition);
    }
    pthread_mutex_unlock(&mutex);
}

static void *other(void *unused)
{
    char byte;
    play(1);
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1);
    }
    return unused;
}

int main(void)
{
    char byte = 1;
    pthread_t thread;
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
    play(0);
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
