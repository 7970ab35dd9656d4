/* The clocks, by the vDSO and by system calls alike: each agrees with the other, and monotonic ones never go back, whichever thread looks. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define THREADS 4
#define READINGS 200000
#define SECOND 1000000000ULL

static uint64_t ns_of(struct timespec time)
{
    CHECK(time.tv_nsec >= 0 && time.tv_nsec < (long)SECOND);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t by_library(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return ns_of(time);
}

static uint64_t by_call(clockid_t clock)
{
    struct timespec time;
    CHECK(syscall(SYS_clock_gettime, clock, &time) == 0);
    return ns_of(time);
}

static uint64_t latest;

static void *look(void *unused)
{
    for (int i = 0; i < READINGS; i++) {
        uint64_t before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
        uint64_t now = by_library(CLOCK_MONOTONIC);
        CHECK(now >= before);
        while (before < now && !__atomic_compare_exchange_n(&latest, &before, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        }
    }
    return unused;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, look, NULL) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static void check_agreement(clockid_t clock)
{
    uint64_t seen = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t next = i % 2 ? by_call(clock) : by_library(clock);
        CHECK(next >= seen && (seen == 0 || next - seen < 20 * SECOND));
        seen = next;
    }
}

/* A sleep takes as long as was asked for, by both. */
static void check_sleep(clockid_t clock)
{
    uint64_t before = by_library(clock);
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 30000000}, NULL) == 0);
    uint64_t passed = by_library(clock) - before;
    CHECK(passed >= 29000000 && passed < 60 * SECOND);
}

int main(void)
{
    struct timespec time;
    struct timeval value;
    struct timezone zone = {1, 1};
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0 && *(const uint32_t *)getauxval(AT_SYSINFO_EHDR) == 0x464C457F);
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        check_agreement(clocks[i]);
        check_sleep(clocks[i]);
    }
    CHECK(by_library(CLOCK_REALTIME_COARSE) / SECOND <= by_library(CLOCK_REALTIME) / SECOND + 1);
    CHECK(by_library(CLOCK_MONOTONIC_COARSE) <= by_library(CLOCK_MONOTONIC));
    CHECK(by_library(CLOCK_PROCESS_CPUTIME_ID) > 0 && by_library(CLOCK_THREAD_CPUTIME_ID) > 0);
    CHECK(clock_gettime(77, &time) == -1 && errno == EINVAL);
    time = (struct timespec){0, 1};
    FAILS(syscall(SYS_clock_settime, -6L, &time), EPERM); /* the caller's process, and thread, by numbers that say so */
    FAILS(syscall(SYS_clock_nanosleep, -2L, 0L, &time, NULL), EINVAL);
    FAILS(syscall(SYS_clock_nanosleep, 3L, 0L, &time, NULL), EOPNOTSUPP);
    uint64_t now = by_library(CLOCK_REALTIME);
    CHECK(gettimeofday(&value, (void *)&zone) == 0);
    CHECK((uint64_t)value.tv_sec - now / SECOND <= 20 && value.tv_usec >= 0 && value.tv_usec < 1000000);
    CHECK(syscall(SYS_gettimeofday, NULL, &zone) == 0 && zone.tz_minuteswest == 0);
    CHECK((uint64_t)syscall(SYS_time, NULL) - now / SECOND <= 20);
    check_threads();
    return 0;
}
