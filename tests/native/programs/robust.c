/* Locks of threads that ended while they held them: get_robust_list(2), Documentation/locking/robust-futex-ABI. */
#define _GNU_SOURCE
#include "check.h"

#include "futexes.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

struct lock {
    struct robust_list link;
    uint32_t word;
};
static struct robust_list_head head;
static struct lock locks[4];
static volatile uint32_t waiting;

/* Until the word changes. */
static void *wait_for_change(void *word)
{
    uint32_t seen = *(volatile uint32_t *)word;
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    while (*(volatile uint32_t *)word == seen) {
        futex(word, FUTEX_WAIT, seen);
    }
    return NULL;
}

/* Not NULL: it was woken. The other thread may have ended before this one slept: nobody can see that. */
static void *wait_for_wake(void *word)
{
    const struct timespec limit = {.tv_nsec = 500000000};
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    return syscall(SYS_futex, word, FUTEX_WAIT, 0, &limit, NULL, 0) == 0 ? word : NULL;
}

/* Holds a plain one, one with a waiter, one of priority inheritance, one that is not its own, and one that it is just taking. */
static void *hold(void *pending_is_free)
{
    uint32_t id = (uint32_t)gettid();
    head = (struct robust_list_head){.futex_offset = offsetof(struct lock, word)};
    struct robust_list *last = &head.list;
    for (int at = 0; at < 3; at++) {
        locks[at].word = at == 1 ? id | FUTEX_WAITERS : at == 2 ? 1 : id;
        last->next = &locks[at].link;
        last = &locks[at].link;
    }
    last->next = &head.list;
    locks[3].word = pending_is_free ? 0 : id;
    head.list_op_pending = &locks[3].link;
    CHECK(syscall(SYS_set_robust_list, &head, sizeof head) == 0);
    CHECK(syscall(SYS_set_robust_list, &head, sizeof head - 1) == -1 && errno == EINVAL);
    struct robust_list_head *found;
    size_t size = 0;
    CHECK(syscall(SYS_get_robust_list, 0, &found, &size) == 0 && found == &head && size == sizeof head);
    CHECK(syscall(SYS_get_robust_list, gettid(), &found, &size) == 0 && found == &head);
    CHECK(syscall(SYS_get_robust_list, 0x3FFFFFFF, &found, &size) == -1 && errno == ESRCH);
    CHECK(syscall(SYS_get_robust_list, 0, NULL, &size) == -1 && errno == EFAULT);
    while (waiting < 1 + (pending_is_free != NULL)) {
        sched_yield();
    }
    usleep(20000);
    return NULL;
}

static int lists(void *pending_is_free)
{
    void *was_woken = NULL;
    pthread_t waiters[2], holder;
    memset(locks, 0, sizeof locks);
    waiting = 0;
    CHECK(pthread_create(&holder, NULL, hold, pending_is_free) == 0);
    while (!*(volatile uint32_t *)&locks[1].word) {
        sched_yield();
    }
    CHECK(pthread_create(&waiters[0], NULL, wait_for_change, &locks[1].word) == 0);
    if (pending_is_free) {
        CHECK(pthread_create(&waiters[1], NULL, wait_for_wake, &locks[3].word) == 0);
    }
    CHECK(pthread_join(waiters[0], NULL) == 0 && pthread_join(holder, NULL) == 0);
    CHECK(locks[0].word == FUTEX_OWNER_DIED);
    CHECK(locks[1].word == (FUTEX_OWNER_DIED | FUTEX_WAITERS));
    CHECK(locks[2].word == 1);
    while (!pending_is_free && *(volatile uint32_t *)&locks[3].word != FUTEX_OWNER_DIED) {
        sched_yield();
    }
    if (pending_is_free) { /* woken although nothing has changed */
        CHECK(pthread_join(waiters[1], &was_woken) == 0 && locks[3].word == 0);
    }
    return was_woken != NULL;
}

/* A list that is a ring, or leads nowhere, ends the thread all the same. */
static void *hold_ring(void *broken)
{
    static struct robust_list_head ring;
    static struct lock one;
    one.word = (uint32_t)gettid();
    ring = (struct robust_list_head){.list = {&one.link}, .futex_offset = offsetof(struct lock, word)};
    one.link.next = broken ? (struct robust_list *)8 : &one.link;
    CHECK(syscall(SYS_set_robust_list, &ring, sizeof ring) == 0);
    return &one.word;
}

static void broken_lists(void)
{
    for (intptr_t broken = 0; broken < 2; broken++) {
        pthread_t thread;
        void *word;
        CHECK(pthread_create(&thread, NULL, hold_ring, (void *)broken) == 0);
        CHECK(pthread_join(thread, &word) == 0);
        CHECK(*(uint32_t *)word == FUTEX_OWNER_DIED);
    }
}

static pthread_mutex_t *mutex;

static void *die_with_mutex(void *argument)
{
    (void)argument;
    CHECK(pthread_mutex_lock(mutex) == 0);
    return NULL;
}

static void mutexes(void)
{
    pthread_mutexattr_t attributes;
    pthread_t thread;
    mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mutex != MAP_FAILED && pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutex_init(mutex, &attributes) == 0);
    CHECK(pthread_create(&thread, NULL, die_with_mutex, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD && pthread_mutex_consistent(mutex) == 0);
    CHECK(pthread_mutex_unlock(mutex) == 0);
    CHECK(pthread_create(&thread, NULL, die_with_mutex, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_mutex_trylock(mutex) == EOWNERDEAD && pthread_mutex_unlock(mutex) == 0);
    CHECK(pthread_mutex_lock(mutex) == ENOTRECOVERABLE);
}

int main(void)
{
    mutexes();
    int rounds = 20;
    lists(NULL);
    while (!lists((void *)1)) {
        CHECK(--rounds > 0);
    }
    broken_lists();
    puts("robust ok");
}
