/* sleeps COUNT: so many sleeps of a millisecond, and a look at the clock after each: none was shorter, and clocks never go back. */
#include "check.h"

#include <time.h>

static long long now(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int count, char **arguments)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    long long before = now();
    for (int left = count > 1 ? atoi(arguments[1]) : 100; left > 0; left--) {
        CHECK(nanosleep(&millisecond, NULL) == 0);
        long long after = now();
        CHECK(after - before >= millisecond.tv_nsec);
        before = after;
    }
    return 0;
}
