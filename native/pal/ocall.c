#define _GNU_SOURCE
#include "ocall.h"

#include <errno.h>
#include <linux/limits.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "host_time.h"
#include "log.h"
#include "ocalls.h"
#include "process.h"
#include "worker.h"

int64_t ocall_thread_create(struct request *call)
{
    (void)call;
    return process_create_thread();
}

int64_t ocall_yield(struct request *call)
{
    (void)call;
    sched_yield();
    return 0;
}

static int64_t system_time_of_process(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return -EINVAL;
    }
    return (int64_t)usage.ru_stime.tv_sec * 1000000000 + (int64_t)usage.ru_stime.tv_usec * 1000;
}

int64_t ocall_clock(struct request *call)
{
    struct timespec now;
    struct thread_time used;
    uint64_t clock = call->arguments[0];
    if (clock == HOST_CLOCK_PROCESS_SYSTEM) {
        return system_time_of_process();
    }
    if (clock == HOST_CLOCK_THREAD_SYSTEM || clock == CLOCK_THREAD_CPUTIME_ID) {
        int error = host_thread_time(call->thread, &used);
        return error ? error : clock == CLOCK_THREAD_CPUTIME_ID ? used.total : used.system;
    }
    if (clock > CLOCK_TAI || clock_gettime((clockid_t)clock, &now) != 0) {
        return -EINVAL;
    }
    if (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME) {
        host_time_fill(&call->thread->exchange->time);
    }
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t ocall_thread_clock(struct request *call)
{
    const struct host_thread *thread = host_thread_at(call->arguments[0]);
    return thread ? host_thread_time_of(thread) : -ESRCH;
}

int64_t ocall_log(struct request *call)
{
    if (call->arguments[0] > LOG_REPORT) {
        return -EINVAL;
    }
    log_enclave_line((enum log_level)call->arguments[0], (const char *)call->data, call->arguments[1]);
    return 0;
}

static const ocall_handler HANDLERS[OCALL_COUNT] = {
#define OCALL(name, NAME, ...) [OCALL_##NAME] = ocall_##name,
#define OCALL_LAST(name, NAME, ...)
#include "ocalls.def"
};

static int64_t serve(struct request *call, uint32_t number)
{
    if (number >= OCALL_COUNT || !HANDLERS[number]) {
        return -ENOSYS;
    }
    return ocall_fits(&OCALLS[number], call->arguments) ? HANDLERS[number](call) : -EINVAL;
}

static uint32_t read_request(struct host_thread *thread, struct request *call)
{
    const struct exchange *exchange = thread->exchange;
    *call = (struct request){.thread = thread, .data = thread->exchange->data};
    memcpy(call->arguments, exchange->arguments, sizeof(call->arguments));
    return *(const volatile uint32_t *)&exchange->ocall;
}

static bool is_for_worker(const struct request *call, uint32_t number)
{
    return number < OCALL_COUNT && ocall_is_for_worker(&OCALLS[number], call->arguments);
}

static void answer(struct exchange *exchange, int64_t result)
{
    exchange->result = result;
    host_time_renew(&exchange->time);
}

void ocall_serve_switchless(struct host_thread *thread)
{
    struct request call;
    uint32_t number = read_request(thread, &call);
    answer(thread->exchange, is_for_worker(&call, number) ? serve(&call, number) : -ENOSYS);
}

enum next_step ocall_serve(struct host_thread *thread)
{
    struct request call;
    uint32_t number = read_request(thread, &call);
    switch (number) {
    case OCALL_EXIT:
        if (call.arguments[2] > 0 && call.arguments[2] <= EXCHANGE_DATA_SIZE) {
            log_enclave_line(LOG_ERROR, (const char *)call.data, call.arguments[2]);
        }
        process_set_exit(call.arguments[0], call.arguments[1]);
        return STEP_PROCESS_EXIT;
    case OCALL_THREAD_EXIT:
        return STEP_THREAD_EXIT;
    default:
        answer(thread->exchange, serve(&call, number));
        if (is_for_worker(&call, number)) {
            workers_note_call();
        }
        return STEP_RETURN;
    }
}
