/* A lock that another thread takes again as soon as it has given it back: who waits gets it all the same. */
#include "wait/spin.h"

#include "check.h"

long syscall(long number, ...);
#define SYS_ARCH_PRCTL 158
#define ARCH_SET_GS 0x1001

static struct thread threads[2];
static struct sleeper sleepers[2];
static struct mutex mutex;
static unsigned sleeps, most_sleeps;
static bool other_has_it;

struct base_upcalls base_upcalls;
struct boundary_upcalls boundary_upcalls;

static void run_as(unsigned at)
{
    threads[at] = (struct thread){.self = &threads[at], .task = (struct task *)&sleepers[at]};
    sleepers[at].thread = &threads[at];
    CHECK(syscall(SYS_ARCH_PRCTL, ARCH_SET_GS, &threads[at]) == 0);
}

/* The first thread sleeps. The other one gives the lock back, and takes it again before a thread that was woken runs. */
int host_wait(uint64_t timeout_ns)
{
    (void)timeout_ns;
    CHECK(++sleeps <= most_sleeps && other_has_it);
    run_as(1);
    mutex_unlock(&mutex);
    other_has_it = mutex.state == 0;
    if (other_has_it) {
        mutex_lock(&mutex);
    }
    run_as(0);
    return 0;
}

void host_wake(uint32_t host_index)
{
    (void)host_index;
}

void host_yield(void)
{
}

void host_note_sleep(uint64_t timeout_ns)
{
    (void)timeout_ns;
}

void spin_start(uint32_t processors)
{
    (void)processors;
}

void spin_count(int32_t change)
{
    (void)change;
}

bool has_free_processor(void)
{
    return false;
}

struct spin spin_for_wake(struct sleeper *sleeper, uint64_t *timeout_ns)
{
    (void)sleeper;
    (void)timeout_ns;
    return (struct spin){0};
}

void spin_learn(struct sleeper *sleeper, struct spin spin, bool slept)
{
    (void)sleeper;
    (void)spin;
    (void)slept;
}

int main(void)
{
    most_sleeps = 3; /* one of them may end at once, for a wake that came before */
    for (int round = 0; round < 10; round++) {
        run_as(1);
        mutex_lock(&mutex);
        other_has_it = true;
        run_as(0);
        sleeps = 0;
        mutex_lock(&mutex);
        CHECK(!other_has_it && sleeps >= 1);
        mutex_unlock(&mutex);
        CHECK(mutex.state == 0 && !mutex.waiters.first && !mutex.is_claimed);
    }
    return 0;
}
