/* System calls that OCALL_WAKE and interruptions end (ocall_wait.c). */
#ifndef ENCLAVIZE_PAL_WAIT_H
#define ENCLAVIZE_PAL_WAIT_H

#include <stdint.h>
#include <time.h>

#include "host_thread.h"

/* NULL for UINT64_MAX: no limit. */
const struct timespec *timespec_of(uint64_t ns, struct timespec *time);

/* 0 when it was woken, or ended without reason; -EINTR when the thread was interrupted. */
int64_t wakeable_syscall(struct host_thread *thread, long number, long a, long b, long c, long d, long e);

#endif
