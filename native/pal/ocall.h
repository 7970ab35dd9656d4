/* One handler per OCALL that returns (ocalls.def). Arguments were copied out of the exchange area and keep within it; the result goes there. */
#ifndef ENCLAVIZE_PAL_OCALL_H
#define ENCLAVIZE_PAL_OCALL_H

#include <stdint.h>

#include "host_thread.h"

struct request {
    struct host_thread *thread;
    uint64_t arguments[OCALL_ARGUMENTS];
    uint8_t *data;
};

typedef int64_t (*ocall_handler)(struct request *call);

#define OCALL(name, ...) int64_t ocall_##name(struct request *call);
#define OCALL_LAST(...)
#include "ocalls.def"

/* Serves what stands in the thread's exchange area while the thread itself is inside: only what a worker may. */
void ocall_serve_switchless(struct host_thread *thread);

/* Ends with -EINTR when the thread is interrupted, also when that was just before. */
int64_t blocking_syscall(struct host_thread *thread, long number, long a, long b, long c, long d);

#endif
