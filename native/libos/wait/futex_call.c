/* futex(2): what is asked for, and whether it may be. */
#include "wait/futex.h"

/* include/uapi/linux/futex.h */
enum futex_operation {
    FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP = 5, FUTEX_LOCK_PI = 6,
    FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10, FUTEX_WAIT_REQUEUE_PI = 11,
    FUTEX_CMP_REQUEUE_PI = 12, FUTEX_LOCK_PI2 = 13,
};
#define FUTEX_COMMAND_MASK (~(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME))
#define FUTEX_CLOCK_REALTIME 256U

/* What of each operation's arguments is there, by its number. */
enum operation_flag {
    IS_THERE = 1,
    HAS_TIMEOUT = 2,
    HAS_SECOND = 4,      /* a second word */
    CHOOSES_CLOCK = 8,   /* FUTEX_CLOCK_REALTIME is allowed */
    IS_RELATIVE = 16,    /* the timeout is */
    IS_REAL_TIME = 32,   /* the timeout is of that clock anyway */
};
static const uint8_t operations[] = {
    [FUTEX_WAIT] = IS_THERE | HAS_TIMEOUT | IS_RELATIVE,
    [FUTEX_WAKE] = IS_THERE,
    [FUTEX_REQUEUE] = IS_THERE | HAS_SECOND,
    [FUTEX_CMP_REQUEUE] = IS_THERE | HAS_SECOND,
    [FUTEX_WAKE_OP] = IS_THERE | HAS_SECOND,
    [FUTEX_LOCK_PI] = IS_THERE | HAS_TIMEOUT | IS_REAL_TIME,
    [FUTEX_UNLOCK_PI] = IS_THERE,
    [FUTEX_TRYLOCK_PI] = IS_THERE,
    [FUTEX_WAIT_BITSET] = IS_THERE | HAS_TIMEOUT | CHOOSES_CLOCK,
    [FUTEX_WAKE_BITSET] = IS_THERE,
    [FUTEX_WAIT_REQUEUE_PI] = IS_THERE | HAS_TIMEOUT | HAS_SECOND | CHOOSES_CLOCK,
    [FUTEX_CMP_REQUEUE_PI] = IS_THERE | HAS_SECOND,
    [FUTEX_LOCK_PI2] = IS_THERE | HAS_TIMEOUT | CHOOSES_CLOCK,
};

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
    int64_t error = copy_from_user(&old, address, sizeof old);
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

/* Linux ends with EINVAL at the first who waits for a lock of priority inheritance. */
static int64_t wake(struct futex_key key, uint32_t count, uint32_t bits)
{
    int64_t woken = futex_wake_key(key, count, bits);
    return woken < count && futex_pi_is_waited_for(key) ? -EINVAL : woken;
}

static int64_t wake_operation(struct futex_key one, struct futex_word other, uint32_t count, uint32_t other_count,
                              uint32_t encoded)
{
    bool condition;
    int64_t error = apply_operation(other.address, encoded, &condition);
    if (error) {
        return error;
    }
    int64_t woken = wake(one, count, FUTEX_MATCH_ANY);
    int64_t others = condition && woken >= 0 ? wake(other.key, other_count, FUTEX_MATCH_ANY) : 0;
    return woken < 0 ? woken : others < 0 ? others : woken + others;
}

static int64_t import_deadline(struct futex_deadline *deadline, user_address from, uint32_t flags, bool is_realtime)
{
    *deadline = (struct futex_deadline){
        .at = NO_TIMEOUT, .clock = is_realtime || (flags & IS_REAL_TIME) ? CLOCK_REALTIME : CLOCK_MONOTONIC};
    if (!(flags & HAS_TIMEOUT) || !from) {
        return 0;
    }
    int error = timeout_from_user(&deadline->at, from);
    if (!error && (flags & IS_RELATIVE)) {
        deadline->at += clock_now_ns(deadline->clock);
    }
    return error;
}

/* get_futex_key() of Linux: a word that may be shared is known by its page, which has to be there. */
static int64_t find_word(struct futex_word *word, user_address address, bool is_private)
{
    uint32_t none;
    if (address % sizeof none) {
        return -EINVAL;
    }
    if (!user_range_is_valid(address, sizeof none) || (!is_private && copy_from_user(&none, address, sizeof none))) {
        return -EFAULT;
    }
    *word = futex_word_at(address, is_private);
    return 0;
}

/* Linux wakes one before it counts. */
static uint32_t at_least_one(uint64_t count)
{
    return (int32_t)count < 1 ? 1 : (uint32_t)count;
}

static int64_t requeue_call(const struct arguments *arguments, struct futex_key from, struct futex_key to, bool compares)
{
    int64_t error = compares ? futex_check(arguments->at[0], (uint32_t)arguments->at[5]) : 0;
    if (!error && futex_pi_is_waited_for(from)) {
        return -EINVAL;
    }
    return error ? error : futex_requeue(from, to, (uint32_t)arguments->at[2], (uint32_t)arguments->at[3]);
}

/* A wait with a timeout does not start again behind a handler: its time would begin anew (signal(7)). */
static int64_t wait_call(const struct arguments *arguments, struct futex_word word, uint32_t bits,
                         const struct futex_deadline *deadline)
{
    int64_t result = bits ? futex_wait(word, (uint32_t)arguments->at[2], bits, deadline) : -EINVAL;
    return result == -EINTR && deadline->at != NO_TIMEOUT ? -ERESTART_RESTARTBLOCK : result;
}

static int64_t operate(const struct arguments *arguments, uint32_t command, struct futex_word word,
                       struct futex_word other, const struct futex_deadline *deadline)
{
    uint32_t value = (uint32_t)arguments->at[2], count = (uint32_t)arguments->at[3], last = (uint32_t)arguments->at[5];
    switch (command) {
    case FUTEX_WAIT:
        return wait_call(arguments, word, FUTEX_MATCH_ANY, deadline);
    case FUTEX_WAIT_BITSET:
        return wait_call(arguments, word, last, deadline);
    case FUTEX_WAKE:
        return wake(word.key, at_least_one(value), FUTEX_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return last ? wake(word.key, at_least_one(value), last) : -EINVAL;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        return requeue_call(arguments, word.key, other.key, command == FUTEX_CMP_REQUEUE);
    case FUTEX_WAKE_OP:
        return wake_operation(word.key, other, at_least_one(value), at_least_one(count), last);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(word, deadline);
    case FUTEX_TRYLOCK_PI:
        return futex_trylock_pi(word);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(word);
    case FUTEX_WAIT_REQUEUE_PI:
        return futex_wait_requeue_pi(word, value, other, deadline);
    default:
        return value == 1 ? futex_requeue_pi(word, other, count, last) : -EINVAL;
    }
}

int64_t sys_futex(const struct arguments *arguments)
{
    uint32_t operation = (uint32_t)arguments->at[1], command = operation & FUTEX_COMMAND_MASK;
    bool is_private = operation & FUTEX_PRIVATE, is_realtime = operation & FUTEX_CLOCK_REALTIME;
    uint32_t flags = command < ARRAY_LENGTH(operations) ? operations[command] : 0;
    struct futex_deadline deadline;
    struct futex_word word, other = {0};
    int64_t error = import_deadline(&deadline, arguments->at[3], flags, is_realtime);
    if (error) {
        return error;
    }
    if (!(flags & IS_THERE) || (is_realtime && !(flags & CHOOSES_CLOCK))) {
        return -ENOSYS;
    }
    bool counts = command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE || command == FUTEX_CMP_REQUEUE_PI;
    if (counts && ((int32_t)arguments->at[2] < 0 || (int32_t)arguments->at[3] < 0)) {
        return -EINVAL;
    }
    error = command == FUTEX_UNLOCK_PI ? futex_check_owner(arguments->at[0]) : 0;
    error = error ? error : find_word(&word, arguments->at[0], is_private);
    if (!error && (flags & HAS_SECOND)) {
        error = find_word(&other, arguments->at[4], is_private);
    }
    return error ? error : operate(arguments, command, word, other, &deadline);
}

/* futex_waitv(2): struct futex_waitv. */
struct waited_word {
    uint64_t value;
    user_address address;
    uint32_t flags, reserved;
};
#define WORDS_MAX 128U
#define FUTEX_32 2U

static int64_t import_word(struct futex_waiter *waiter, struct waited_word *wanted, user_address from)
{
    struct futex_word word;
    if (copy_from_user(wanted, from, sizeof *wanted)) {
        return -EFAULT;
    }
    if (wanted->reserved || !(wanted->flags & FUTEX_32) || (wanted->flags & ~(FUTEX_32 | FUTEX_PRIVATE)) ||
        wanted->value > UINT32_MAX) {
        return -EINVAL;
    }
    int64_t error = find_word(&word, wanted->address, wanted->flags & FUTEX_PRIVATE);
    *waiter = (struct futex_waiter){.key = word.key, .bits = FUTEX_MATCH_ANY, .task = current_task()};
    return error;
}

static bool any_was_woken(const struct futex_waiter *waiters, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        if (futex_was_woken(&waiters[at])) {
            return true;
        }
    }
    return false;
}

/* The place of one that was woken, or what went wrong. */
static int64_t wait_for_any(struct futex_waiter *waiters, const struct waited_word *words, uint32_t count,
                            const struct futex_deadline *deadline)
{
    int64_t result = 0;
    uint32_t queued = 0;
    while (queued < count && !result) {
        result = futex_begin(&waiters[queued], words[queued].address, (uint32_t)words[queued].value);
        queued += !result;
    }
    while (!result && !any_was_woken(waiters, queued)) {
        result = futex_sleep(deadline);
    }
    for (uint32_t at = 0; at < queued; at++) {
        result = futex_leave(&waiters[at]) ? result : at;
    }
    return result;
}

int64_t sys_futex_waitv(const struct arguments *arguments)
{
    uint32_t count = (uint32_t)arguments->at[1], clock = (uint32_t)arguments->at[4];
    struct futex_deadline deadline = {.at = NO_TIMEOUT, .clock = (enum clock_id)clock};
    if ((uint32_t)arguments->at[2] || !count || count > WORDS_MAX || !arguments->at[0]) {
        return -EINVAL;
    }
    if (arguments->at[3]) {
        if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) {
            return -EINVAL;
        }
        int error = timeout_from_user(&deadline.at, arguments->at[3]);
        if (error) {
            return error;
        }
    }
    size_t size = count * (sizeof(struct futex_waiter) + sizeof(struct waited_word));
    struct futex_waiter *waiters = allocate(size);
    if (!waiters) {
        return -ENOMEM;
    }
    struct waited_word *words = (struct waited_word *)(waiters + count);
    int64_t result = 0;
    for (uint32_t at = 0; at < count && !result; at++) {
        result = import_word(&waiters[at], &words[at], arguments->at[0] + at * sizeof *words);
    }
    result = result ? result : wait_for_any(waiters, words, count, &deadline);
    release(waiters, size);
    return result;
}
