/*
 * The interval timer of real time (setitimer, alarm). A thread of the LibOS's own waits for it, made when the
 * first timer is set: it has a TCS, but the application does not see it. CPU time timers are refused.
 */
#include "time/time.h"

enum { ITIMER_REAL = 0 };
#define SI_KERNEL 0x80

struct interval_timer {
    struct timeval interval, value;
};

static struct {
    struct mutex lock;
    uint64_t deadline; /* of CLOCK_MONOTONIC; 0: not set */
    uint64_t interval; /* ns; 0: once */
    struct task *service;
} timer;

/* The time to sleep; when the timer has run out, it is set anew and SIGALRM is sent. */
static uint64_t serve(void)
{
    mutex_lock(&timer.lock);
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC), timeout = NO_TIMEOUT;
    bool expired = timer.deadline && now >= timer.deadline;
    if (expired) {
        timer.deadline = timer.interval ? now + timer.interval : 0;
    }
    if (timer.deadline) {
        timeout = timer.deadline - now;
    }
    mutex_unlock(&timer.lock);
    if (expired) {
        signal_send_process(&(struct signal_info){.signal = SIGALRM, .code = SI_KERNEL});
    }
    return timeout;
}

static void run_service(void)
{
    for (;;) {
        task_sleep(serve());
    }
}

static uint64_t time_left(uint64_t now)
{
    return timer.deadline > now ? timer.deadline - now : timer.deadline ? 1 : 0;
}

/* Sets the timer; what was left of the old one goes to the other two. */
static int64_t set_timer(uint64_t value, uint64_t interval, uint64_t *old_value, uint64_t *old_interval)
{
    mutex_lock(&timer.lock);
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
    if (!timer.service && value) {
        timer.service = task_start_service(run_service);
    }
    bool done = timer.service || !value;
    *old_value = time_left(now);
    *old_interval = timer.interval;
    if (done) {
        timer.deadline = value ? now + value : 0;
        timer.interval = interval;
    }
    struct task *service = timer.service;
    mutex_unlock(&timer.lock);
    if (service) {
        task_wake(service);
    }
    return done ? 0 : -EAGAIN;
}

/* False: negative or not normalised. Years of 300 and more saturate. */
static bool ns_of(uint64_t *ns, struct timeval time)
{
    if (time.seconds < 0 || time.microseconds < 0 || time.microseconds >= 1000000) {
        return false;
    }
    bool fits = (uint64_t)time.seconds < INT64_MAX / NS_PER_SECOND;
    *ns = fits ? (uint64_t)time.seconds * NS_PER_SECOND + (uint64_t)time.microseconds * 1000 : INT64_MAX;
    return true;
}

static int64_t put_timer(user_address to, uint64_t value, uint64_t interval)
{
    struct interval_timer image = {.interval = timeval_of(interval), .value = timeval_of(value)};
    return copy_to_user(to, &image, sizeof image);
}

int64_t sys_setitimer(const struct arguments *arguments)
{
    struct interval_timer wanted;
    uint64_t value, interval, old_value, old_interval;
    if (arguments->at[0] != ITIMER_REAL) {
        return -EINVAL;
    }
    if (copy_from_user(&wanted, arguments->at[1], sizeof wanted)) {
        return -EFAULT;
    }
    if (!ns_of(&value, wanted.value) || !ns_of(&interval, wanted.interval)) {
        return -EINVAL;
    }
    int64_t error = set_timer(value, interval, &old_value, &old_interval);
    return error || !arguments->at[2] ? error : put_timer(arguments->at[2], old_value, old_interval);
}

int64_t sys_getitimer(const struct arguments *arguments)
{
    if (arguments->at[0] != ITIMER_REAL) {
        return -EINVAL;
    }
    mutex_lock(&timer.lock);
    uint64_t value = time_left(clock_now_ns(CLOCK_MONOTONIC)), interval = timer.interval;
    mutex_unlock(&timer.lock);
    return put_timer(arguments->at[1], value, interval);
}

int64_t sys_alarm(const struct arguments *arguments)
{
    uint64_t old_value, old_interval;
    uint64_t seconds = (uint32_t)arguments->at[0];
    int64_t error = set_timer(seconds * NS_PER_SECOND, 0, &old_value, &old_interval);
    return error ? error : (int64_t)((old_value + NS_PER_SECOND - 1) / NS_PER_SECOND);
}
