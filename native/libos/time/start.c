#include "time/cpu_limit.h"
#include "time/interval_timer.h"
#include "time/posix_timer.h"
#include "time/time.h"

static void end_timers(struct process *process, bool executes)
{
    posix_timers_end(process);
    if (!executes) {
        interval_timers_end(process);
        cpu_limit_end(process);
    }
}

void time_start(void)
{
    process_upcalls.end_timers = end_timers;
    cpu_limit_start();
    posix_timers_start();
}
