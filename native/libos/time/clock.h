/* The clocks that programs name: between the files of the time room only. */
#ifndef ENCLAVIZE_TIME_CLOCK_H
#define ENCLAVIZE_TIME_CLOCK_H

#include "time/time.h"

struct clock {
    enum clock_id id;
    int32_t whose; /* id of a thread, CLOCK_THREAD_CPUTIME_ID, or of a process, CLOCK_PROCESS_CPUTIME_ID; 0: the caller's */
};

/* The clock of a number as clock_gettime(2) takes it; false: there is none. */
bool clock_of_number(int32_t number, struct clock *clock);
/* False: whose it is has ended. ns. */
bool clock_read(const struct clock *clock, uint64_t *now);
static inline bool clock_counts_use(const struct clock *clock)
{
    return clock->id == CLOCK_PROCESS_CPUTIME_ID || clock->id == CLOCK_THREAD_CPUTIME_ID;
}

#endif
