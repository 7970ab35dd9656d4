/* futex(2) and futex_waitv(2): what is refused, in which order; waiting for several words; locks of priority inheritance. */
#define _GNU_SOURCE
#include "check.h"
#include "futexes.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#define MILLISECOND 1000000L
#define BAD ((uint32_t *)-4096L)
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static long call(uint32_t *word, int operation, uint32_t value, void *timeout, uint32_t *other, uint32_t last)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, other, last);
}

static long count_call(uint32_t *word, int operation, uint32_t value, unsigned long count, uint32_t *other, uint32_t last)
{
    return call(word, operation, value, (void *)count, other, last);
}

static void refusals(void)
{
    static uint32_t words[2];
    uint32_t *odd = (uint32_t *)((char *)words + 1), *unmapped = (uint32_t *)4096;
    struct timespec bad = {.tv_nsec = 1000000000L}, now = {0};
    const int one_word[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_LOCK_PI2};
    for (unsigned i = 0; i < sizeof one_word / sizeof one_word[0]; i++) {
        FAILS(call(odd, one_word[i], 1, NULL, NULL, 0), EINVAL);
        FAILS(call(BAD, one_word[i], 1, NULL, NULL, 0), EFAULT);
        FAILS(syscall(SYS_futex, unmapped, one_word[i], 1, NULL, NULL, 0), EFAULT);
        if (one_word[i] != FUTEX_WAKE) { /* a private word is looked for by its address alone */
            FAILS(call(unmapped, one_word[i], 1, NULL, NULL, 0), EFAULT);
        }
    }
    FAILS(call(odd, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM); /* it looks at the owner first */
    FAILS(call(BAD, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EFAULT);
    FAILS(call(unmapped, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EFAULT);
    const int two_words[] = {FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP};
    for (unsigned i = 0; i < sizeof two_words / sizeof two_words[0]; i++) {
        FAILS(count_call(words, two_words[i], 1, 1, odd, 0), EINVAL);
        FAILS(count_call(words, two_words[i], 1, 1, BAD, 0), EFAULT);
        FAILS(syscall(SYS_futex, words, two_words[i], 1, 1L, unmapped, 0), EFAULT);
    }
    FAILS(count_call(words, FUTEX_REQUEUE, (uint32_t)-1, 1, words + 1, 0), EINVAL);
    FAILS(count_call(words, FUTEX_CMP_REQUEUE, 1, (unsigned)-1, words + 1, 0), EINVAL);
    FAILS(count_call(words, FUTEX_CMP_REQUEUE, 1, 1, words + 1, 7), EAGAIN);
    FAILS(count_call(words, FUTEX_WAKE_OP, 1, 1, words + 1, 7U << 28), ENOSYS);
    FAILS(count_call(words, FUTEX_WAKE_OP, 1, 1, unmapped, 0), EFAULT);
    FAILS(call(words, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    FAILS(call(words, FUTEX_WAIT, 0, (void *)8, NULL, 0), EFAULT);
    FAILS(call(words, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    FAILS(call(words, FUTEX_WAIT, 0, &now, NULL, 0), ETIMEDOUT);
    FAILS(call(words, FUTEX_WAIT_BITSET, 0, &now, NULL, 0), EINVAL);
    FAILS(call(words, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &now, NULL, 1), ETIMEDOUT);
    FAILS(call(words, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
    FAILS(call(words, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
    FAILS(call(odd, 2, 1, NULL, NULL, 0), ENOSYS);
    FAILS(call(odd, 77, 1, NULL, NULL, 0), ENOSYS);
}

/* struct futex_waitv */
struct waited_word {
    uint64_t value, address;
    uint32_t flags, reserved;
};

static uint32_t words[128];

static void *wake_later(void *word)
{
    usleep(20000);
    while (call(word, FUTEX_WAKE, 1, NULL, NULL, 0) != 1) {
        usleep(1000);
    }
    return NULL;
}

static void several(void)
{
    static struct waited_word wanted[129];
    pthread_t thread;
    struct timespec limit;
    for (int at = 0; at < 128; at++) {
        wanted[at] = (struct waited_word){.address = (uint64_t)&words[at], .flags = 2 | FUTEX_PRIVATE_FLAG};
    }
    for (int at = 0; at < 128; at += 63) {
        CHECK(pthread_create(&thread, NULL, wake_later, &words[at]) == 0);
        CHECK(syscall(SYS_futex_waitv, wanted, 128, 0, NULL, 0) == at);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK(clock_gettime(CLOCK_MONOTONIC, &limit) == 0);
    FAILS(syscall(SYS_futex_waitv, wanted, 3, 0, &limit, CLOCK_MONOTONIC), ETIMEDOUT);
    FAILS(syscall(SYS_futex_waitv, wanted, 3, 0, &limit, 5), EINVAL);
    FAILS(syscall(SYS_futex_waitv, wanted, 3, 0, 8, CLOCK_MONOTONIC), EFAULT);
    FAILS(syscall(SYS_futex_waitv, wanted, 0, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, wanted, 129, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, NULL, 1, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, 8, 1, 0, NULL, 0), EFAULT);
    FAILS(syscall(SYS_futex_waitv, wanted, 1, 1, NULL, 0), EINVAL);
    wanted[1].value = 9;
    FAILS(syscall(SYS_futex_waitv, wanted, 2, 0, NULL, 0), EAGAIN);
    wanted[1].value = 0;
    wanted[1].reserved = 1;
    FAILS(syscall(SYS_futex_waitv, wanted, 2, 0, NULL, 0), EINVAL);
    wanted[1].reserved = 0;
    wanted[1].flags = FUTEX_PRIVATE_FLAG;
    FAILS(syscall(SYS_futex_waitv, wanted, 2, 0, NULL, 0), EINVAL);
    wanted[1].flags = 2 | FUTEX_PRIVATE_FLAG;
    wanted[1].address = 4096;
    FAILS(syscall(SYS_futex_waitv, wanted, 2, 0, NULL, 0), EFAULT);
}

static uint32_t lock;
static volatile int counter, in_section, waiting;

static void take(uint32_t *word)
{
    uint32_t free = 0;
    if (!__atomic_compare_exchange_n(word, &free, (uint32_t)gettid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        CHECK(call(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    }
    CHECK((*(volatile uint32_t *)word & FUTEX_TID_MASK) == (uint32_t)gettid());
}

static void give(uint32_t *word)
{
    uint32_t own = (uint32_t)gettid();
    if (!__atomic_compare_exchange_n(word, &own, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        CHECK(call(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
    }
}

static void *work(void *unused)
{
    for (int round = 0; round < 2000; round++) {
        take(&lock);
        CHECK(in_section++ == 0);
        counter++;
        in_section--;
        give(&lock);
    }
    return unused;
}

static void *lock_with_signals(void *word)
{
    waiting = gettid();
    CHECK(call(word, FUTEX_LOCK_PI2, 0, NULL, NULL, 0) == 0); /* no EINTR, ever */
    give(word);
    return NULL;
}

static void *end_with_lock(void *word)
{
    take(word);
    while (!waiting) {
        usleep(1000);
    }
    usleep(20000);
    return NULL;
}

static void nothing(int signal)
{
    (void)signal;
}

static void inheritance(void)
{
    pthread_t threads[4];
    uint32_t value;
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_create(&threads[at], NULL, work, NULL) == 0);
    }
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    CHECK(counter == 8000 && (lock & FUTEX_TID_MASK) == 0);
    value = 0;
    CHECK(call(&value, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0) == 0 && value == (uint32_t)gettid());
    FAILS(call(&value, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    FAILS(call(&value, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK(call(&value, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0 && value == 0);
    FAILS(call(&value, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    value = 0x3FFFFFF0;
    FAILS(call(&value, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
    value = FUTEX_OWNER_DIED;
    CHECK(call(&value, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    CHECK(value == (FUTEX_OWNER_DIED | (uint32_t)gettid()));
    take(&lock);
    waiting = 0;
    CHECK(signal(SIGUSR1, nothing) != SIG_ERR && siginterrupt(SIGUSR1, 1) == 0);
    CHECK(pthread_create(&threads[0], NULL, lock_with_signals, &lock) == 0);
    for (int round = 0; round < 5; round++) {
        usleep(5000);
        CHECK(pthread_kill(threads[0], SIGUSR1) == 0);
    }
    CHECK(lock & FUTEX_WAITERS);
    give(&lock);
    CHECK(pthread_join(threads[0], NULL) == 0);
}

static void *lock_until(void *word)
{
    struct timespec limit;
    CHECK(clock_gettime(CLOCK_REALTIME, &limit) == 0);
    FAILS(call(word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
    FAILS(call(word, FUTEX_LOCK_PI, 0, &limit, NULL, 0), ETIMEDOUT);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &limit) == 0);
    FAILS(call(word, FUTEX_LOCK_PI2, 0, &limit, NULL, 0), ETIMEDOUT);
    return NULL;
}

static void deaths_and_limits(void)
{
    static uint32_t word;
    pthread_t thread, other;
    waiting = 0;
    CHECK(pthread_create(&thread, NULL, end_with_lock, &word) == 0);
    while (!*(volatile uint32_t *)&word) {
        usleep(1000);
    }
    waiting = 1;
    CHECK(call(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0); /* the other ends with it */
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK((word & FUTEX_OWNER_DIED) && (word & FUTEX_TID_MASK) == (uint32_t)gettid());
    CHECK(pthread_create(&other, NULL, lock_until, &word) == 0 && pthread_join(other, NULL) == 0);
    CHECK(call(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0 && word == 0);
}

static uint32_t condition, mutex;
static volatile int passed;

static void *wait_for_condition(void *unused)
{
    take(&mutex);
    uint32_t seen = condition;
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    give(&mutex);
    CHECK(call(&condition, FUTEX_WAIT_REQUEUE_PI, seen, NULL, &mutex, 0) == 0);
    CHECK((mutex & FUTEX_TID_MASK) == (uint32_t)gettid() && in_section++ == 0);
    passed++;
    in_section--;
    give(&mutex);
    return unused;
}

static void *wait_plainly(void *at)
{
    waiting = 1;
    CHECK(call(at, FUTEX_WAIT, 0, NULL, NULL, 0) == 0);
    return NULL;
}

/* Who only waits is no business of locks of priority inheritance. */
static void mixing(void)
{
    static uint32_t plain;
    pthread_t thread;
    waiting = 0;
    CHECK(pthread_create(&thread, NULL, wait_plainly, &plain) == 0);
    while (!waiting) {
        usleep(1000);
    }
    usleep(30000);
    FAILS(call(&plain, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
    FAILS(call(&plain, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EINVAL);
    FAILS(count_call(&plain, FUTEX_CMP_REQUEUE_PI, 1, 10, &mutex, 0), EINVAL);
    CHECK(call(&plain, FUTEX_WAKE, 1, NULL, NULL, 0) == 1 && pthread_join(thread, NULL) == 0);
}

static void requeueing(void)
{
    static uint32_t elsewhere;
    pthread_t threads[3];
    struct timespec limit;
    waiting = 0;
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_create(&threads[at], NULL, wait_for_condition, NULL) == 0);
    }
    while (waiting < 3) {
        usleep(1000);
    }
    usleep(30000);
    FAILS(count_call(&condition, FUTEX_CMP_REQUEUE_PI, 1, 10, &mutex, condition + 1), EAGAIN);
    FAILS(count_call(&condition, FUTEX_CMP_REQUEUE_PI, 2, 10, &mutex, condition), EINVAL);
    FAILS(count_call(&condition, FUTEX_CMP_REQUEUE_PI, 1, 10, &condition, condition), EINVAL);
    FAILS(call(&condition, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL); /* such are not woken, nor moved otherwise */
    FAILS(call(&condition, FUTEX_WAKE_BITSET, 1, NULL, NULL, 1), EINVAL);
    FAILS(count_call(&condition, FUTEX_REQUEUE, 1, 1, &elsewhere, 0), EINVAL);
    FAILS(count_call(&condition, FUTEX_CMP_REQUEUE, 1, 1, &elsewhere, condition), EINVAL);
    CHECK(count_call(&condition, FUTEX_CMP_REQUEUE_PI, 1, 10, &mutex, condition) == 3);
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    CHECK(passed == 3);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &limit) == 0);
    FAILS(call(&condition, FUTEX_WAIT_REQUEUE_PI, condition, &limit, &mutex, 0), ETIMEDOUT);
    FAILS(call(&condition, FUTEX_WAIT_REQUEUE_PI, condition + 1, NULL, &mutex, 0), EAGAIN);
    FAILS(call(&condition, FUTEX_WAIT_REQUEUE_PI, condition, NULL, &condition, 0), EINVAL);
}

int main(void)
{
    refusals();
    several();
    inheritance();
    deaths_and_limits();
    requeueing();
    mixing();
    puts("futexes ok");
}
