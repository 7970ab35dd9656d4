/* Waiting inside, before a sleep that leaves the enclave: between the files of the wait room only. */
#ifndef ENCLAVIZE_WAIT_SPIN_H
#define ENCLAVIZE_WAIT_SPIN_H

#include "wait/wait.h"

enum sleep_state {
    TASK_AWAKE = 0,
    TASK_SLEEPING = 1, /* in an OCALL that OCALL_WAKE ends */
    TASK_WOKEN = 2,    /* a wake came: the next sleep returns at once */
};

static inline struct sleeper *sleeper_of(struct task *task)
{
    return (struct sleeper *)task; /* its first member */
}

void spin_start(uint32_t processors);
/* Threads that want a processor: one more, one less. */
void spin_count(int32_t change);
/* No more want one than there are, and there are several: a thread may burn its own while it waits. */
bool has_free_processor(void);

struct spin {
    uint64_t start; /* time stamp counter; 0: there is none to go by */
    bool tried, preempted;
    bool is_over; /* all of the timeout was spent */
};

/* Waits for a wake while it is worth it, no longer than the timeout; takes the time from it, if it is not NO_TIMEOUT. */
struct spin spin_for_wake(struct sleeper *sleeper, uint64_t *timeout_ns);
/* The wait is over; `slept`: not inside. Decides whether the next ones are tried. */
void spin_learn(struct sleeper *sleeper, struct spin spin, bool slept);

#endif
