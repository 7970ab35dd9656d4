/* epoll(7) for the enclave's epolls: what of their files is the host's. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ocall.h"
#include "ocall_files.h"
#include "read_ahead.h"
#include "wait.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define EVENTS_MAX 1024U
#define NS_PER_MS 1000000ULL
#define NO_TIMEOUT UINT64_MAX

int64_t ocall_events_create(struct request *call)
{
    (void)call;
    int descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor < 0 ? -errno : host_descriptor_add(descriptor);
}

int64_t ocall_events_change(struct request *call)
{
    struct epoll_event event = {.events = (uint32_t)call->arguments[3], .data.u64 = call->arguments[2]};
    int events = host_descriptor((int64_t)call->arguments[0]), descriptor = host_descriptor((int64_t)call->arguments[2]);
    return epoll_ctl(events, (int)call->arguments[1], descriptor, &event) == 0 ? 0 : -errno;
}

/* In whole milliseconds, never too early. */
static int milliseconds(uint64_t timeout_ns)
{
    uint64_t rounded = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS > 0);
    return timeout_ns == NO_TIMEOUT ? -1 : rounded < INT32_MAX ? (int)rounded : INT32_MAX;
}

/* epoll_pwait2 where the kernel has it and lets us: a container's seccomp profile may know only the older one. */
static int64_t wait_for(struct host_thread *thread, int events, struct epoll_event *found, int room, uint64_t timeout_ns)
{
    static const struct timespec now = {0};
    static uint32_t is_refused;
    struct timespec time;
    struct waiting_call wait = {SYS_epoll_pwait2, {events, (long)found, room, (long)timespec_of(timeout_ns, &time), 0}, 3, (long)&now};
    if (timeout_ns != 0 && timeout_ns != NO_TIMEOUT && !__atomic_load_n(&is_refused, __ATOMIC_RELAXED)) {
        int64_t result = wakeable_syscall(thread, wait);
        if (result != -ENOSYS && result != -EPERM) {
            return result;
        }
        __atomic_store_n(&is_refused, 1, __ATOMIC_RELAXED);
    }
    wait.number = SYS_epoll_pwait;
    wait.arguments[wait.timeout] = milliseconds(timeout_ns);
    wait.no_timeout = 0;
    return wakeable_syscall(thread, wait);
}

int64_t ocall_events_wait(struct request *call)
{
    struct epoll_event found[EVENTS_MAX];
    struct host_ahead *ahead = (struct host_ahead *)call->data;
    struct host_event *answers = (struct host_event *)(ahead + 1);
    uint64_t room = call->arguments[1] < EVENTS_MAX ? call->arguments[1] : EVENTS_MAX;
    if (room == 0) {
        return -EINVAL;
    }
    int64_t count = wait_for(call->thread, host_descriptor((int64_t)call->arguments[0]), found, (int)room, call->arguments[2]);
    ahead->length = 0;
    if (count == 0) {
        call->thread->exchange->aheads = read_ahead_count();
    }
    for (int64_t at = 0; at < count; at++) {
        answers[at] = (struct host_event){.fd = (int32_t)found[at].data.u64, .events = found[at].events};
        if (call->arguments[3] && ahead->length == 0) {
            read_ahead(answers[at].fd, answers[at].events, ahead);
        }
    }
    return count;
}
