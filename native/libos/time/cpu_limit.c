/* RLIMIT_CPU: SIGXCPU at the soft limit and each second behind it, SIGKILL at the hard one (setrlimit(2)). */
#include "time/alarm.h"

#include "time/cpu_limit.h"

struct cpu_limit {
    struct alarm alarm;
    struct process *process;
};

static uint64_t ns_of_seconds(uint64_t seconds)
{
    return seconds < INT64_MAX / NS_PER_SECOND ? seconds * NS_PER_SECOND : INT64_MAX;
}

/* 0, or -EAGAIN. */
static int64_t set(struct cpu_limit *kept)
{
    struct limit limit = limit_of_process(kept->process, RLIMIT_CPU);
    if (limit.soft == UNLIMITED) {
        alarm_cancel(&kept->alarm);
        return 0;
    }
    uint64_t soft = limit.soft ? limit.soft : 1; /* as Linux: 0 would mean that there is none */
    return alarm_set(&kept->alarm, ns_of_seconds(soft < limit.hard ? soft : limit.hard));
}

static void ring(struct alarm *alarm, uint64_t now)
{
    struct cpu_limit *kept = CONTAINER_OF(alarm, struct cpu_limit, alarm);
    struct limit limit = limit_of_process(kept->process, RLIMIT_CPU);
    if (limit.hard != UNLIMITED && now >= ns_of_seconds(limit.hard)) {
        process_kill(kept->process);
        return;
    }
    if (now >= ns_of_seconds(limit.soft)) {
        limit_raise_soft(kept->process, RLIMIT_CPU);
        signal_send_process(kept->process, &(struct signal_info){.signal = SIGXCPU, .code = SI_KERNEL});
    }
    set(kept);
}

static struct cpu_limit *make(struct process *process)
{
    struct cpu_limit *kept = allocate(sizeof *kept);
    if (kept) {
        *kept = (struct cpu_limit){
            .alarm = {.clock = {.id = CLOCK_PROCESS_CPUTIME_ID, .whose = process->id}, .ring = ring}, .process = process};
    }
    return kept;
}

static int64_t limit_changed(struct process *process)
{
    alarms_lock();
    bool is_limited = limit_of_process(process, RLIMIT_CPU).soft != UNLIMITED;
    if (is_limited && !process->cpu_limit) {
        process->cpu_limit = make(process);
    }
    int64_t error = process->cpu_limit ? set(process->cpu_limit) : is_limited ? -EAGAIN : 0;
    alarms_unlock();
    return error;
}

void cpu_limit_end(struct process *process)
{
    alarms_lock();
    struct cpu_limit *kept = process->cpu_limit;
    if (kept) {
        alarm_cancel(&kept->alarm);
    }
    process->cpu_limit = NULL;
    alarms_unlock();
    release(kept, sizeof *kept);
}

void cpu_limit_start(void)
{
    process_upcalls.cpu_limit_changed = limit_changed;
}
