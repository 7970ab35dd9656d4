/* Time comes from the host and is believed, except that monotonic clocks never go back. */
#include "boundary/ocall.h"

#define CLOCK_COUNT (CLOCK_BOOTTIME + 1)

/* Which clock of OCALL_CLOCK serves which clock of the application. */
static const uint8_t host_clocks[CLOCK_COUNT] = {
    [CLOCK_REALTIME] = CLOCK_REALTIME,
    [CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
    [CLOCK_PROCESS_CPUTIME_ID] = CLOCK_PROCESS_CPUTIME_ID,
    [CLOCK_THREAD_CPUTIME_ID] = CLOCK_THREAD_CPUTIME_ID,
    [CLOCK_MONOTONIC_RAW] = CLOCK_MONOTONIC,
    [CLOCK_REALTIME_COARSE] = CLOCK_REALTIME,
    [CLOCK_MONOTONIC_COARSE] = CLOCK_MONOTONIC,
    [CLOCK_BOOTTIME] = CLOCK_BOOTTIME,
};

static uint64_t latest[CLOCK_COUNT]; /* of the monotonic clocks */

static uint64_t clamp(uint64_t *newest, uint64_t now)
{
    uint64_t seen = __atomic_load_n(newest, __ATOMIC_RELAXED);
    while (seen < now &&
           !__atomic_compare_exchange_n(newest, &seen, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return seen < now ? now : seen;
}

uint64_t host_clock(uint32_t clock)
{
    int64_t now = ocall_make(NULL, OCALL_CLOCK, clock, 0, 0, 0);
    return now < 0 ? 0 : (uint64_t)now;
}

uint64_t clock_now_ns(enum clock_id clock)
{
    uint8_t host = host_clocks[clock];
    uint64_t now = host_clock(host);
    if (now > INT64_MAX) {
        now = INT64_MAX;
    }
    return host == CLOCK_MONOTONIC || host == CLOCK_BOOTTIME ? clamp(&latest[host], now) : now;
}
