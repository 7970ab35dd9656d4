/*
 * Futexes. A waiter queues first and looks at the word second: a wake between the two finds it, and goes on to the next one
 * if another value stands there. So the word is never read under a lock. A word is known by its address and whose that is; one in a shared object, unless the call says
 * that it is private, by the object and the offset there, since it may have several addresses.
 */
#include "wait/futex.h"

#define BUCKETS 256U

struct bucket {
    struct spinlock lock;
    struct futex_waiter *first, *last;
};
static struct bucket buckets[BUCKETS];

static struct bucket *bucket_of(struct futex_key key)
{
    return &buckets[(key.offset >> 2 ^ key.offset >> 12 ^ key.object * 31) % BUCKETS];
}

struct futex_word futex_word_at(user_address address, bool is_private)
{
    return (struct futex_word){address, wait_upcalls.find_key(address, is_private)};
}

static void enqueue(struct bucket *bucket, struct futex_waiter *waiter)
{
    waiter->next = NULL;
    waiter->previous = bucket->last;
    *(bucket->last ? &bucket->last->next : &bucket->first) = waiter;
    bucket->last = waiter;
    __atomic_store_n(&waiter->bucket, bucket, __ATOMIC_RELEASE);
}

static void dequeue(struct bucket *bucket, struct futex_waiter *waiter)
{
    *(waiter->previous ? &waiter->previous->next : &bucket->first) = waiter->next;
    *(waiter->next ? &waiter->next->previous : &bucket->last) = waiter->previous;
    __atomic_store_n(&waiter->bucket, NULL, __ATOMIC_RELEASE);
}

/* Lock the bucket that the waiter is in now: a requeue may move it meanwhile. NULL: it was woken. */
static struct bucket *lock_bucket_of(struct futex_waiter *waiter)
{
    for (;;) {
        struct bucket *bucket = __atomic_load_n(&waiter->bucket, __ATOMIC_ACQUIRE);
        if (!bucket) {
            return NULL;
        }
        spin_lock(&bucket->lock);
        if (waiter->bucket == bucket) {
            return bucket;
        }
        spin_unlock(&bucket->lock);
    }
}

static void queue(struct futex_waiter *waiter)
{
    struct bucket *bucket = bucket_of(waiter->key);
    spin_lock(&bucket->lock);
    enqueue(bucket, waiter);
    spin_unlock(&bucket->lock);
    /* The other half of futex_wake_key()'s fence: without it the word could be read before others see the queue, and a wake
     * between the two would look at an empty one. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool futex_leave(struct futex_waiter *waiter)
{
    struct bucket *bucket = lock_bucket_of(waiter);
    if (!bucket) {
        return false;
    }
    dequeue(bucket, waiter);
    spin_unlock(&bucket->lock);
    return true;
}

int64_t futex_check(user_address address, uint32_t expected)
{
    uint32_t value;
    int64_t error = copy_from_user(&value, address, sizeof value);
    return error ? error : value != expected ? -EAGAIN : 0;
}

int64_t futex_begin(struct futex_waiter *waiter, user_address address, uint32_t expected)
{
    int64_t error = futex_check(address, expected); /* who comes too late is in nobody's way */
    if (error) {
        return error;
    }
    queue(waiter);
    error = futex_check(address, expected);
    bool is_late = error && (futex_leave(waiter) || futex_wake_key(waiter->key, 1, waiter->bits) > 0);
    return is_late ? error : 0;
}

int64_t futex_sleep(const struct futex_deadline *deadline)
{
    uint64_t timeout = NO_TIMEOUT;
    if (deadline->at != NO_TIMEOUT) {
        uint64_t now = clock_now_ns(deadline->clock);
        timeout = deadline->at > now ? deadline->at - now : 0;
    }
    int64_t result = timeout ? task_sleep(timeout) : -ETIMEDOUT;
    /* the host's clocks may disagree: sleep again */
    return result == -ETIMEDOUT && deadline->at != NO_TIMEOUT && clock_now_ns(deadline->clock) < deadline->at ? 0 : result;
}

int64_t futex_wait(struct futex_word word, uint32_t expected, uint32_t bits, const struct futex_deadline *deadline)
{
    struct futex_waiter waiter = {.key = word.key, .bits = bits, .task = current_task()};
    int64_t result = futex_begin(&waiter, word.address, expected);
    if (result) {
        return result;
    }
    while (!result && !futex_was_woken(&waiter)) {
        result = futex_sleep(deadline);
    }
    return futex_leave(&waiter) ? result : 0;
}

int64_t futex_wake_key(struct futex_key key, uint32_t count, uint32_t bits)
{
    struct bucket *bucket = bucket_of(key);
    int64_t woken = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the application's store comes before this load */
    if (!__atomic_load_n(&bucket->first, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    spin_lock(&bucket->lock);
    for (struct futex_waiter *waiter = bucket->first, *next; waiter && woken < count; waiter = next) {
        next = waiter->next;
        if (futex_is_same(waiter->key, key) && (waiter->bits & bits)) {
            struct task *task = waiter->task;
            waiter->bits = bits;
            dequeue(bucket, waiter); /* from here on its stack may be gone */
            task_wake(task);
            woken++;
        }
    }
    spin_unlock(&bucket->lock);
    return woken;
}

int64_t futex_wake(user_address address, uint32_t count, uint32_t bits)
{
    return futex_wake_key(futex_word_at(address, false).key, count, bits);
}

bool futex_is_waited_for(struct futex_key key)
{
    struct bucket *bucket = bucket_of(key);
    spin_lock(&bucket->lock);
    struct futex_waiter *waiter = bucket->first;
    while (waiter && !futex_is_same(waiter->key, key)) {
        waiter = waiter->next;
    }
    spin_unlock(&bucket->lock);
    return waiter != NULL;
}

static void lock_two(struct bucket *one, struct bucket *other)
{
    struct bucket *first = one < other ? one : other;
    struct bucket *second = one < other ? other : one;
    spin_lock(&first->lock);
    if (second != first) {
        spin_lock(&second->lock);
    }
}

static void unlock_two(struct bucket *one, struct bucket *other)
{
    spin_unlock(&one->lock);
    if (other != one) {
        spin_unlock(&other->lock);
    }
}

int64_t futex_requeue(struct futex_key from, struct futex_key to, uint32_t wake, uint32_t move)
{
    struct bucket *source = bucket_of(from), *target = bucket_of(to);
    int64_t woken = 0, moved = 0;
    lock_two(source, target);
    struct futex_waiter *last = source->last;
    for (struct futex_waiter *waiter = source->first, *next; waiter; waiter = next) {
        /* those that are moved to the same bucket come behind `last` */
        next = waiter == last ? NULL : waiter->next;
        if (!futex_is_same(waiter->key, from)) {
            continue;
        }
        if (woken < wake) {
            struct task *task = waiter->task;
            waiter->bits = FUTEX_MATCH_ANY;
            dequeue(source, waiter);
            task_wake(task);
            woken++;
        } else if (moved < move) {
            *(waiter->previous ? &waiter->previous->next : &source->first) = waiter->next;
            *(waiter->next ? &waiter->next->previous : &source->last) = waiter->previous;
            waiter->key = to;
            enqueue(target, waiter);
            moved++;
        }
    }
    unlock_two(source, target);
    return woken + moved;
}
