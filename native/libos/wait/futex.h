/* Futexes: between the files of the wait room only. */
#ifndef ENCLAVIZE_WAIT_FUTEX_H
#define ENCLAVIZE_WAIT_FUTEX_H

#include "wait/wait.h"

#define FUTEX_PRIVATE 128U
#define FUTEX_MATCH_ANY UINT32_MAX

/* What stands in a word that has an owner. */
#define FUTEX_WAITERS 0x80000000U
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_TID_MASK 0x3FFFFFFFU

/* A word of the application: where calls find it, and what it is known by. */
struct futex_word {
    user_address address;
    struct futex_key key;
};
struct futex_word futex_word_at(user_address address, bool is_private);

static inline bool futex_is_same(struct futex_key one, struct futex_key other)
{
    return one.object == other.object && one.offset == other.offset;
}

/* Until when to wait. */
struct futex_deadline {
    uint64_t at; /* ns of the clock, or NO_TIMEOUT */
    enum clock_id clock;
};
/* 0: look again; -ETIMEDOUT, -EINTR. */
int64_t futex_sleep(const struct futex_deadline *deadline);

struct bucket;
struct futex_waiter {
    struct futex_waiter *next, *previous;
    struct bucket *bucket; /* NULL: woken */
    struct futex_key key;
    uint32_t bits; /* once it is woken: those of the wake */
    struct task *task;
};
/* Queues it if the value stands there: 0, and perhaps it was woken since; -EAGAIN, -EFAULT. */
int64_t futex_begin(struct futex_waiter *waiter, user_address address, uint32_t expected);
/* False: it was woken. */
bool futex_leave(struct futex_waiter *waiter);
static inline bool futex_was_woken(const struct futex_waiter *waiter)
{
    return !__atomic_load_n(&waiter->bucket, __ATOMIC_ACQUIRE);
}
/* 0, -EAGAIN: another value stands there, -EFAULT. */
int64_t futex_check(user_address address, uint32_t expected);

int64_t futex_wait(struct futex_word word, uint32_t expected, uint32_t bits, const struct futex_deadline *deadline);
int64_t futex_wake_key(struct futex_key key, uint32_t count, uint32_t bits);
/* Somebody waits for the word, and for no lock there. */
bool futex_is_waited_for(struct futex_key key);
/* Wakes the first `wake` waiters of `from`, moves up to `move` others to `to` -> woken and moved. */
int64_t futex_requeue(struct futex_key from, struct futex_key to, uint32_t wake, uint32_t move);

/* Locks of priority inheritance (futex_pi.c): who waits longest is next, since the host schedules. */
int64_t futex_lock_pi(struct futex_word word, const struct futex_deadline *deadline);
int64_t futex_trylock_pi(struct futex_word word);
/* 0, -EPERM: another's, -EFAULT: the first thing that an unlock looks at. */
int64_t futex_check_owner(user_address address);
int64_t futex_unlock_pi(struct futex_word word);
int64_t futex_wait_requeue_pi(struct futex_word word, uint32_t expected, struct futex_word lock,
                              const struct futex_deadline *deadline);
/* Somebody waits there for a lock, or to be moved to one: such are neither woken nor moved otherwise. */
bool futex_pi_is_waited_for(struct futex_key key);
int64_t futex_requeue_pi(struct futex_word word, struct futex_word lock, uint32_t move, uint32_t expected);

#endif
