/* Between the files of the time room only. */
#ifndef ENCLAVIZE_TIME_POSIX_TIMER_H
#define ENCLAVIZE_TIME_POSIX_TIMER_H

void posix_timers_start(void);

#endif
