/* eventfd and timerfd. */
#ifndef ENCLAVIZE_FS_EVENT_H
#define ENCLAVIZE_FS_EVENT_H

#include "fs/file.h"
#include "time/time.h"

int64_t event_create(uint64_t initial, bool semaphore, uint32_t flags, struct file **file);

bool is_event(const struct file *file);
/* One more on an eventfd's counter, up to UINT64_MAX; never sleeps. */
void event_signal(struct file *file);

int64_t timer_create(uint32_t clock, uint32_t flags, struct file **file);

/* -EINVAL when the file is no timer. Buffers are LibOS memory. */
int64_t timer_set(struct file *file, bool absolute, const struct itimerspec *new, struct itimerspec *old);
int64_t timer_get(struct file *file, struct itimerspec *now);

#endif
