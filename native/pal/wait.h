/* System calls that OCALL_WAKE and interruptions end (ocall_wait.c). */
#ifndef ENCLAVIZE_PAL_WAIT_H
#define ENCLAVIZE_PAL_WAIT_H

#include <stdint.h>
#include <time.h>

#include "host_thread.h"

/* NULL for UINT64_MAX: no limit. */
const struct timespec *timespec_of(uint64_t ns, struct timespec *time);

/* A system call that waits for something to be ready: which of its arguments is the timeout, and what there means not to wait. */
struct waiting_call {
    long number;
    long arguments[5];
    unsigned timeout;
    long no_timeout;
};

/* As poll(2): what is ready comes first, however the wait ended. Else 0 when the thread was woken, and -EINTR when it was interrupted. */
int64_t wakeable_syscall(struct host_thread *thread, struct waiting_call call);

#endif
