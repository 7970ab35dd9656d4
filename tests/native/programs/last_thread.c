/* The main thread ends at once, before the other has begun: the process lives on until that one ends. */
#include "check.h"

#include <pthread.h>
#include <unistd.h>

static void *outlive(void *argument)
{
    usleep(20000);
    puts("last thread");
    return argument;
}

int main(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, outlive, NULL) == 0);
    pthread_exit(NULL);
}
