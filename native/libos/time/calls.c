/* System calls about time. */
#include "time/time.h"

#define CLOCK_TICKS 100 /* of times(2), a second */
#define TIMER_ABSTIME 1

/* Linux encodes CPU clocks of a process or thread in negative ids (posix-timers_types.h): bit 2 says
 * thread. */
static bool clock_is_valid(int32_t id, enum clock_id *clock)
{
    if (id < 0) {
        *clock = id & 4 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID;
        return true;
    }
    *clock = (enum clock_id)id;
    return id <= CLOCK_BOOTTIME;
}

int64_t sys_clock_gettime(const struct arguments *arguments)
{
    enum clock_id clock;
    if (!clock_is_valid((int32_t)arguments->at[0], &clock)) {
        return -EINVAL;
    }
    struct timespec now = timespec_of(clock_now_ns(clock));
    return copy_to_user(arguments->at[1], &now, sizeof now);
}

int64_t sys_clock_getres(const struct arguments *arguments)
{
    enum clock_id clock;
    if (!clock_is_valid((int32_t)arguments->at[0], &clock)) {
        return -EINVAL;
    }
    bool is_coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    struct timespec resolution = {.nanoseconds = is_coarse ? 4000000 : 1};
    return arguments->at[1] ? copy_to_user(arguments->at[1], &resolution, sizeof resolution) : 0;
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
static int64_t sleep_until(enum clock_id clock, uint64_t deadline, user_address remaining)
{
    for (;;) {
        uint64_t now = clock_now_ns(clock);
        if (now >= deadline) {
            return 0;
        }
        if (task_sleep(deadline - now) == -EINTR) {
            now = clock_now_ns(clock);
            struct timespec left = timespec_of(deadline > now ? deadline - now : 0);
            return remaining && copy_to_user(remaining, &left, sizeof left) ? -EFAULT : -EINTR;
        }
    }
}

int64_t sys_nanosleep(const struct arguments *arguments)
{
    uint64_t length;
    int error = timeout_from_user(&length, arguments->at[0]);
    return error ? error
                 : sleep_until(CLOCK_MONOTONIC, clock_now_ns(CLOCK_MONOTONIC) + length, arguments->at[1]);
}

int64_t sys_clock_nanosleep(const struct arguments *arguments)
{
    enum clock_id clock;
    uint64_t time;
    if (!clock_is_valid((int32_t)arguments->at[0], &clock) || clock == CLOCK_THREAD_CPUTIME_ID) {
        return -EINVAL;
    }
    int error = timeout_from_user(&time, arguments->at[2]);
    if (error) {
        return error;
    }
    if (arguments->at[1] & TIMER_ABSTIME) {
        return sleep_until(clock, time, 0);
    }
    return sleep_until(clock, clock_now_ns(clock) + time, arguments->at[3]);
}

int64_t sys_times(const struct arguments *arguments)
{
    int64_t ticks[4] = {(int64_t)(clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) / (NS_PER_SECOND / CLOCK_TICKS))};
    if (arguments->at[0] && copy_to_user(arguments->at[0], ticks, sizeof ticks)) {
        return -EFAULT;
    }
    return (int64_t)(clock_now_ns(CLOCK_BOOTTIME) / (NS_PER_SECOND / CLOCK_TICKS));
}

enum { RUSAGE_CHILDREN = -1, RUSAGE_SELF = 0, RUSAGE_THREAD = 1 };

int64_t sys_getrusage(const struct arguments *arguments)
{
    struct {
        struct timeval user, system;
        int64_t others[14];
    } usage = {0};
    switch ((int32_t)arguments->at[0]) {
    case RUSAGE_SELF:
        usage.user = timeval_of(clock_now_ns(CLOCK_PROCESS_CPUTIME_ID));
        break;
    case RUSAGE_THREAD:
        usage.user = timeval_of(clock_now_ns(CLOCK_THREAD_CPUTIME_ID));
        break;
    case RUSAGE_CHILDREN:
        break;
    default:
        return -EINVAL;
    }
    return copy_to_user(arguments->at[1], &usage, sizeof usage);
}
