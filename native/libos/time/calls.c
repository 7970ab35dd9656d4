/* System calls about time. */
#include "time/clock.h"

#define CLOCK_TICKS 100 /* of times(2), a second */
#define TIMER_ABSTIME 1
#define COARSE_RESOLUTION 4000000 /* ns: 250 ticks a second */

int64_t sys_clock_gettime(const struct arguments *arguments)
{
    struct clock clock;
    uint64_t ns;
    if (!clock_of_number((int32_t)arguments->at[0], &clock) || !clock_read(&clock, &ns)) {
        return -EINVAL;
    }
    struct timespec now = timespec_of(ns);
    return copy_to_user(arguments->at[1], &now, sizeof now);
}

static bool is_coarse(const struct clock *clock)
{
    return clock->id == CLOCK_REALTIME_COARSE || clock->id == CLOCK_MONOTONIC_COARSE;
}

int64_t sys_clock_getres(const struct arguments *arguments)
{
    struct clock clock;
    if (!clock_of_number((int32_t)arguments->at[0], &clock)) {
        return -EINVAL;
    }
    struct timespec resolution = {.nanoseconds = is_coarse(&clock) ? COARSE_RESOLUTION : 1};
    return arguments->at[1] ? copy_to_user(arguments->at[1], &resolution, sizeof resolution) : 0;
}

/* Nobody may set the time, which is the host's. */
int64_t sys_clock_settime(const struct arguments *arguments)
{
    struct timespec wanted;
    uint64_t ns;
    int32_t number = (int32_t)arguments->at[0];
    struct clock clock;
    if (number != CLOCK_REALTIME && number >= 0) {
        return -EINVAL;
    }
    if (copy_from_user(&wanted, arguments->at[1], sizeof wanted)) {
        return -EFAULT;
    }
    if (number < 0) { /* what was used, nobody sets (posix_cpu_clock_set() of Linux) */
        return clock_of_number(number, &clock) ? -EPERM : -EINVAL;
    }
    return ns_of_timespec(&ns, &wanted) ? -EPERM : -EINVAL;
}

int64_t sys_settimeofday(const struct arguments *arguments)
{
    struct timeval wanted = {0};
    if (arguments->at[0] && copy_from_user(&wanted, arguments->at[0], sizeof wanted)) {
        return -EFAULT;
    }
    return wanted.microseconds < 0 || wanted.microseconds >= 1000000 ? -EINVAL : -EPERM;
}

int64_t sys_gettimeofday(const struct arguments *arguments)
{
    struct timeval now = timeval_of(clock_now_ns(CLOCK_REALTIME));
    uint64_t zone = 0; /* UTC; struct timezone is two ints */
    if (arguments->at[0] && copy_to_user(arguments->at[0], &now, sizeof now)) {
        return -EFAULT;
    }
    return arguments->at[1] ? copy_to_user(arguments->at[1], &zone, sizeof zone) : 0;
}

int64_t sys_time(const struct arguments *arguments)
{
    int64_t now = (int64_t)(clock_now_ns(CLOCK_REALTIME) / NS_PER_SECOND);
    return arguments->at[0] && copy_to_user(arguments->at[0], &now, sizeof now) ? -EFAULT : now;
}

/* Sleep until `deadline` of `clock`; what was left when a signal came goes to `remaining` (0: nobody wants
 * it). */
static int64_t sleep_until(const struct clock *clock, uint64_t deadline, user_address remaining)
{
    for (;;) {
        uint64_t now;
        if (!clock_read(clock, &now) || now >= deadline) {
            return 0;
        }
        if (task_sleep(deadline - now) == -EINTR) {
            clock_read(clock, &now);
            struct timespec left = timespec_of(deadline > now ? deadline - now : 0);
            return remaining && copy_to_user(remaining, &left, sizeof left) ? -EFAULT : -EINTR;
        }
    }
}

static int64_t sleep_for(const struct clock *clock, uint64_t length, user_address remaining)
{
    uint64_t now;
    return clock_read(clock, &now) ? sleep_until(clock, now + length, remaining) : -EINVAL;
}

int64_t sys_nanosleep(const struct arguments *arguments)
{
    uint64_t length;
    int error = timeout_from_user(&length, arguments->at[0]);
    return error ? error : sleep_for(&(struct clock){.id = CLOCK_MONOTONIC}, length, arguments->at[1]);
}

int64_t sys_clock_nanosleep(const struct arguments *arguments)
{
    struct clock clock;
    uint64_t time;
    if (!clock_of_number((int32_t)arguments->at[0], &clock)) {
        return -EINVAL;
    }
    bool is_own = clock.id == CLOCK_THREAD_CPUTIME_ID && (!clock.whose || clock.whose == task_id(current_task()));
    if (is_own && (int32_t)arguments->at[0] < 0) {
        return -EINVAL; /* it would sleep for ever */
    }
    if (is_own || is_coarse(&clock) || clock.id == CLOCK_MONOTONIC_RAW) {
        return -EOPNOTSUPP;
    }
    int error = timeout_from_user(&time, arguments->at[2]);
    if (error) {
        return error;
    }
    return arguments->at[1] & TIMER_ABSTIME ? sleep_until(&clock, time, 0) : sleep_for(&clock, time, arguments->at[3]);
}

static int64_t clock_ticks_of(uint64_t ns)
{
    return (int64_t)(ns / (NS_PER_SECOND / CLOCK_TICKS));
}

int64_t sys_times(const struct arguments *arguments)
{
    struct cpu_use own = usage_of_process(current_process()), children = current_process()->children_use;
    int64_t ticks[4] = {
        clock_ticks_of(own.user), clock_ticks_of(own.system), clock_ticks_of(children.user), clock_ticks_of(children.system),
    };
    if (arguments->at[0] && copy_to_user(arguments->at[0], ticks, sizeof ticks)) {
        return -EFAULT;
    }
    return clock_ticks_of(clock_now_ns(CLOCK_BOOTTIME));
}

enum { RUSAGE_CHILDREN = -1, RUSAGE_SELF = 0, RUSAGE_THREAD = 1 };

int64_t sys_getrusage(const struct arguments *arguments)
{
    struct cpu_use use;
    uint64_t peak = pages_peak();
    switch ((int32_t)arguments->at[0]) {
    case RUSAGE_SELF:
        use = usage_of_process(current_process());
        break;
    case RUSAGE_THREAD:
        use = usage_of_thread();
        break;
    case RUSAGE_CHILDREN:
        use = current_process()->children_use;
        peak = 0;
        break;
    default:
        return -EINVAL;
    }
    return usage_to_user(arguments->at[1], &use, peak);
}
