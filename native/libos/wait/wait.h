/*
 * The wait room: sleeping and waking. Locks and wait queues over OCALL_WAIT and OCALL_WAKE, and futexes.
 */
#ifndef ENCLAVIZE_WAIT_H
#define ENCLAVIZE_WAIT_H

#include "boundary/boundary.h"

/* What this room keeps of a task: struct task begins with it. A task without a thread is dead or not yet there. */
struct sleeper {
    uint32_t state;   /* enum sleep_state */
    bool is_patient;  /* it sleeps until a lock or a turn is its own: no signal ends that; atomic */
    uint16_t spin_skip, spin_penalty; /* what it has learned of waiting inside (spin.c); the owner writes it */
    uint8_t short_skip;
    struct thread *thread;
    uint64_t yielded; /* clock_counter() at its last sched_yield() */
};

/* The calling thread runs as this task; not any more. */
void sleeper_begin(struct sleeper *sleeper, struct thread *thread);
void sleeper_end(struct sleeper *sleeper);
/* The task waits inside an OCALL. */
bool sleeper_is_asleep(const struct sleeper *sleeper);
/* The same, for something that a signal can end: S in /proc. */
bool sleeper_can_be_interrupted(const struct sleeper *sleeper);

struct wait_queue;

/*
 * One place in one wait queue; usually on a task's stack. Without `notify`, a wake takes it out of the queue
 * and wakes the task: add it again before the next sleep (adding one that is still in does nothing). With
 * `notify`, it stays in the queue, every wake calls notify under the queue's lock, then wakes the task (if
 * not NULL); it does not count as the one of wake_one().
 */
struct waiter {
    struct waiter *next;
    struct waiter *previous;
    struct wait_queue *queue; /* NULL: in no queue */
    struct task *task;
    void (*notify)(struct waiter *waiter);
    bool has_lock; /* of a mutex, which was handed over */
};

struct wait_queue {
    struct spinlock lock;
    struct waiter *first;
    struct waiter *last;
};

/*
 * Sleeping lock; not recursive. User copies and OCALLs are allowed while it is held. All-zero is unlocked. Who comes first gets it,
 * until one that was woken finds it held again: then it is handed over, so that nobody waits for ever.
 */
struct mutex {
    uint32_t state; /* 0 free, 1 held, 2 held and perhaps waited for */
    bool is_claimed; /* atomic: by one that was woken in vain */
    struct wait_queue waiters;
};
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/*
 * Sleep on one queue, as on a condition variable: `lock` (may be NULL) is released while asleep and held
 * again on return. Spurious wakes happen: test the condition in a loop. timeout in ns or NO_TIMEOUT -> 0,
 * -ETIMEDOUT, or -EINTR when a signal is pending.
 */
int wait_queue_sleep(struct wait_queue *queue, struct mutex *lock, uint64_t timeout_ns);
void wake_one(struct wait_queue *queue);
void wake_all(struct wait_queue *queue);

/*
 * To wait on several queues, or for the host too: add a waiter to each, test the conditions, then sleep, then
 * remove the waiters.
 *     task_sleep(timeout)   sleeps by OCALL_WAIT
 *     task_sleep_begin() + host_poll(...) + task_sleep_end()   sleeps in any OCALL that OCALL_WAKE ends
 * task_sleep_begin() returns false when a wake or a signal has come since the last sleep: then do not sleep,
 * but still call task_sleep_end(). mutex_lock() between adding and sleeping is fine. task_sleep_end() returns
 * -EINTR when a signal is pending, else 0.
 */
void wait_queue_add(struct wait_queue *queue, struct waiter *waiter);
void wait_queue_remove(struct waiter *waiter);
int task_sleep(uint64_t timeout_ns);
/* Sleeps until task_wake(), whatever signals wait; often too short. */
void task_sleep_deaf(void);
void task_sleep_deaf_for(uint64_t timeout_ns);
/* For sched_yield(): no other thread wants the processor, as far as is known here, and the caller does not ask again and again. */
bool task_yields_to_nobody(void);
/* The caller has slept for a reason of its own, and may have taken a wake that was meant for the next sleep: that will be short. */
void task_keep_wake(void);
bool task_sleep_begin(void);
int task_sleep_end(void);
/* A late wake of a task that has ended is harmless. */
void task_wake(struct task *task);

/* What a futex is known by: an object that is shared and a place in it, or a program's memory and an address there. */
struct futex_key {
    uint64_t object; /* or the memory's: they share their numbers */
    uint64_t offset;
};
/* Wakes up to `count` waiters of the futex at `address` whose bits meet `bits` -> how many. */
int64_t futex_wake(user_address address, uint32_t count, uint32_t bits);
/* The thread ends: the locks of priority inheritance that it holds go to those who wait for them. */
void futex_owner_ends(int32_t id);

/* `processors`: how many the host lets the enclave use. */
void wait_start(uint32_t processors);

/* What the wait room needs of the rooms above. */
struct wait_upcalls {
    /* signal: an unblocked signal waits for the calling task, or has just come from the host. */
    bool (*signal_is_pending)(void);
    /* memory: the calling thread is about to sleep, or to wait for a lock (brief). */
    void (*falls_asleep)(bool is_brief);
    /* memory: what a word of the calling thread's program is known by. A private one is never looked for in shared objects. */
    struct futex_key (*find_key)(user_address address, bool is_private);
    /* process: the number that a lock's word has of its owner, and whether such a thread will still call futex_owner_ends(). */
    int32_t (*task_number)(const struct task *task);
    bool (*holds_locks)(int32_t number);
};
extern struct wait_upcalls wait_upcalls;

#endif
