/*
 * A sleep leaves the enclave and a wake leaves it once more, which costs many times what threads need to answer each other. So a thread that is about to
 * sleep looks inside for a moment whether it is woken, while there are no more threads that want a processor than processors. Each thread learns
 * whether that is worth it: every time in vain doubles how many of its next sleeps it does not try, every success halves it. Whoever loses the processor
 * while it looks has found out that the host has none to spare, and does not try for long. A thread that waits long burns next to nothing. A sleep whose
 * time is over while it looks is never in vain: run-time systems have a thread that sleeps for 20 us, again and again.
 */
#include "wait/spin.h"

#define SPIN_NS 32000U      /* about what a sleep and a wake cost: a sleep that is no longer is spent inside */
#define PREEMPTED_NS 20000U /* between two looks */
#define SOON_NS 60000U      /* a sleep as short as this might have been spent inside: the host's wake is part of it */
#define SOON_COUNTS 8U
#define PENALTY_MAX 1023U
#define SHORT_PENALTY 255U /* for sleeps that are over inside */
#define PAUSES 8
#define YIELDS_APART_NS 100000U /* who yields more often than this waits for somebody, who may be outside */

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

bool has_free_processor(void)
{
    return processor_limit > 1 && __atomic_load_n(&awake, __ATOMIC_RELAXED) <= (int32_t)processor_limit;
}

static void pause_shortly(void)
{
    for (int pause = 0; pause < PAUSES; pause++) {
        __builtin_ia32_pause();
    }
}

bool task_yields_to_nobody(void)
{
    struct sleeper *sleeper = sleeper_of(current_task());
    uint64_t now = processor_limit > 1 ? clock_counter() : 0, before = sleeper->yielded;
    sleeper->yielded = now;
    bool is_alone = now != 0 && now - before > clock_ticks(YIELDS_APART_NS) && has_free_processor();
    if (is_alone) {
        pause_shortly();
    }
    return is_alone;
}

static bool is_to_wait(const struct sleeper *sleeper)
{
    return __atomic_load_n(&sleeper->state, __ATOMIC_ACQUIRE) == TASK_AWAKE && !attention_is_pending() && has_free_processor();
}

struct spin spin_for_wake(struct sleeper *sleeper, uint64_t *timeout_ns)
{
    struct spin spin = {.start = processor_limit > 1 ? clock_counter() : 0};
    bool is_short = *timeout_ns <= SPIN_NS, is_tried = is_short ? !sleeper->short_skip : !sleeper->spin_skip;
    uint32_t wanted = is_short ? (uint32_t)*timeout_ns : SPIN_NS;
    uint64_t limit = spin.start && is_tried ? clock_ticks(wanted) : 0, last = spin.start;
    sleeper->short_skip -= is_short && !is_tried;
    while (limit && is_to_wait(sleeper)) {
        spin.tried = true;
        pause_shortly();
        uint64_t now = clock_counter();
        spin.preempted |= now - last > clock_ticks(PREEMPTED_NS);
        last = now;
        if (now - spin.start >= limit) {
            *timeout_ns -= *timeout_ns == NO_TIMEOUT ? 0 : wanted;
            spin.is_over = is_short;
            break;
        }
    }
    return spin;
}

void spin_learn(struct sleeper *sleeper, struct spin spin, bool slept)
{
    uint32_t penalty = sleeper->spin_penalty;
    if (spin.is_over) {
        sleeper->short_skip = spin.preempted ? SHORT_PENALTY : 0;
    } else if (spin.tried && !slept && !spin.preempted) {
        penalty /= 2;
    } else if (spin.tried) {
        penalty = spin.preempted || penalty > PENALTY_MAX / 2 ? PENALTY_MAX : 2 * penalty + 1;
        sleeper->spin_skip = (uint16_t)penalty;
    } else if (sleeper->spin_skip) {
        bool was_soon = spin.start && clock_counter() - spin.start < clock_ticks(SOON_NS);
        uint32_t counts = was_soon ? SOON_COUNTS : 1;
        sleeper->spin_skip -= (uint16_t)(counts < sleeper->spin_skip ? counts : sleeper->spin_skip);
    }
    sleeper->spin_penalty = (uint16_t)penalty;
}
