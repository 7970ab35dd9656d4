/*
 * Time comes from the host and is believed, except that monotonic clocks never go back. What it said last (exchange.time) is counted on from by the
 * time stamp counter for as long as the host says, so that most readings need no OCALL: the host's word as well, and no less of it than an answer.
 */
#include "boundary/clock.h"

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

struct clock_state clock_state;

_Static_assert(offsetof(struct exchange, time.counter) == EXCHANGE_TIME_COUNTER, "vdso.S");
_Static_assert(offsetof(struct exchange, time.valid_for) == EXCHANGE_TIME_VALID_FOR, "vdso.S");
_Static_assert(offsetof(struct exchange, time.multiplier) == EXCHANGE_TIME_MULTIPLIER, "vdso.S");
_Static_assert(offsetof(struct exchange, time.clocks) == EXCHANGE_TIME_CLOCKS, "vdso.S");
_Static_assert(offsetof(struct thread, exchange) == THREAD_EXCHANGE_OF_VDSO, "vdso.S");
_Static_assert(offsetof(struct clock_state, counter_is_missing) == CLOCK_STATE_COUNTER_IS_MISSING, "vdso.S");
_Static_assert(offsetof(struct clock_state, latest) == CLOCK_STATE_LATEST, "vdso.S");

/* uint64_t read_counter(void): RDTSC, which waits for what comes before it; 0 where it faults. */
__asm__(".text\n"
        ".type read_counter, @function\n"
        "read_counter:\n"
        "    lfence\n"
        "read_counter_fault:\n"
        "    rdtsc\n"
        "    shl $32, %rdx\n"
        "    or %rdx, %rax\n"
        "    ret\n"
        "read_counter_fixup:\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        ".size read_counter, . - read_counter\n");
uint64_t read_counter(void);
extern const char read_counter_fault[], read_counter_fixup[];

void clock_counter_faults(void)
{
    __atomic_store_n(&clock_state.counter_is_missing, 1, __ATOMIC_RELAXED);
}

bool clock_fix_up(uint64_t *rip)
{
    if (*rip != (uint64_t)read_counter_fault) {
        return false;
    }
    clock_counter_faults();
    *rip = (uint64_t)read_counter_fixup;
    return true;
}

/* Monotonic clocks never go back. The real one may, by a step, but not by what the host's readings are uncertain. */
static uint64_t clamp(enum host_time_clock clock, uint64_t now)
{
    uint64_t *newest = &clock_state.latest[clock];
    uint64_t seen = __atomic_load_n(newest, __ATOMIC_RELAXED);
    do {
        if (seen >= now && (clock != HOST_TIME_REALTIME || seen - now < REALTIME_STEP)) {
            return seen;
        }
    } while (!__atomic_compare_exchange_n(newest, &seen, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return now;
}

/* False: the host has to be asked. */
static bool count_on(enum host_time_clock clock, uint64_t *now)
{
    const volatile struct host_time *time = &current_thread()->exchange->time;
    if (__atomic_load_n(&clock_state.counter_is_missing, __ATOMIC_RELAXED)) {
        return false;
    }
    uint64_t passed = read_counter() - time->counter;
    if (passed >= time->valid_for) { /* also what lies before the reading */
        return false;
    }
    unsigned __int128 ns = ((unsigned __int128)passed * time->multiplier >> 32) + time->clocks[clock];
    *now = (uint64_t)ns;
    return ns <= INT64_MAX;
}

uint64_t clock_counter(void)
{
    return __atomic_load_n(&clock_state.counter_is_missing, __ATOMIC_RELAXED) ? 0 : read_counter();
}

#define ASKED_MOST 64U
#define TICKS_PER_NS_MOST 16U /* no faster counter is believed */

uint64_t clock_ticks(uint32_t ns)
{
    static uint32_t asked;
    const volatile struct host_time *time = &current_thread()->exchange->time;
    uint64_t multiplier = time->multiplier;
    if (multiplier == 0 && __atomic_load_n(&asked, __ATOMIC_RELAXED) < ASKED_MOST) { /* in vain where there is no counter to go by */
        __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
        host_clock(CLOCK_MONOTONIC);
        multiplier = time->multiplier;
    }
    uint64_t ticks = multiplier ? ((uint64_t)ns << 32) / multiplier : 0, most = (uint64_t)ns * TICKS_PER_NS_MOST;
    return ticks < most ? ticks : most;
}

uint64_t host_clock(uint32_t clock)
{
    int64_t now = ocall_make(NULL, OCALL_CLOCK, clock, 0, 0, 0);
    return now < 0 ? 0 : (uint64_t)now;
}

uint64_t host_thread_clock(uint32_t host_index)
{
    int64_t now = ocall_make(NULL, OCALL_THREAD_CLOCK, host_index, 0, 0, 0);
    return now < 0 ? 0 : (uint64_t)now;
}

static uint64_t read_clock(uint8_t host, enum host_time_clock clock)
{
    uint64_t now;
    return clamp(clock, count_on(clock, &now) ? now : host_clock(host));
}

uint64_t clock_now_ns(enum clock_id clock)
{
    uint8_t host = host_clocks[clock];
    switch (host) {
    case CLOCK_REALTIME:
        return read_clock(host, HOST_TIME_REALTIME);
    case CLOCK_MONOTONIC:
        return read_clock(host, HOST_TIME_MONOTONIC);
    case CLOCK_BOOTTIME:
        return read_clock(host, HOST_TIME_BOOTTIME);
    default:
        return host_clock(host);
    }
}
