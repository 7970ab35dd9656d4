/*
 * CLOCK_MONOTONIC against the time stamp counter, as the kernel's vDSO has it. The kernel does not tell its factor, so it is measured over the last
 * second or two, and at the start over the time that there was: a reading is uncertain by some 50 ns, and what is counted on from it by a few times that,
 * which is less than the clocks' own jitter.
 */
#define _GNU_SOURCE
#include "host_time.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <x86intrin.h>

#define NS_PER_SECOND 1000000000ULL
#define VALID_NS 10000000ULL            /* also how late a step of CLOCK_REALTIME may be seen */
#define VALID_PER_BASELINE 5U           /* how much longer a factor may be used than it was measured */
#define BASELINE_MIN_NS 100000ULL       /* below it the factor is too uncertain */
#define BASELINE_COMPARED_NS 2000000ULL /* below it, to tell whether the rate has changed */
#define BASELINE_RENEWED_NS NS_PER_SECOND
#define RATE_TOLERANCE 1000U            /* a change by more than 1/1000: the machine slept or moved */
#define TRIES 4
#define GOOD_GAP 200U                   /* ticks that a reading takes */

#define CPUID_POWER_MANAGEMENT 0x80000007U /* SDM volume 3, 18.17.4: EDX bit 8, invariant TSC */
#define INVARIANT_COUNTER (1U << 8)

struct reading {
    uint64_t counter, ns;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct reading older, newer; /* CLOCK_MONOTONIC */
static uint64_t last_multiplier;
static bool is_usable;

/* Does the kernel itself go by the counter? */
static bool kernel_uses_counter(void)
{
    static const char *const by_counter[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "xen"};
    char name[64] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (!file) {
        return true; /* not told: CPUID decides */
    }
    bool read = fscanf(file, "%63s", name) == 1, found = false;
    fclose(file);
    for (size_t index = 0; read && index < sizeof(by_counter) / sizeof(by_counter[0]); index++) {
        found = found || strcmp(name, by_counter[index]) == 0;
    }
    return found;
}

static bool counter_is_usable(void)
{
    uint32_t a, b, c, d;
    int mode = 0;
    bool invariant = __get_cpuid(CPUID_POWER_MANAGEMENT, &a, &b, &c, &d) && (d & INVARIANT_COUNTER);
    bool allowed = prctl(PR_GET_TSC, &mode, 0, 0, 0) == 0 && mode == PR_TSC_ENABLE;
    return invariant && allowed && kernel_uses_counter();
}

static uint64_t read_counter(void)
{
    _mm_lfence();
    return __rdtsc();
}

/* The best of some readings: one that was not interrupted. */
static struct reading read_clock(clockid_t clock)
{
    struct reading best = {0};
    uint64_t least = UINT64_MAX;
    for (int try = 0; try < TRIES && least > GOOD_GAP; try++) {
        struct timespec time;
        uint64_t before = read_counter();
        clock_gettime(clock, &time);
        uint64_t gap = read_counter() - before;
        if (gap < least) {
            least = gap;
            best = (struct reading){before + gap / 2, (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec};
        }
    }
    return best;
}

static void restart(struct reading now)
{
    older = newer = now;
    last_multiplier = 0;
}

struct rate {
    uint64_t multiplier; /* 0: not known now */
    uint64_t valid_ns;
};

static struct rate rate_at(struct reading now)
{
    const struct rate unknown = {0};
    if (now.counter <= newer.counter || now.ns < newer.ns) {
        restart(now);
        return unknown;
    }
    uint64_t baseline_ns = now.ns - older.ns;
    if (baseline_ns < BASELINE_MIN_NS) {
        return unknown;
    }
    uint64_t multiplier = (uint64_t)(((unsigned __int128)baseline_ns << 32) / (now.counter - older.counter));
    if (baseline_ns < BASELINE_COMPARED_NS) {
        return (struct rate){multiplier, VALID_PER_BASELINE * baseline_ns};
    }
    uint64_t difference = multiplier > last_multiplier ? multiplier - last_multiplier : last_multiplier - multiplier;
    if (last_multiplier && difference > last_multiplier / RATE_TOLERANCE) {
        restart(now);
        return unknown;
    }
    last_multiplier = multiplier;
    if (now.ns - newer.ns > BASELINE_RENEWED_NS) {
        older = newer;
        newer = now;
    }
    return (struct rate){multiplier, VALID_NS};
}

void host_time_start(void)
{
    is_usable = counter_is_usable();
    restart(read_clock(CLOCK_MONOTONIC));
}

void host_time_fill(struct host_time *time)
{
    struct host_time made = {0};
    if (is_usable) {
        struct reading monotonic = read_clock(CLOCK_MONOTONIC);
        pthread_mutex_lock(&mutex);
        struct rate rate = rate_at(monotonic);
        pthread_mutex_unlock(&mutex);
        made.multiplier = rate.multiplier;
        made.counter = monotonic.counter;
        made.clocks[HOST_TIME_MONOTONIC] = monotonic.ns;
        static const struct {
            clockid_t clock;
            enum host_time_clock index;
        } others[] = {{CLOCK_REALTIME, HOST_TIME_REALTIME}, {CLOCK_BOOTTIME, HOST_TIME_BOOTTIME}};
        for (size_t at = 0; at < sizeof(others) / sizeof(others[0]); at++) {
            struct reading reading = read_clock(others[at].clock);
            uint64_t passed = (uint64_t)((unsigned __int128)(reading.counter - made.counter) * made.multiplier >> 32);
            made.clocks[others[at].index] = reading.ns - passed;
        }
        made.valid_for = made.multiplier ? (uint64_t)(((unsigned __int128)rate.valid_ns << 32) / made.multiplier) : 0;
    }
    *time = made;
}

void host_time_renew(struct host_time *time)
{
    uint64_t valid_for = time->valid_for; /* 0: nobody has asked, or there is no counter */
    if (valid_for != 0 && __rdtsc() - time->counter > valid_for / 2) {
        host_time_fill(time);
    }
}
