/* Each process's three interval timers: setitimer(2), alarm(2). */
#include "time/interval_timer.h"

#include "time/alarm.h"

enum { ITIMER_REAL = 0, ITIMER_VIRTUAL = 1, ITIMER_PROF = 2, ITIMER_COUNT = 3 };

struct interval_timer {
    struct alarm alarm;
    struct process *process;
    int32_t signal;
    uint64_t interval; /* ns; 0: once */
};

struct interval_timers {
    struct interval_timer at[ITIMER_COUNT];
};

static void ring(struct alarm *alarm, uint64_t now)
{
    struct interval_timer *timer = CONTAINER_OF(alarm, struct interval_timer, alarm);
    uint64_t missed;
    if (timer->interval) {
        alarm_set(alarm, alarm_next(alarm->at, timer->interval, now, &missed));
    }
    const struct signal_info info = {.signal = timer->signal, .code = SI_KERNEL};
    if (clock_counts_use(&alarm->clock)) {
        signal_send_running(timer->process, &info);
    } else {
        signal_send_process(timer->process, &info);
    }
}

/* User and system time are not told apart: all of it counts for both. */
static const struct {
    enum clock_id clock;
    int32_t signal;
} kinds[ITIMER_COUNT] = {
    [ITIMER_REAL] = {CLOCK_MONOTONIC, SIGALRM},
    [ITIMER_VIRTUAL] = {CLOCK_PROCESS_CPUTIME_ID, SIGVTALRM},
    [ITIMER_PROF] = {CLOCK_PROCESS_CPUTIME_ID, SIGPROF},
};

/* Those of the calling process, made when they are first asked for; NULL: no memory. The lock of alarms is held. */
static struct interval_timers *own_timers(void)
{
    struct process *process = current_process();
    if (!process->timers && (process->timers = allocate(sizeof *process->timers))) {
        for (size_t which = 0; which < ITIMER_COUNT; which++) {
            process->timers->at[which] = (struct interval_timer){
                .alarm = {.clock = {.id = kinds[which].clock, .whose = which == ITIMER_REAL ? 0 : process->id}, .ring = ring},
                .process = process,
                .signal = kinds[which].signal,
            };
        }
    }
    return process->timers;
}

void interval_timers_end(struct process *process)
{
    alarms_lock();
    struct interval_timers *timers = process->timers;
    for (size_t which = 0; timers && which < ITIMER_COUNT; which++) {
        alarm_cancel(&timers->at[which].alarm);
    }
    process->timers = NULL;
    alarms_unlock();
    release(timers, sizeof *timers);
}

struct setting {
    uint64_t interval, value; /* ns */
};

/* What is left of the timer, in whole microseconds: one that is set is never told as 0. */
static struct setting describe(const struct interval_timer *timer)
{
    uint64_t left = alarm_left(&timer->alarm);
    return (struct setting){.interval = timer->interval, .value = left && left < 1000 ? 1000 : left};
}

static int64_t exchange_timer(uint32_t which, const struct setting *new, struct setting *old)
{
    int64_t error = 0;
    alarms_lock();
    struct interval_timers *timers = own_timers();
    if (!timers) {
        alarms_unlock();
        return -ENOMEM;
    }
    struct interval_timer *timer = &timers->at[which];
    *old = describe(timer);
    alarm_cancel(&timer->alarm);
    if (new->value) {
        uint64_t now;
        error = clock_read(&timer->alarm.clock, &now) ? alarm_set(&timer->alarm, now + new->value) : -ESRCH;
    }
    timer->interval = error ? 0 : new->interval;
    alarms_unlock();
    return error;
}

/* struct itimerval */
struct interval_timer_image {
    struct timeval interval, value;
};

static int64_t put_timer(user_address to, const struct setting *setting)
{
    struct interval_timer_image image = {
        .interval = timeval_of(setting->interval), .value = timeval_of(setting->value)};
    return copy_to_user(to, &image, sizeof image);
}

static bool ns_of_timeval(uint64_t *ns, const struct timeval *time)
{
    const struct timespec same = {time->seconds, time->microseconds < 1000000 ? time->microseconds * 1000 : -1};
    return time->microseconds >= 0 && ns_of_timespec(ns, &same);
}

int64_t sys_setitimer(const struct arguments *arguments)
{
    struct interval_timer_image wanted = {0};
    struct setting new, old;
    if (arguments->at[1] && copy_from_user(&wanted, arguments->at[1], sizeof wanted)) {
        return -EFAULT;
    }
    uint32_t which = (uint32_t)arguments->at[0];
    if (!ns_of_timeval(&new.value, &wanted.value) || !ns_of_timeval(&new.interval, &wanted.interval) ||
        which >= ITIMER_COUNT) {
        return -EINVAL;
    }
    int64_t error = exchange_timer(which, &new, &old);
    return error || !arguments->at[2] ? error : put_timer(arguments->at[2], &old);
}

int64_t sys_getitimer(const struct arguments *arguments)
{
    uint32_t which = (uint32_t)arguments->at[0];
    if (which >= ITIMER_COUNT) {
        return -EINVAL;
    }
    alarms_lock();
    const struct interval_timers *timers = current_process()->timers;
    struct setting now = timers ? describe(&timers->at[which]) : (struct setting){0};
    alarms_unlock();
    return put_timer(arguments->at[1], &now);
}

/* Whole seconds; what is less than half of one is told as 0, unless nothing else would be left: alarm_setitimer() of Linux. */
int64_t sys_alarm(const struct arguments *arguments)
{
    const struct setting new = {.value = (uint64_t)(uint32_t)arguments->at[0] * NS_PER_SECOND};
    struct setting old;
    int64_t error = exchange_timer(ITIMER_REAL, &new, &old);
    uint64_t seconds = old.value / NS_PER_SECOND, rest = old.value % NS_PER_SECOND;
    bool rounds_up = (!seconds && rest) || rest >= NS_PER_SECOND / 2;
    return error ? error : (int64_t)(seconds + rounds_up);
}
