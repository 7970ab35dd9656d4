/* Nanoseconds of a getpid and of a 64-byte write to /dev/null, one line each. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 200000

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(void)
{
    char bytes[64] = {0};
    int null = open("/dev/null", O_WRONLY);
    CHECK(null >= 0);
    double start = now();
    for (int i = 0; i < ROUNDS; i++) {
        getpid();
    }
    printf("getpid %.0f\n", (now() - start) / ROUNDS);
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        if (write(null, bytes, sizeof bytes) != sizeof bytes) {
            return 1;
        }
    }
    printf("write %.0f\n", (now() - start) / ROUNDS);
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        now();
    }
    printf("clock_gettime %.0f\n", (now() - start) / ROUNDS);
    return 0;
}
