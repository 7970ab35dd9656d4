/* What happens at a time of a clock: between the files of the time room only. */
#ifndef ENCLAVIZE_TIME_ALARM_H
#define ENCLAVIZE_TIME_ALARM_H

#include "time/clock.h"

/* All-zero but for clock and ring: not set. */
struct alarm {
    struct alarm *next;
    bool is_set;
    struct clock clock; /* of use: not the caller's, but that of a named thread or process */
    uint64_t at;        /* of the clock, ns */
    /* It is time. The alarm is not set any more, and may be set again. */
    void (*ring)(struct alarm *alarm, uint64_t now);
};

/* Around all that follows, and what the timers keep. ring() runs under it. */
void alarms_lock(void);
void alarms_unlock(void);

/* 0, or -EAGAIN: there is no thread to wait for it. */
int64_t alarm_set(struct alarm *alarm, uint64_t at);
void alarm_cancel(struct alarm *alarm);
/* ns until it rings, at least 1; 0: not set. */
uint64_t alarm_left(const struct alarm *alarm);

/* The first time after `now` that is a whole number of intervals behind `last`; *missed: how many lie between. */
uint64_t alarm_next(uint64_t last, uint64_t interval, uint64_t now, uint64_t *missed);

#endif
