/* RLIMIT_CPU of the first process: SIGXCPU at the soft limit and each second behind it, SIGKILL at the hard one (setrlimit(2)). */
#include "time/alarm.h"

#include "time/cpu_limit.h"

static void ring(struct alarm *alarm, uint64_t now);
static struct alarm alarm = {.clock = {.id = CLOCK_PROCESS_CPUTIME_ID}, .ring = ring};

static uint64_t ns_of_seconds(uint64_t seconds)
{
    return seconds < INT64_MAX / NS_PER_SECOND ? seconds * NS_PER_SECOND : INT64_MAX;
}

/* 0, or -EAGAIN. */
static int64_t set(void)
{
    struct limit limit = limit_of_process(&first_process, RLIMIT_CPU);
    if (limit.soft == UNLIMITED) {
        alarm_cancel(&alarm);
        return 0;
    }
    uint64_t soft = limit.soft ? limit.soft : 1; /* as Linux: 0 would mean that there is none */
    return alarm_set(&alarm, ns_of_seconds(soft < limit.hard ? soft : limit.hard));
}

static void ring(struct alarm *rung, uint64_t now)
{
    (void)rung;
    struct limit limit = limit_of_process(&first_process, RLIMIT_CPU);
    if (limit.hard != UNLIMITED && now >= ns_of_seconds(limit.hard)) {
        process_exit(0, SIGKILL);
    }
    if (now >= ns_of_seconds(limit.soft)) {
        limit_raise_soft(&first_process, RLIMIT_CPU);
        signal_send_process(&first_process, &(struct signal_info){.signal = SIGXCPU, .code = SI_KERNEL});
    }
    set();
}

static int64_t limit_changed(const struct process *process)
{
    if (process != &first_process) {
        return 0; /* remembered: the host's clock is that of all processes together */
    }
    alarms_lock();
    int64_t error = set();
    alarms_unlock();
    return error;
}

void cpu_limit_start(void)
{
    process_upcalls.cpu_limit_changed = limit_changed;
}
