/*
 * A sleep leaves the enclave and a wake leaves it once more, which costs many times what threads need to answer each other. So a thread that is about to
 * sleep looks inside for a while whether it is woken: only while there are no more threads that want a processor than processors, and for a time that
 * each thread learns as KVM's halt polling does: it grows while wakes come soon and is gone after a few that do not. A thread that waits long burns nothing.
 */
#include "wait/spin.h"

#define SPIN_LEAST 4000U    /* ns */
#define SPIN_MOST 32000U    /* about what a sleep and a wake cost */
#define SOON 60000U         /* a sleep as short as this would better have been spent inside: the host's wake is part of it */
#define PAUSES 8

static uint32_t processor_limit;
static int32_t awake;

void spin_start(uint32_t processors)
{
    processor_limit = processors;
}

void spin_count(int32_t change)
{
    __atomic_fetch_add(&awake, change, __ATOMIC_RELAXED);
}

static bool has_free_processor(void)
{
    return processor_limit > 1 && __atomic_load_n(&awake, __ATOMIC_RELAXED) <= (int32_t)processor_limit;
}

static bool is_to_wait(const struct sleeper *sleeper)
{
    return __atomic_load_n(&sleeper->state, __ATOMIC_ACQUIRE) == TASK_AWAKE && !attention_is_pending() && has_free_processor();
}

struct spin spin_for_wake(struct sleeper *sleeper, uint64_t *timeout_ns)
{
    struct spin spin = {.start = processor_limit > 1 ? clock_counter() : 0};
    uint32_t wanted = sleeper->spin_ns < *timeout_ns ? sleeper->spin_ns : (uint32_t)*timeout_ns;
    spin.limit = spin.start && wanted ? clock_ticks(wanted) : 0;
    while (spin.limit && is_to_wait(sleeper)) {
        for (int pause = 0; pause < PAUSES; pause++) {
            __builtin_ia32_pause();
        }
        if (clock_counter() - spin.start >= spin.limit) {
            *timeout_ns -= *timeout_ns == NO_TIMEOUT ? 0 : wanted;
            break;
        }
    }
    return spin;
}

void spin_learn(struct sleeper *sleeper, struct spin spin, bool slept)
{
    if (!spin.start) {
        return;
    }
    if (!slept || clock_counter() - spin.start < clock_ticks(SOON)) {
        uint32_t longer = sleeper->spin_ns < SPIN_LEAST ? SPIN_LEAST : sleeper->spin_ns * 2;
        sleeper->spin_ns = longer < SPIN_MOST ? longer : SPIN_MOST;
    } else {
        sleeper->spin_ns = sleeper->spin_ns > SPIN_LEAST ? sleeper->spin_ns / 2 : 0;
    }
}
