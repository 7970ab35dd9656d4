/*
 * Switchless calls, on the host's side. A worker looks at the exchange area of each thread, again and again, and serves what is posted there with the
 * handlers that serve all calls. After a while without any it says in each area that nobody watches, and sleeps: an idle program burns nothing. Calls come
 * by leaving then, and wake a worker as soon as two of them come within the time that one would watch for; a program that makes fewer has no use for it.
 * Nor has one whose threads post nothing, because no processor is free: each watch in vain doubles how many such calls wake nobody, each other one halves it.
 */
#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ocall.h"
#include "process.h"

#define WATCH_NS 1000000 /* after the last call */
#define PENALTY_MAX 63U
#define WORKER_STACK_SIZE (256UL << 10) /* of the handlers: as for enclave threads */

static struct worker {
    pthread_t handle;
    uint32_t is_asleep; /* futex word */
} workers[WORKERS_MAX];
static uint32_t worker_count;
static uint32_t skips, penalty; /* a guess of all workers: what one of them overwrites of another's does not matter */
static uint32_t is_stopping;
static cpu_set_t processors; /* on which workers may run; those beyond its size, no longer, once they keep off one */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool change(struct host_thread *thread, uint32_t from, uint32_t to)
{
    return __atomic_load_n(&thread->exchange->switchless, __ATOMIC_RELAXED) == from &&
           __atomic_compare_exchange_n(&thread->exchange->switchless, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* One look at all threads; was there something to do? */
static bool serve_posted(void)
{
    bool has_served = false;
    for (uint32_t index = 0; index < host_threads_used(); index++) {
        struct host_thread *thread = host_thread_at(index);
        if (change(thread, SWITCHLESS_POSTED, SWITCHLESS_TAKEN)) {
            ocall_serve_switchless(thread);
            __atomic_store_n(&thread->exchange->switchless, SWITCHLESS_DONE, __ATOMIC_RELEASE);
            has_served = true;
        } else {
            change(thread, SWITCHLESS_CLOSED, SWITCHLESS_OPEN);
        }
    }
    return has_served;
}

static bool stops(void)
{
    return __atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE);
}

/* Another worker that watches opens them again. What is posted in between is withdrawn. */
static void close_all(void)
{
    for (uint32_t index = 0; index < host_threads_used(); index++) {
        change(host_thread_at(index), SWITCHLESS_OPEN, SWITCHLESS_CLOSED);
    }
}

static void sleep_until_called(struct worker *worker)
{
    close_all();
    __atomic_store_n(&worker->is_asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&worker->is_asleep, __ATOMIC_SEQ_CST) && !stops()) {
        syscall(SYS_futex, &worker->is_asleep, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    }
}

static void learn(bool was_in_vain)
{
    uint32_t last = __atomic_load_n(&penalty, __ATOMIC_RELAXED), next = was_in_vain ? 2 * last + 1 : last / 2;
    next = next < PENALTY_MAX ? next : PENALTY_MAX;
    __atomic_store_n(&penalty, next, __ATOMIC_RELAXED);
    __atomic_store_n(&skips, was_in_vain ? next : 0, __ATOMIC_RELAXED);
}

static void *watch(void *argument)
{
    struct worker *worker = argument;
    int64_t last = now_ns();
    bool has_served = true; /* the first time does not count: the program has not begun */
    while (!stops()) {
        int64_t now = now_ns();
        if (serve_posted()) {
            last = now;
            has_served = true;
        } else if (now - last > WATCH_NS) {
            learn(!has_served);
            sleep_until_called(worker);
            last = now_ns();
            has_served = false;
        } else {
            _mm_pause();
        }
    }
    close_all();
    return NULL;
}

/* Not where the call came from: threads that are woken would be put there, one before the other, and the kernel leaves for milliseconds where it is who
 * waits for a processor. */
static void keep_off(struct worker *worker, int processor)
{
    cpu_set_t others = processors;
    if (processor >= 0 && processor < CPU_SETSIZE) {
        CPU_CLR(processor, &others);
    }
    if (CPU_COUNT(&others) > 0) {
        pthread_setaffinity_np(worker->handle, sizeof(others), &others);
    }
}

static void wake(struct worker *worker)
{
    if (__atomic_exchange_n(&worker->is_asleep, 0, __ATOMIC_SEQ_CST)) {
        syscall(SYS_futex, &worker->is_asleep, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    }
}

void workers_note_call(void)
{
    static int64_t last;
    uint32_t count = __atomic_load_n(&worker_count, __ATOMIC_ACQUIRE);
    if (count == 0) {
        return;
    }
    int64_t now = now_ns(), before = __atomic_exchange_n(&last, now, __ATOMIC_RELAXED);
    uint32_t left = __atomic_load_n(&skips, __ATOMIC_RELAXED);
    if (left > 0) {
        __atomic_store_n(&skips, left - 1, __ATOMIC_RELAXED);
        return;
    }
    for (uint32_t index = 0; index < count && now - before < WATCH_NS; index++) {
        if (__atomic_load_n(&workers[index].is_asleep, __ATOMIC_RELAXED)) {
            keep_off(&workers[index], sched_getcpu());
            wake(&workers[index]);
            return;
        }
    }
}

static int begin(struct worker *worker)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->handle, &attributes, watch, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int64_t ocall_workers(struct request *call)
{
    uint64_t wanted = call->arguments[0];
    if (wanted == 0 || wanted > WORKERS_MAX || worker_count != 0) {
        return -EINVAL;
    }
    uint32_t count = 0;
    CPU_ZERO(&processors);
    sched_getaffinity(0, sizeof(processors), &processors); /* an error: on more processors than there is room for */
    while (count < wanted && begin(&workers[count]) == 0) {
        count++;
    }
    __atomic_store_n(&worker_count, count, __ATOMIC_RELEASE);
    return count > 0 ? 0 : -EAGAIN;
}

void workers_stop(void)
{
    uint32_t count = __atomic_exchange_n(&worker_count, 0, __ATOMIC_ACQ_REL);
    __atomic_store_n(&is_stopping, 1, __ATOMIC_SEQ_CST);
    for (uint32_t index = 0; index < count; index++) {
        wake(&workers[index]);
        pthread_join(workers[index].handle, NULL);
    }
    __atomic_store_n(&is_stopping, 0, __ATOMIC_SEQ_CST);
}
