#include "time/cpu_limit.h"
#include "time/posix_timer.h"
#include "time/time.h"

void time_start(void)
{
    cpu_limit_start();
    posix_timers_start();
}
