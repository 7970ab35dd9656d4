/*
 * Futexes of priority inheritance: Documentation/locking/pi-futex.rst. Their words say who the owner is, and are changed
 * under one lock by those who have to wait, and on their behalf; a free lock is taken and given without any call.
 */
#include "wait/futex.h"

struct pi_waiter {
    struct pi_waiter *next;
    struct futex_word word; /* where it waits */
    struct futex_word lock; /* that it shall have: another word until it is requeued */
    int32_t id, owner;
    struct task *task;
    bool has_lock;
};

static struct mutex lock;
static struct pi_waiter *waiters; /* who came first is first */

static void append(struct pi_waiter *waiter)
{
    struct pi_waiter **link = &waiters;
    while (*link) {
        link = &(*link)->next;
    }
    waiter->next = NULL;
    *link = waiter;
}

static void take_out(struct pi_waiter *waiter)
{
    struct pi_waiter **link = &waiters;
    while (*link && *link != waiter) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = waiter->next;
    }
}

static bool waits_for_lock(const struct pi_waiter *waiter)
{
    return futex_is_same(waiter->word.key, waiter->lock.key);
}

/* Who gets the lock next; NULL: nobody wants it. */
static struct pi_waiter *first_of(struct futex_key key)
{
    struct pi_waiter *waiter = waiters;
    while (waiter && !(waits_for_lock(waiter) && futex_is_same(waiter->lock.key, key))) {
        waiter = waiter->next;
    }
    return waiter;
}

bool futex_pi_is_waited_for(struct futex_key key)
{
    if (!__atomic_load_n(&waiters, __ATOMIC_RELAXED)) {
        return false; /* who comes at the same time comes later */
    }
    mutex_lock(&lock);
    const struct pi_waiter *waiter = waiters;
    while (waiter && !futex_is_same(waiter->word.key, key)) {
        waiter = waiter->next;
    }
    mutex_unlock(&lock);
    return waiter != NULL;
}

static int32_t own_id(void)
{
    return wait_upcalls.task_number(current_task());
}

/* One try to make `id` the owner: 0; -EBUSY: *owner has it, and the word says that somebody waits; or what is wrong. */
static int64_t acquire(struct futex_word word, int32_t id, bool is_waited_for, int32_t *owner)
{
    uint32_t value;
    int64_t error = copy_from_user(&value, word.address, sizeof value);
    while (!error) {
        *owner = (int32_t)(value & FUTEX_TID_MASK);
        if (*owner == id) {
            return -EDEADLK;
        }
        if (futex_is_waited_for(word.key)) {
            return -EINVAL;
        }
        if (*owner && !wait_upcalls.holds_locks(*owner)) {
            return -ESRCH;
        }
        uint32_t free = (value & FUTEX_OWNER_DIED) | (uint32_t)id | (is_waited_for ? FUTEX_WAITERS : 0);
        error = user_compare_exchange(word.address, &value, *owner ? value | FUTEX_WAITERS : free);
        if (!error) {
            return *owner ? -EBUSY : 0;
        }
        error = error == -EAGAIN ? 0 : error;
    }
    return error;
}

/* Sleeps until the lock has been given. Under the lock, which is released meanwhile. */
static int64_t wait_for(struct pi_waiter *waiter, const struct futex_deadline *deadline)
{
    int64_t result = 0;
    while (!waiter->has_lock && !result) {
        mutex_unlock(&lock);
        result = futex_sleep(deadline);
        mutex_lock(&lock);
    }
    take_out(waiter);
    return waiter->has_lock ? 0 : result;
}

int64_t futex_lock_pi(struct futex_word word, const struct futex_deadline *deadline)
{
    struct pi_waiter self = {.word = word, .lock = word, .id = own_id(), .task = current_task()};
    mutex_lock(&lock);
    int64_t result = acquire(word, self.id, first_of(word.key) != NULL, &self.owner);
    if (result == -EBUSY) {
        append(&self);
        result = wait_for(&self, deadline);
    }
    mutex_unlock(&lock);
    return result == -EINTR ? -ERESTARTNOINTR : result;
}

int64_t futex_trylock_pi(struct futex_word word)
{
    int32_t owner;
    mutex_lock(&lock);
    int64_t result = acquire(word, own_id(), first_of(word.key) != NULL, &owner);
    mutex_unlock(&lock);
    return result == -EBUSY ? -EAGAIN : result;
}

static void give(struct pi_waiter *next)
{
    for (struct pi_waiter *other = waiters; other; other = other->next) {
        bool waits = waits_for_lock(other) && futex_is_same(other->lock.key, next->lock.key);
        other->owner = waits ? next->id : other->owner;
    }
    take_out(next);
    next->has_lock = true;
    task_wake(next->task);
}

/* The word changes from `value` to the next owner's, or to free. -EAGAIN: it changed by itself. */
static int64_t pass_on(struct futex_word word, uint32_t value, uint32_t mark)
{
    struct pi_waiter *next = first_of(word.key);
    int64_t error = user_compare_exchange(word.address, &value, next ? (uint32_t)next->id | FUTEX_WAITERS | mark : mark);
    if (!error && next) {
        give(next);
    }
    return error;
}

/* The word, if the caller is its owner. */
static int64_t read_own(user_address address, uint32_t *value)
{
    int64_t error = copy_from_user(value, address, sizeof *value);
    return error ? error : (int32_t)(*value & FUTEX_TID_MASK) == own_id() ? 0 : -EPERM;
}

int64_t futex_check_owner(user_address address)
{
    uint32_t value;
    return read_own(address, &value);
}

int64_t futex_unlock_pi(struct futex_word word)
{
    uint32_t value;
    int64_t error;
    mutex_lock(&lock);
    do {
        error = read_own(word.address, &value);
        error = error ? error : pass_on(word, value, 0);
    } while (error == -EAGAIN);
    mutex_unlock(&lock);
    return error;
}

/* The lock goes on from the thread that ends, to the first who waits for it. */
static void inherit(struct pi_waiter *waiter, int32_t ended)
{
    uint32_t value;
    int64_t error;
    waiter->owner = 0;
    do {
        error = copy_from_user(&value, waiter->lock.address, sizeof value);
        int32_t owner = (int32_t)(value & FUTEX_TID_MASK);
        if (!error && (owner == ended || owner == 0)) { /* the robust list may have cleared it already */
            error = pass_on(waiter->lock, value, FUTEX_OWNER_DIED);
        }
    } while (error == -EAGAIN);
}

void futex_owner_ends(int32_t id)
{
    mutex_lock(&lock);
    for (struct pi_waiter *waiter = waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        if (waiter->owner == id && waits_for_lock(waiter)) {
            inherit(waiter, id);
            next = waiters; /* the others have another owner now */
        }
    }
    mutex_unlock(&lock);
}

int64_t futex_wait_requeue_pi(struct futex_word word, uint32_t expected, struct futex_word wanted,
                              const struct futex_deadline *deadline)
{
    struct pi_waiter self = {.word = word, .lock = wanted, .id = own_id(), .task = current_task()};
    if (futex_is_same(word.key, wanted.key)) {
        return -EINVAL;
    }
    mutex_lock(&lock);
    int64_t result = futex_check(word.address, expected);
    if (!result) {
        append(&self);
        result = wait_for(&self, deadline);
    }
    bool was_moved = waits_for_lock(&self);
    mutex_unlock(&lock);
    /* once it is moved, the call cannot be made again: as Linux has it */
    return result == -EINTR ? (was_moved ? -EAGAIN : -ERESTARTNOINTR) : result;
}

/* The first of a word who waits to be moved. */
static struct pi_waiter *first_to_move(struct futex_key key)
{
    struct pi_waiter *waiter = waiters;
    while (waiter && (waits_for_lock(waiter) || !futex_is_same(waiter->word.key, key))) {
        waiter = waiter->next;
    }
    return waiter;
}

/* Under the lock. */
static int64_t move_all(struct futex_word word, struct futex_word wanted, uint32_t limit)
{
    int64_t done = 0;
    for (struct pi_waiter *waiter; (uint64_t)done < (uint64_t)limit + 1 && (waiter = first_to_move(word.key)); done++) {
        if (!futex_is_same(waiter->lock.key, wanted.key)) {
            return done ? done : -EINVAL;
        }
        int64_t result = acquire(wanted, waiter->id, true, &waiter->owner);
        if (result && result != -EBUSY) {
            return done ? done : result;
        }
        waiter->word = waiter->lock;
        if (!result) {
            give(waiter);
        }
    }
    return done;
}

int64_t futex_requeue_pi(struct futex_word word, struct futex_word wanted, uint32_t move, uint32_t expected)
{
    if (futex_is_same(word.key, wanted.key)) {
        return -EINVAL;
    }
    mutex_lock(&lock);
    int64_t result = futex_check(word.address, expected);
    if (!result && (futex_is_waited_for(word.key) || first_of(word.key))) {
        result = -EINVAL;
    }
    result = result ? result : move_all(word, wanted, move);
    mutex_unlock(&lock);
    return result;
}
