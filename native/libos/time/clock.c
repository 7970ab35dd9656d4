#include "time/clock.h"

/*
 * The CPU clocks of a process or thread are negative numbers (include/linux/posix-timers_types.h): the complement of
 * its id, a bit that says thread, and what is counted. User and system time are not told apart here.
 */
#define CPUCLOCK_THREAD 4
#define CPUCLOCK_WHAT 3 /* PROF 0, VIRT 1, SCHED 2; 3 is a file descriptor */
#define CPUCLOCK_SHIFT 3

enum { CLOCK_TAI = 11 };

static bool cpu_clock_of_number(int32_t number, struct clock *clock)
{
    int32_t id = ~(number >> CPUCLOCK_SHIFT);
    if ((number & CPUCLOCK_WHAT) == CPUCLOCK_WHAT) {
        return false;
    }
    if (number & CPUCLOCK_THREAD) {
        *clock = (struct clock){.id = CLOCK_THREAD_CPUTIME_ID, .whose = id};
        return id == 0 || task_of_id(id);
    }
    *clock = (struct clock){.id = CLOCK_PROCESS_CPUTIME_ID, .whose = id};
    return id == 0 || process_of_id(id);
}

bool clock_of_number(int32_t number, struct clock *clock)
{
    if (number < 0) {
        return cpu_clock_of_number(number, clock);
    }
    /* leap seconds are not told: TAI is as far from UTC as on a machine where nobody has set it */
    *clock = (struct clock){.id = number == CLOCK_TAI ? CLOCK_REALTIME : (enum clock_id)number};
    return number <= CLOCK_BOOTTIME || number == CLOCK_TAI;
}

static bool read_thread(int32_t id, uint64_t *now)
{
    const struct task *task = task_of_id(id);
    const struct thread *thread = task ? __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST) : NULL;
    *now = thread ? host_thread_clock(thread->host_index) : 0;
    return task;
}

static bool read_process(int32_t id, uint64_t *now)
{
    struct process *process = id ? process_of_id(id) : current_process();
    *now = process ? usage_clock(process) : 0;
    return process;
}

bool clock_read(const struct clock *clock, uint64_t *now)
{
    if (clock->id == CLOCK_PROCESS_CPUTIME_ID) {
        return read_process(clock->whose, now);
    }
    if (clock->whose && clock->whose != task_id(current_task())) {
        return read_thread(clock->whose, now);
    }
    *now = clock_now_ns(clock->id);
    return true;
}

bool ns_of_timespec(uint64_t *ns, const struct timespec *time)
{
    if (time->seconds < 0 || time->nanoseconds < 0 || time->nanoseconds >= (int64_t)NS_PER_SECOND) {
        return false;
    }
    bool fits = (uint64_t)time->seconds < INT64_MAX / NS_PER_SECOND;
    *ns = fits ? (uint64_t)time->seconds * NS_PER_SECOND + (uint64_t)time->nanoseconds : INT64_MAX;
    return true;
}
