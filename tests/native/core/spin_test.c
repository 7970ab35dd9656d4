/* Waiting inside: only while processors are free, never longer than is allowed, and not at all after wakes that came late. */
#include "wait/spin.h"

#include "check.h"

static uint64_t now = 1000, step = 100; /* ticks of 1 ns; each look at the counter takes `step` */
static uint64_t wake_at;
static bool attention, counter_is_missing;
static struct sleeper sleeper;

uint64_t clock_counter(void)
{
    now += step;
    if (wake_at && now >= wake_at) {
        sleeper.state = TASK_WOKEN;
    }
    return counter_is_missing ? 0 : now;
}

uint64_t clock_ticks(uint32_t ns)
{
    return ns;
}

bool attention_is_pending(void)
{
    return attention;
}

/* A wait that ends after `ns`; -> how much of it was spent inside. A sleep takes 20 us to wake from. */
static uint64_t wait_for(uint64_t ns)
{
    uint64_t start = now, timeout = NO_TIMEOUT;
    sleeper.state = TASK_AWAKE;
    wake_at = start + ns;
    struct spin spin = spin_for_wake(&sleeper, &timeout);
    uint64_t inside = now - start;
    bool sleeps = sleeper.state == TASK_AWAKE;
    CHECK(timeout == NO_TIMEOUT);
    if (sleeps) {
        now = (wake_at > now ? wake_at : now) + 20000;
    }
    spin_learn(&sleeper, spin, sleeps);
    return inside;
}

#define LONGEST 33000U

/* Short waits, until they are spent inside. */
static void learn(void)
{
    for (int i = 0; i < 300; i++) {
        wait_for(5000);
    }
    CHECK(sleeper.state == TASK_WOKEN && wait_for(20000) >= 20000);
}

/* A sleep that nobody ends. */
static bool sleep_is_over_inside(uint64_t ns)
{
    uint64_t timeout = ns;
    sleeper.state = TASK_AWAKE;
    wake_at = 0;
    struct spin spin = spin_for_wake(&sleeper, &timeout);
    spin_learn(&sleeper, spin, true);
    return spin.is_over;
}

int main(void)
{
    spin_start(2);
    spin_count(2);
    learn();
    CHECK(wait_for(10000000) <= LONGEST); /* never for long */

    uint64_t inside = 0;
    for (int i = 0; i < 10000; i++) {
        inside += wait_for(10000000);
    }
    CHECK(inside <= 20 * LONGEST + 10000 * 200); /* waits that are long burn nothing but the looks at the counter */

    learn();
    spin_count(1); /* a third thread wants a processor */
    CHECK(wait_for(20000) < 1000);
    spin_count(-1);
    learn();
    attention = true;
    CHECK(wait_for(20000) < 1000);
    attention = false;

    learn();
    step = 25000; /* the host has taken the processor away */
    wait_for(80000);
    step = 100;
    CHECK(wait_for(20000) < 1000 && wait_for(20000) < 1000);
    learn();

    uint64_t timeout = 2000; /* not beyond the timeout, and what is left of it is told */
    sleeper.state = TASK_AWAKE;
    wake_at = 0;
    uint64_t start = now;
    CHECK(spin_for_wake(&sleeper, &timeout).is_over && now - start <= 2500 && timeout == 0);

    for (int i = 0; i < 1000; i++) { /* a short sleep is over inside, whatever was learned of waits */
        wait_for(10000000);
        CHECK(sleep_is_over_inside(20000));
    }
    CHECK(!sleep_is_over_inside(100000)); /* of others, nobody looks at the time inside */
    step = 25000;
    CHECK(sleep_is_over_inside(20000)); /* but not again, where the host takes the processor away */
    step = 100;
    CHECK(!sleep_is_over_inside(20000) && !sleep_is_over_inside(20000));

    counter_is_missing = true;
    CHECK(wait_for(20000) < 1000);
    counter_is_missing = false;
    spin_start(1);
    CHECK(wait_for(20000) < 1000 && wait_for(20000) < 1000); /* one processor: nobody else could wake it meanwhile */
    return 0;
}
