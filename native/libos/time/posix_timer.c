/*
 * POSIX timers: timer_create(2). As in Linux a timer that has sent its signal stands still until that is taken: what
 * it would have sent meanwhile is the overrun.
 */
#include "time/posix_timer.h"

#include "time/alarm.h"

#define TIMER_ABSTIME 1U
#define TICK 1000000ULL /* ns: how often a timer whose signal is ignored is looked at */

enum notification { SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4 };

/* struct sigevent: 64 bytes. */
struct event {
    uint64_t value;
    int32_t signal, notification, thread;
    uint8_t rest[44];
};
_Static_assert(sizeof(struct event) == 64, "as in Linux");

struct posix_timer {
    struct alarm alarm;
    struct posix_timer *next;
    struct process *process;
    struct event event;
    int32_t id;
    int32_t run;       /* which setting of it; never 0 */
    int32_t overrun;   /* of the signal that was taken last */
    bool is_running;   /* set, and not over */
    bool signal_waits; /* it has been sent and not taken */
    uint64_t expiry;   /* the next one; the one that was told, while the signal waits */
    uint64_t interval; /* ns; 0: once */
};

static struct posix_timer *timers; /* all, under the lock of alarms */
static uint64_t count;
static int32_t next_id;

static struct posix_timer *find(int32_t id)
{
    struct posix_timer *timer = timers;
    while (timer && !(timer->id == id && timer->process == current_process())) {
        timer = timer->next;
    }
    return timer;
}

/* On to the next expiry after now -> how many were missed. */
static uint64_t go_on(struct posix_timer *timer, uint64_t now)
{
    uint64_t missed = 0;
    timer->is_running = timer->interval;
    if (timer->interval) {
        timer->expiry = alarm_next(timer->expiry, timer->interval, now, &missed);
        alarm_set(&timer->alarm, timer->expiry);
    }
    return missed;
}

static int64_t send(const struct posix_timer *timer)
{
    const struct signal_info info = {
        .signal = timer->event.signal,
        .code = SI_TIMER,
        .timer = timer->run,
        .first = (uint32_t)timer->id,
        .second = timer->event.value,
    };
    if (!(timer->event.notification & SIGEV_THREAD_ID)) {
        return clock_counts_use(&timer->alarm.clock) ? signal_send_running(timer->process, &info)
                                                       : signal_send_process(timer->process, &info);
    }
    struct task *task = task_of_id(timer->event.thread);
    return task ? signal_send(task, &info) : 0;
}

static void ring(struct alarm *alarm, uint64_t now)
{
    struct posix_timer *timer = CONTAINER_OF(alarm, struct posix_timer, alarm);
    timer->signal_waits = send(timer) == 0;
    if (!timer->signal_waits) {
        go_on(timer, now + TICK);
    }
}

/* Its signal is gone: taken, or forgotten. */
static void resume(struct posix_timer *timer)
{
    uint64_t now = 0;
    timer->signal_waits = false;
    clock_read(&timer->alarm.clock, &now);
    uint64_t missed = go_on(timer, now);
    timer->overrun = missed < INT32_MAX ? (int32_t)missed : INT32_MAX;
}

static void taken(struct signal_info *info)
{
    alarms_lock();
    struct posix_timer *timer = find((int32_t)info->first);
    if (timer && timer->signal_waits && timer->run == info->timer) {
        resume(timer);
        info->first |= (uint64_t)(uint32_t)timer->overrun << 32;
    }
    alarms_unlock();
}

static void forgotten(uint64_t signals)
{
    alarms_lock();
    for (struct posix_timer *timer = timers; timer; timer = timer->next) {
        if (timer->process == current_process() && timer->signal_waits && (SIGNAL_BIT(timer->event.signal) & signals)) {
            resume(timer);
        }
    }
    alarms_unlock();
}

void posix_timers_start(void)
{
    signal_upcalls.timer_taken = taken;
    signal_upcalls.timers_forgotten = forgotten;
}

static bool is_own_thread(int32_t id)
{
    const struct task *task = task_of_id(id);
    return task && task->process == current_process();
}

/* good_sigevent() of Linux. */
static bool is_good(const struct event *event)
{
    switch (event->notification) {
    case SIGEV_THREAD_ID:
        if (!is_own_thread(event->thread)) {
            return false;
        }
        return event->signal > 0 && event->signal <= SIGNAL_COUNT;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
        return event->signal > 0 && event->signal <= SIGNAL_COUNT;
    case SIGEV_NONE:
        return true;
    default:
        return false;
    }
}

/* 0, -EINVAL, -EOPNOTSUPP. The caller's own clock is named by its id: others read it, too. */
static int64_t choose_clock(int32_t number, struct clock *clock)
{
    if (!clock_of_number(number, clock)) {
        return -EINVAL;
    }
    if (clock_counts_use(clock) && !clock->whose) {
        clock->whose = clock->id == CLOCK_THREAD_CPUTIME_ID ? task_id(current_task()) : current_process()->id;
    }
    bool ticks = clock->id == CLOCK_REALTIME || clock->id == CLOCK_MONOTONIC || clock->id == CLOCK_BOOTTIME;
    return ticks || clock_counts_use(clock) ? 0 : -EOPNOTSUPP;
}

int64_t sys_timer_create(const struct arguments *arguments)
{
    struct event event = {.signal = SIGALRM};
    struct clock clock;
    if (arguments->at[1] && copy_from_user(&event, arguments->at[1], sizeof event)) {
        return -EFAULT;
    }
    int64_t error = choose_clock((int32_t)arguments->at[0], &clock);
    if (error) {
        return error;
    }
    struct posix_timer *timer = allocate(sizeof *timer);
    if (!timer) {
        return -EAGAIN;
    }
    alarms_lock();
    bool has_room = count < resource_limit(RLIMIT_SIGPENDING);
    if (has_room && is_good(&event)) {
        *timer = (struct posix_timer){.alarm = {.clock = clock, .ring = ring}, .process = current_process(), .event = event, .id = next_id++};
        timer->event.value = arguments->at[1] ? event.value : (uint32_t)timer->id;
        error = copy_to_user(arguments->at[2], &timer->id, sizeof timer->id);
    } else {
        error = has_room ? -EINVAL : -EAGAIN;
    }
    if (!error) {
        timer->next = timers;
        timers = timer;
        count++;
    }
    alarms_unlock();
    if (error) {
        release(timer, sizeof *timer);
    }
    return error;
}

/* What timer_gettime() tells: whatever the signal waits for, the timer counts on. */
static struct itimerspec describe(struct posix_timer *timer)
{
    uint64_t now = 0, left = 0, missed;
    clock_read(&timer->alarm.clock, &now);
    if (timer->is_running && timer->expiry > now) {
        left = timer->expiry - now;
    } else if (timer->is_running && timer->interval) {
        left = alarm_next(timer->expiry, timer->interval, now, &missed) - now;
    } else if (timer->is_running && timer->event.notification != SIGEV_NONE && !timer->signal_waits) {
        left = 1; /* it is about to ring */
    }
    return (struct itimerspec){.interval = timespec_of(timer->interval), .value = timespec_of(left)};
}

static int64_t set(struct posix_timer *timer, bool is_absolute, uint64_t value, uint64_t interval)
{
    uint64_t now = 0;
    alarm_cancel(&timer->alarm);
    timer->run = timer->run == INT32_MAX ? 1 : timer->run + 1;
    timer->signal_waits = false;
    timer->overrun = 0;
    timer->is_running = value;
    timer->interval = interval;
    if (!value) {
        return 0;
    }
    if (!is_absolute && !clock_read(&timer->alarm.clock, &now)) {
        return -ESRCH;
    }
    timer->expiry = value < INT64_MAX - now ? now + value : INT64_MAX;
    return timer->event.notification == SIGEV_NONE ? 0 : alarm_set(&timer->alarm, timer->expiry);
}

int64_t sys_timer_settime(const struct arguments *arguments)
{
    struct itimerspec new, old;
    uint64_t value, interval;
    if (!arguments->at[2]) {
        return -EINVAL;
    }
    if (copy_from_user(&new, arguments->at[2], sizeof new)) {
        return -EFAULT;
    }
    if (!ns_of_timespec(&value, &new.value) || !ns_of_timespec(&interval, &new.interval)) {
        return -EINVAL;
    }
    alarms_lock();
    struct posix_timer *timer = find((int32_t)arguments->at[0]);
    int64_t error = -EINVAL;
    if (timer) {
        old = describe(timer);
        error = set(timer, arguments->at[1] & TIMER_ABSTIME, value, interval);
    }
    alarms_unlock();
    return error || !arguments->at[3] ? error : copy_to_user(arguments->at[3], &old, sizeof old);
}

int64_t sys_timer_gettime(const struct arguments *arguments)
{
    struct itimerspec now;
    alarms_lock();
    struct posix_timer *timer = find((int32_t)arguments->at[0]);
    if (timer) {
        now = describe(timer);
    }
    alarms_unlock();
    return timer ? copy_to_user(arguments->at[1], &now, sizeof now) : -EINVAL;
}

int64_t sys_timer_getoverrun(const struct arguments *arguments)
{
    alarms_lock();
    struct posix_timer *timer = find((int32_t)arguments->at[0]);
    int64_t result = timer ? timer->overrun : -EINVAL;
    alarms_unlock();
    return result;
}

/* From the list, and never to ring; NULL: none stands there. */
static struct posix_timer *take_out(struct posix_timer **link)
{
    struct posix_timer *timer = *link;
    if (timer) {
        alarm_cancel(&timer->alarm);
        *link = timer->next;
        count--;
    }
    return timer;
}

int64_t sys_timer_delete(const struct arguments *arguments)
{
    alarms_lock();
    struct posix_timer **link = &timers;
    while (*link && *link != find((int32_t)arguments->at[0])) {
        link = &(*link)->next;
    }
    struct posix_timer *timer = take_out(link);
    alarms_unlock();
    release(timer, sizeof *timer);
    return timer ? 0 : -EINVAL;
}

void posix_timers_end(const struct process *process)
{
    struct posix_timer *gone = NULL;
    alarms_lock();
    for (struct posix_timer **link = &timers; *link;) {
        if ((*link)->process == process) {
            struct posix_timer *timer = take_out(link);
            timer->next = gone;
            gone = timer;
        } else {
            link = &(*link)->next;
        }
    }
    alarms_unlock();
    while (gone) {
        struct posix_timer *next = gone->next;
        release(gone, sizeof *gone);
        gone = next;
    }
}
