/*
 * Futexes. A waiter queues first and looks at the word second: a wake between the two finds it. So the word
 * is never read under a lock. A word is known by its address; one in a shared object, unless the call says that it is
 * private, by the object and the offset there, since it may have several addresses.
 */
#include "wait/wait.h"

#define BUCKETS 256U

/* include/uapi/linux/futex.h */
enum futex_operation {
    FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP = 5,
    FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10,
};
#define FUTEX_COMMAND_MASK 0x7FU
#define FUTEX_PRIVATE 128U
#define FUTEX_CLOCK_REALTIME 256U
#define MATCH_ANY UINT32_MAX

struct bucket;

/* A word of the application: where calls find it, and what it is known by. */
struct word {
    user_address address;
    struct futex_key key;
};

struct futex_waiter {
    struct futex_waiter *next, *previous;
    struct bucket *bucket; /* NULL: woken */
    struct futex_key key;
    uint32_t bits;
    struct task *task;
};

static struct bucket {
    struct spinlock lock;
    struct futex_waiter *first, *last;
} buckets[BUCKETS];

static struct bucket *bucket_of(struct futex_key key)
{
    return &buckets[(key.offset >> 2 ^ key.offset >> 12 ^ key.object * 31) % BUCKETS];
}

static bool is_same(struct futex_key one, struct futex_key other)
{
    return one.object == other.object && one.offset == other.offset;
}

static struct word word_at(user_address address, bool is_private)
{
    struct word word = {address, {.offset = address}};
    if (!is_private) {
        wait_upcalls.find_shared(address, &word.key);
    }
    return word;
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

static bool leave(struct futex_waiter *waiter)
{
    struct bucket *bucket = lock_bucket_of(waiter);
    if (!bucket) {
        return false;
    }
    dequeue(bucket, waiter);
    spin_unlock(&bucket->lock);
    return true;
}

static int64_t read_word(user_address address, uint32_t *value)
{
    return address % 4 ? -EINVAL : copy_from_user(value, address, sizeof *value);
}

/* deadline: ns of `clock`, or NO_TIMEOUT. */
static int64_t futex_wait(struct word word, uint32_t expected, uint32_t bits, uint64_t deadline,
                          enum clock_id clock)
{
    uint32_t value;
    if (!bits) {
        return -EINVAL;
    }
    struct futex_waiter waiter = {.key = word.key, .bits = bits, .task = current_task()};
    struct bucket *bucket = bucket_of(word.key);
    spin_lock(&bucket->lock);
    enqueue(bucket, &waiter);
    spin_unlock(&bucket->lock);
    int64_t result = read_word(word.address, &value);
    if (!result && value != expected) {
        result = -EAGAIN;
    }
    while (!result && __atomic_load_n(&waiter.bucket, __ATOMIC_ACQUIRE)) {
        uint64_t timeout = NO_TIMEOUT;
        if (deadline != NO_TIMEOUT) {
            uint64_t now = clock_now_ns(clock);
            timeout = deadline > now ? deadline - now : 0;
        }
        result = timeout ? task_sleep(timeout) : -ETIMEDOUT;
        if (result == -ETIMEDOUT && deadline != NO_TIMEOUT && clock_now_ns(clock) < deadline) {
            result = 0; /* the host's clocks disagree: sleep again */
        }
    }
    return leave(&waiter) ? result : 0;
}

static int64_t wake_key(struct futex_key key, uint32_t count, uint32_t bits)
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
        if (is_same(waiter->key, key) && (waiter->bits & bits)) {
            struct task *task = waiter->task;
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
    return wake_key(word_at(address, false).key, count, bits);
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

/* Wake the first `wake` waiters of `from`, move up to `move` others to `to` -> woken and moved. */
static int64_t requeue(struct futex_key from, struct futex_key to, uint32_t wake, uint32_t move)
{
    struct bucket *source = bucket_of(from), *target = bucket_of(to);
    int64_t woken = 0, moved = 0;
    lock_two(source, target);
    struct futex_waiter *last = source->last;
    for (struct futex_waiter *waiter = source->first, *next; waiter; waiter = next) {
        /* those that are moved to the same bucket come behind `last` */
        next = waiter == last ? NULL : waiter->next;
        if (!is_same(waiter->key, from)) {
            continue;
        }
        if (woken < wake) {
            struct task *task = waiter->task;
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

/* FUTEX_WAKE_OP's encoded operation (futex(2)). */
static int64_t apply_operation(user_address address, uint32_t encoded, bool *condition)
{
    uint32_t operation = encoded >> 28 & 7, comparison = encoded >> 24 & 15;
    uint32_t operand = encoded >> 12 & 0xFFF;
    int32_t compared = (int32_t)(encoded << 20) >> 20;
    if (encoded >> 31) {
        operand = 1U << (operand & 31);
    } else {
        operand = (uint32_t)((int32_t)(operand << 20) >> 20);
    }
    uint32_t old;
    int64_t error = read_word(address, &old);
    while (!error) {
        const uint32_t results[] = {operand, old + operand, old | operand, old & ~operand, old ^ operand};
        if (operation >= ARRAY_LENGTH(results)) {
            return -ENOSYS;
        }
        error = user_compare_exchange(address, &old, results[operation]);
        if (error != -EAGAIN) {
            break;
        }
        error = 0;
    }
    int32_t value = (int32_t)old;
    const bool conditions[] = {
        value == compared, value != compared, value < compared,
        value <= compared, value > compared,  value >= compared,
    };
    if (comparison >= ARRAY_LENGTH(conditions)) {
        return -ENOSYS;
    }
    *condition = conditions[comparison];
    return error;
}

static int64_t wake_operation(struct futex_key one, struct word other, uint32_t count, uint32_t other_count,
                              uint32_t encoded)
{
    bool condition;
    int64_t error = apply_operation(other.address, encoded, &condition);
    if (error) {
        return error;
    }
    int64_t woken = wake_key(one, count, MATCH_ANY);
    return condition ? woken + wake_key(other.key, other_count, MATCH_ANY) : woken;
}

static int64_t call_wait(const struct arguments *arguments, struct word word, bool is_absolute, bool is_realtime, uint32_t bits)
{
    uint64_t deadline = NO_TIMEOUT;
    enum clock_id clock = is_realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    if (arguments->at[3]) {
        int error = timeout_from_user(&deadline, arguments->at[3]);
        if (error) {
            return error;
        }
        deadline += is_absolute ? 0 : clock_now_ns(clock);
    }
    return futex_wait(word, (uint32_t)arguments->at[2], bits, deadline, clock);
}

int64_t sys_futex(const struct arguments *arguments)
{
    user_address address = arguments->at[0], other = arguments->at[4];
    uint32_t operation = (uint32_t)arguments->at[1];
    uint32_t value = (uint32_t)arguments->at[2];
    uint32_t other_count = (uint32_t)arguments->at[3];
    uint32_t last = (uint32_t)arguments->at[5];
    bool is_realtime = operation & FUTEX_CLOCK_REALTIME;
    if (address % 4 || !user_range_is_valid(address, 4)) {
        return address % 4 ? -EINVAL : -EFAULT;
    }
    uint32_t command = operation & FUTEX_COMMAND_MASK;
    bool has_two = command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE;
    if (!(operation & FUTEX_PRIVATE)) {
        uint32_t none; /* a word that may be shared is known by its page: it has to be there */
        int64_t error = read_word(address, &none);
        error = !error && has_two ? read_word(other, &none) : error;
        if (error) {
            return error;
        }
    }
    const struct word word = word_at(address, operation & FUTEX_PRIVATE);
    switch (command) {
    case FUTEX_WAIT:
        return call_wait(arguments, word, false, is_realtime, MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return call_wait(arguments, word, true, is_realtime, last);
    case FUTEX_WAKE:
        return wake_key(word.key, value, MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return last ? wake_key(word.key, value, last) : -EINVAL;
    case FUTEX_CMP_REQUEUE: {
        uint32_t found;
        int64_t error = read_word(address, &found);
        if (error || found != last) {
            return error ? error : -EAGAIN;
        }
        return requeue(word.key, word_at(other, operation & FUTEX_PRIVATE).key, value, other_count);
    }
    case FUTEX_REQUEUE:
        return requeue(word.key, word_at(other, operation & FUTEX_PRIVATE).key, value, other_count);
    case FUTEX_WAKE_OP:
        return wake_operation(word.key, word_at(other, operation & FUTEX_PRIVATE), value, other_count, last);
    default:
        return -ENOSYS; /* priority inheritance */
    }
}
