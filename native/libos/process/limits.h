/* Resource limits: getrlimit(2). Those of descriptors, file sizes, address space, data, threads, queued signals, stack,
 * message queues and processor time are kept to; the others are remembered. */
#ifndef ENCLAVIZE_LIMITS_H
#define ENCLAVIZE_LIMITS_H

#include <stdint.h>

enum resource {
    RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_RSS = 5, RLIMIT_NPROC = 6,
    RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9, RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12,
    RLIMIT_NICE = 13, RLIMIT_RTPRIO = 14, RLIMIT_RTTIME = 15, RLIMIT_COUNT = 16,
};
#define UNLIMITED UINT64_MAX
#define DESCRIPTORS_MAX 1048576U /* the hard limit, fs.nr_open of Linux; nobody may raise it */

struct limit {
    uint64_t soft, hard;
};

void limits_start(void);
struct process;
/* Those that everything begins with. */
void limits_set_first(struct process *process);
/* The calling process has a program that knows nothing of its limits yet. 0 or -ENOMEM. */
int64_t limits_apply_to_program(void);
struct limit limit_of(enum resource resource);
struct limit limit_of_process(const struct process *process, enum resource resource);
/* The soft limit, which is what counts. */
uint64_t resource_limit(enum resource resource);
/* By one, where the hard limit allows it: so RLIMIT_CPU moves on with each SIGXCPU. */
void limit_raise_soft(struct process *process, enum resource resource);

#endif
