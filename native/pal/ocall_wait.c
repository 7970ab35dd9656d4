/*
 * Sleeping. Two events end a sleep: a wake from another thread (OCALL_WAKE), and an interruption (a host signal, OCALL_INTERRUPT). Both are bits of
 * one word that stay set until the sleeper has seen them, so neither is lost, whenever it comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "ocall.h"
#include "ocall_files.h"
#include "read_ahead.h"
#include "wait.h"

#define NS_PER_SECOND 1000000000ULL
#define NO_TIMEOUT UINT64_MAX
#define KERNEL_SIGSET_SIZE 8

const struct timespec *timespec_of(uint64_t ns, struct timespec *time)
{
    *time = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)};
    return ns == NO_TIMEOUT ? NULL : time;
}

/* Takes an event, if it is there. */
static bool take(struct host_thread *thread, uint32_t event)
{
    return __atomic_fetch_and(&thread->events, ~event, __ATOMIC_SEQ_CST) & event;
}

int64_t ocall_wait(struct request *call)
{
    struct timespec time;
    const struct timespec *timeout = timespec_of(call->arguments[0], &time);
    struct host_thread *thread = call->thread;
    for (;;) {
        if (take(thread, EVENT_WAKE)) {
            return 0;
        }
        if (take(thread, EVENT_INTERRUPT)) {
            return -EINTR;
        }
        if (syscall(SYS_futex, &thread->events, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, timeout, NULL, 0) != 0 && errno == ETIMEDOUT) {
            return take(thread, EVENT_WAKE) ? 0 : -ETIMEDOUT;
        }
    }
}

int64_t ocall_wake(struct request *call)
{
    struct host_thread *thread = host_thread_at(call->arguments[0]);
    if (!thread) {
        return -ESRCH;
    }
    __atomic_fetch_or(&thread->events, EVENT_WAKE, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &thread->events, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    if (__atomic_load_n(&thread->polling, __ATOMIC_SEQ_CST)) {
        host_thread_interrupt(thread);
    }
    return 0;
}

int64_t ocall_interrupt(struct request *call)
{
    struct host_thread *thread = host_thread_at(call->arguments[0]);
    if (!thread) {
        return -ESRCH;
    }
    host_thread_interrupt(thread);
    return 0;
}

static int64_t end_with_events(struct host_thread *thread, uint32_t events, long number, long a, long b, long c, long d, long e)
{
    thread->events_that_interrupt = events;
    return interruptible_syscall(&thread->events, number, a, b, c, d, e);
}

int64_t blocking_syscall(struct host_thread *thread, long number, long a, long b, long c, long d)
{
    int64_t result = end_with_events(thread, EVENT_INTERRUPT, number, a, b, c, d, 0);
    if (result == -EINTR) {
        take(thread, EVENT_INTERRUPT);
    }
    return result;
}

int64_t wakeable_syscall(struct host_thread *thread, struct waiting_call call)
{
    const long *given = call.arguments;
    __atomic_store_n(&thread->polling, 1, __ATOMIC_SEQ_CST);
    int64_t result = end_with_events(thread, EVENT_INTERRUPT | EVENT_WAKE, call.number, given[0], given[1], given[2], given[3], given[4]);
    __atomic_store_n(&thread->polling, 0, __ATOMIC_SEQ_CST);
    bool woken = take(thread, EVENT_WAKE);
    if (result != -EINTR) {
        return result;
    }
    bool interrupted = take(thread, EVENT_INTERRUPT);
    call.arguments[call.timeout] = call.no_timeout; /* it may not have looked at all */
    result = end_with_events(thread, 0, call.number, given[0], given[1], given[2], given[3], given[4]);
    return result != 0 && result != -EINTR ? result : woken || !interrupted ? 0 : -EINTR;
}

_Static_assert(sizeof(struct host_poll) == sizeof(struct pollfd) && offsetof(struct host_poll, events) == offsetof(struct pollfd, events) &&
                   offsetof(struct host_poll, revents) == offsetof(struct pollfd, revents), "struct host_poll is turned into struct pollfd in place");

int64_t ocall_poll(struct request *call)
{
    static const struct timespec now = {0};
    struct timespec time;
    uint64_t count = call->arguments[0];
    struct host_poll *entries = (struct host_poll *)call->data;
    for (uint64_t index = 0; index < count; index++) {
        entries[index].fd = host_descriptor(entries[index].fd);
        entries[index].revents = 0;
    }
    struct waiting_call wait = {SYS_ppoll, {(long)entries, (long)count, (long)timespec_of(call->arguments[1], &time), 0, KERNEL_SIGSET_SIZE}, 2, (long)&now};
    int64_t found = wakeable_syscall(call->thread, wait);
    if (found == 0) {
        call->thread->exchange->aheads = read_ahead_count();
    }
    return found;
}
