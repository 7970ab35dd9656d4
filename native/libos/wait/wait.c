/* Locks and wait queues over OCALL_WAIT and OCALL_WAKE. The host can wake too often or never; it cannot make
 * a lock be held twice. */
#include "wait/spin.h"

#define SPINS_BEFORE_SLEEP 100

struct wait_upcalls wait_upcalls;

bool sleeper_is_asleep(const struct sleeper *sleeper)
{
    return __atomic_load_n(&sleeper->state, __ATOMIC_RELAXED) == TASK_SLEEPING;
}

bool sleeper_can_be_interrupted(const struct sleeper *sleeper)
{
    return sleeper_is_asleep(sleeper) && !__atomic_load_n(&sleeper->is_patient, __ATOMIC_RELAXED);
}

void task_wake(struct task *task)
{
    struct sleeper *sleeper = sleeper_of(task);
    if (__atomic_exchange_n(&sleeper->state, TASK_WOKEN, __ATOMIC_SEQ_CST) == TASK_SLEEPING) {
        spin_count(1);
        host_wake(sleeper->thread->host_index);
    }
}

/* Whoever sleeps does not keep others from the application's memory. */
static void let_others_run(bool is_brief)
{
    if (wait_upcalls.falls_asleep) {
        wait_upcalls.falls_asleep(is_brief);
    }
}

static bool begin_sleep(struct task *task, bool is_brief)
{
    let_others_run(is_brief);
    uint32_t expected = TASK_AWAKE;
    bool begins = __atomic_compare_exchange_n(&sleeper_of(task)->state, &expected, TASK_SLEEPING, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_SEQ_CST);
    if (begins) {
        spin_count(-1);
    }
    return begins;
}

static void end_sleep(struct task *task)
{
    if (__atomic_exchange_n(&sleeper_of(task)->state, TASK_AWAKE, __ATOMIC_SEQ_CST) == TASK_SLEEPING) {
        spin_count(1); /* nobody woke it */
    }
}

void sleeper_begin(struct sleeper *sleeper, struct thread *thread)
{
    __atomic_store_n(&sleeper->thread, thread, __ATOMIC_SEQ_CST);
    spin_count(1);
}

void sleeper_end(struct sleeper *sleeper)
{
    sleeper->thread = NULL;
    spin_count(-1);
}

bool task_sleep_begin(void)
{
    /* The state first, the signals second: whoever sends a signal marks it pending first and wakes second. */
    return begin_sleep(current_task(), false) && !wait_upcalls.signal_is_pending();
}

int task_sleep_end(void)
{
    end_sleep(current_task());
    return wait_upcalls.signal_is_pending() ? -EINTR : 0;
}

int task_sleep(uint64_t timeout_ns)
{
    int result = 0;
    struct sleeper *sleeper = sleeper_of(current_task());
    uint64_t wanted_ns = timeout_ns;
    let_others_run(false);
    struct spin spin = spin_for_wake(sleeper, &timeout_ns);
    bool sleeps = task_sleep_begin();
    if (sleeps && spin.is_over) {
        host_note_sleep(wanted_ns);
        result = -ETIMEDOUT;
    } else if (sleeps) {
        result = host_wait(timeout_ns);
    }
    spin_learn(sleeper, spin, sleeps);
    int interrupted = task_sleep_end();
    return interrupted ? interrupted : result == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

static void sleep_patiently(struct task *task, uint64_t timeout_ns, bool is_brief)
{
    bool *is_patient = &sleeper_of(task)->is_patient;
    __atomic_store_n(is_patient, true, __ATOMIC_RELAXED);
    if (begin_sleep(task, is_brief) && host_wait(timeout_ns) == -EINTR) {
        /* a signal is no reason to give up, but host_wait() will not sleep until it is taken */
        host_yield();
    }
    end_sleep(task);
    __atomic_store_n(is_patient, false, __ATOMIC_RELAXED);
}

void task_sleep_deaf_for(uint64_t timeout_ns)
{
    struct task *task = current_task();
    bool is_pending = wait_upcalls.signal_is_pending(); /* takes in what waits outside: the host's wait would end for it */
    sleep_patiently(task, timeout_ns, false);
    if (is_pending) { /* this may be the way back to the application, behind its look for signals */
        __atomic_store_n(&current_thread()->attention, 1, __ATOMIC_SEQ_CST);
    }
}

void task_sleep_deaf(void)
{
    task_sleep_deaf_for(NO_TIMEOUT);
}

void task_keep_wake(void)
{
    __atomic_store_n(&sleeper_of(current_task())->state, TASK_WOKEN, __ATOMIC_SEQ_CST);
}

void wait_queue_add(struct wait_queue *queue, struct waiter *waiter)
{
    spin_lock(&queue->lock);
    if (!waiter->queue) {
        waiter->queue = queue;
        waiter->next = NULL;
        waiter->previous = queue->last;
        *(queue->last ? &queue->last->next : &queue->first) = waiter;
        queue->last = waiter;
    }
    spin_unlock(&queue->lock);
}

static void unlink_waiter(struct wait_queue *queue, struct waiter *waiter)
{
    *(waiter->previous ? &waiter->previous->next : &queue->first) = waiter->next;
    *(waiter->next ? &waiter->next->previous : &queue->last) = waiter->previous;
    __atomic_store_n(&waiter->queue, NULL, __ATOMIC_RELEASE);
}

/* Takes the waiter out; false: a wake has done so already. */
static bool leave_queue(struct wait_queue *queue, struct waiter *waiter)
{
    spin_lock(&queue->lock);
    bool was_in = waiter->queue == queue;
    if (was_in) {
        unlink_waiter(queue, waiter);
    }
    spin_unlock(&queue->lock);
    return was_in;
}

void wait_queue_remove(struct waiter *waiter)
{
    struct wait_queue *queue = __atomic_load_n(&waiter->queue, __ATOMIC_ACQUIRE);
    if (queue) {
        leave_queue(queue, waiter);
    }
}

static void wake(struct wait_queue *queue, bool all)
{
    spin_lock(&queue->lock);
    for (struct waiter *waiter = queue->first, *next; waiter; waiter = next) {
        next = waiter->next;
        struct task *task = waiter->task;
        bool exclusive = !waiter->notify;
        if (exclusive) {
            unlink_waiter(queue, waiter); /* from here on its owner may reuse the memory */
        } else {
            waiter->notify(waiter);
        }
        if (task) {
            task_wake(task);
        }
        if (exclusive && !all) {
            break;
        }
    }
    spin_unlock(&queue->lock);
}

void wake_one(struct wait_queue *queue)
{
    wake(queue, false);
}

void wake_all(struct wait_queue *queue)
{
    wake(queue, true);
}

int wait_queue_sleep(struct wait_queue *queue, struct mutex *lock, uint64_t timeout_ns)
{
    struct waiter waiter = {.task = current_task()};
    wait_queue_add(queue, &waiter);
    if (lock) {
        mutex_unlock(lock);
    }
    int result = task_sleep(timeout_ns);
    bool woken = !leave_queue(queue, &waiter);
    if (lock) {
        mutex_lock(lock);
    }
    return woken ? 0 : result; /* a wake that reached this task must not be lost with its EINTR */
}

static bool try_lock(struct mutex *mutex)
{
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&mutex->state, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void mutex_lock(struct mutex *mutex)
{
    for (unsigned spins = 0; spins < SPINS_BEFORE_SLEEP; spins++) { /* most sections are shorter than an OCALL */
        if (__atomic_load_n(&mutex->state, __ATOMIC_RELAXED) == 0 && try_lock(mutex)) {
            return;
        }
        __builtin_ia32_pause();
    }
    struct task *task = current_task();
    struct waiter waiter = {.task = task};
    bool was_woken = false, is_own = false;
    for (;;) {
        wait_queue_add(&mutex->waiters, &waiter);
        is_own = __atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) == 0;
        if (is_own || __atomic_load_n(&waiter.has_lock, __ATOMIC_ACQUIRE)) {
            break;
        }
        if (was_woken) {
            __atomic_store_n(&mutex->is_claimed, true, __ATOMIC_RELAXED);
        }
        sleep_patiently(task, NO_TIMEOUT, true);
        was_woken = !__atomic_load_n(&waiter.queue, __ATOMIC_ACQUIRE);
    }
    if (!leave_queue(&mutex->waiters, &waiter) && is_own) {
        wake_one(&mutex->waiters); /* we took the lock by ourselves: the wake belongs to another */
    }
    /* a wake meant for our next sleep may have been swallowed here */
    task_keep_wake();
}

/* To the first that waits, without becoming free in between; false: nobody does. */
static bool hand_over(struct mutex *mutex)
{
    spin_lock(&mutex->waiters.lock);
    struct waiter *heir = mutex->waiters.first;
    __atomic_store_n(&mutex->is_claimed, false, __ATOMIC_RELAXED);
    if (heir) {
        struct task *task = heir->task;
        __atomic_store_n(&heir->has_lock, true, __ATOMIC_RELEASE);
        unlink_waiter(&mutex->waiters, heir);
        task_wake(task);
    }
    spin_unlock(&mutex->waiters.lock);
    return heir != NULL;
}

void mutex_unlock(struct mutex *mutex)
{
    if (__atomic_load_n(&mutex->is_claimed, __ATOMIC_RELAXED) && hand_over(mutex)) {
        return;
    }
    if (__atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2) {
        wake_one(&mutex->waiters);
    }
}

static struct mutex pages_lock;

static void lock_pages(void)
{
    mutex_lock(&pages_lock);
}

static void unlock_pages(void)
{
    mutex_unlock(&pages_lock);
}

void wait_start(uint32_t processors)
{
    spin_start(processors);
    base_upcalls.lock_pages = lock_pages;
    base_upcalls.unlock_pages = unlock_pages;
    boundary_upcalls.has_free_processor = has_free_processor;
}
