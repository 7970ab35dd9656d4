/*
 * The time room: the calls about clocks, sleeping until a time, and timers that send signals. The clock itself is read in
 * boundary/, since it is the host's.
 */
#ifndef ENCLAVIZE_TIME_H
#define ENCLAVIZE_TIME_H

#include "signal/signal.h"

static inline struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.seconds = (int64_t)(ns / NS_PER_SECOND), .nanoseconds = (int64_t)(ns % NS_PER_SECOND)};
}

static inline struct timeval timeval_of(uint64_t ns)
{
    return (struct timeval){.seconds = (int64_t)(ns / NS_PER_SECOND),
                            .microseconds = (int64_t)(ns % NS_PER_SECOND / 1000)};
}

struct itimerspec {
    struct timespec interval, value;
};
/* False: negative or not normalised. Times of 292 years and more saturate. */
bool ns_of_timespec(uint64_t *ns, const struct timespec *time);

void time_start(void);

#endif
