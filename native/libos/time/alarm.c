/*
 * One thread of the LibOS's own waits for all alarms. It is made when the first one is set: it has a TCS, but the
 * application does not see it.
 *
 * Clocks of processor time cannot be waited for: they are looked at when they can have come so far at the earliest,
 * which is soon if all processors are in use. While the process sleeps they hardly move, and are looked at seldom.
 */
#include "time/alarm.h"

#define LOOK_AT_ONCE 1000000ULL /* ns: no alarm of processor time is finer, as Linux's with 1000 ticks a second */
#define LOOK_SELDOM 50000000ULL
#define IDLE_SHARE 16 /* less than this part of the time in use: the process sleeps */

static struct mutex lock;
static struct alarm *alarms; /* those that are set */
static struct task *service;
static struct {
    uint64_t used, time; /* at the last look */
    uint64_t pause;
} rest;

void alarms_lock(void)
{
    mutex_lock(&lock);
}

void alarms_unlock(void)
{
    mutex_unlock(&lock);
}

void alarm_cancel(struct alarm *alarm)
{
    struct alarm **link = &alarms;
    while (alarm->is_set && *link != alarm) {
        link = &(*link)->next;
    }
    if (alarm->is_set) {
        *link = alarm->next;
        alarm->is_set = false;
    }
}

static bool is_due(struct alarm *alarm, uint64_t *now)
{
    if (!clock_read(&alarm->clock, now)) {
        alarm_cancel(alarm);
        return false;
    }
    return *now >= alarm->at;
}

/* How long to leave clocks of processor time alone. */
static uint64_t pause_for_use(void)
{
    uint64_t used = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID), time = clock_now_ns(CLOCK_MONOTONIC);
    bool is_idle = (used - rest.used) * IDLE_SHARE < time - rest.time;
    uint64_t longer = 2 * rest.pause < LOOK_SELDOM ? 2 * rest.pause : LOOK_SELDOM;
    rest.pause = is_idle && rest.pause ? longer : LOOK_AT_ONCE;
    rest.used = used;
    rest.time = time;
    return rest.pause;
}

/* When to look at an alarm again, in ns. */
static uint64_t patience(const struct alarm *alarm, uint64_t now, uint64_t *pause)
{
    uint64_t left = alarm->at - now;
    if (!clock_counts_use(&alarm->clock)) {
        return left;
    }
    if (!*pause) {
        *pause = pause_for_use();
    }
    left = alarm->clock.id == CLOCK_PROCESS_CPUTIME_ID ? left / processor_count() : left;
    return left > *pause ? left : *pause;
}

/* Rings what is due -> how long to sleep. */
static uint64_t look(void)
{
    uint64_t timeout = NO_TIMEOUT, pause = 0, now;
    mutex_lock(&lock);
    for (struct alarm *alarm = alarms, *next; alarm; alarm = next) {
        next = alarm->next;
        if (is_due(alarm, &now)) {
            alarm_cancel(alarm);
            alarm->ring(alarm, now);
        }
        if (alarm->is_set) {
            uint64_t wait = alarm->at > now ? patience(alarm, now, &pause) : 0;
            timeout = wait < timeout ? wait : timeout;
        }
    }
    mutex_unlock(&lock);
    return timeout;
}

static void run_service(void)
{
    for (;;) {
        uint64_t timeout = look();
        if (timeout) {
            task_sleep(timeout);
        }
    }
}

int64_t alarm_set(struct alarm *alarm, uint64_t at)
{
    if (!service && !(service = task_start_service(run_service))) {
        return -EAGAIN;
    }
    alarm_cancel(alarm);
    alarm->at = at;
    alarm->is_set = true;
    alarm->next = alarms;
    alarms = alarm;
    rest.pause = 0;
    if (service != current_task()) {
        task_wake(service);
    }
    return 0;
}

uint64_t alarm_left(const struct alarm *alarm)
{
    uint64_t now;
    if (!alarm->is_set || !clock_read(&alarm->clock, &now)) {
        return 0;
    }
    return alarm->at > now ? alarm->at - now : 1;
}

uint64_t alarm_next(uint64_t last, uint64_t interval, uint64_t now, uint64_t *missed)
{
    *missed = now > last ? (now - last) / interval : 0;
    return last + (*missed + 1) * interval;
}
