/* ocalls.def as data: what each OCALL takes and gives. */
#ifndef ENCLAVIZE_OCALLS_H
#define ENCLAVIZE_OCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

/* What exchange.result may be, besides a negative errno. */
enum ocall_result {
    OCALL_RESULT_NEVER,       /* there is none */
    OCALL_RESULT_IGNORED,     /* nobody looks at it */
    OCALL_RESULT_ZERO,
    OCALL_RESULT_COUNT,       /* 0 to the value of an argument */
    OCALL_RESULT_DESCRIPTOR,  /* 3 to INT32_MAX: never one of the standard streams */
    OCALL_RESULT_INT,         /* 0 to INT32_MAX */
    OCALL_RESULT_NANOSECONDS, /* 0 to INT64_MAX */
};

enum ocall_size {
    OCALL_SIZE_NOTHING, OCALL_SIZE_BYTES, OCALL_SIZE_PATHS, OCALL_SIZE_POLLS, OCALL_SIZE_STAT, OCALL_SIZE_RESULT, OCALL_SIZE_EVENTS, OCALL_SIZE_MESSAGE,
    OCALL_SIZE_MESSAGE_BYTES, OCALL_SIZE_MESSAGE_RESULT,
};

/* Whether a worker of the host's may serve it (enum switchless_state): only what never waits, and can be done by any thread. */
enum ocall_worker {
    OCALL_WORKER_NEVER,
    OCALL_WORKER_ALWAYS,
    OCALL_WORKER_UNTIMED, /* while an argument, which is a timeout, is 0 */
};

/* No pointers: the enclave uses it before it has relocated itself. */
struct ocall_description {
    char name[16];
    struct {
        uint8_t rule; /* enum ocall_result */
        uint8_t argument;
    } result;
    bool again;
    struct {
        uint8_t rule; /* enum ocall_worker */
        uint8_t argument;
    } worker;
    struct ocall_area {
        uint8_t rule; /* enum ocall_size */
        uint8_t argument, second;
    } in, out;
};

#define OCALL_RESULT_OF_NEVER {OCALL_RESULT_NEVER, 0}
#define OCALL_RESULT_OF_IGNORED {OCALL_RESULT_IGNORED, 0}
#define OCALL_RESULT_OF_ZERO {OCALL_RESULT_ZERO, 0}
#define OCALL_RESULT_OF_COUNT(argument) {OCALL_RESULT_COUNT, argument}
#define OCALL_RESULT_OF_DESCRIPTOR {OCALL_RESULT_DESCRIPTOR, 0}
#define OCALL_RESULT_OF_INT {OCALL_RESULT_INT, 0}
#define OCALL_RESULT_OF_NANOSECONDS {OCALL_RESULT_NANOSECONDS, 0}
#define OCALL_INTERRUPTED_AGAIN true
#define OCALL_INTERRUPTED_SHOWN false
#define OCALL_BY_WORKER_NEVER {OCALL_WORKER_NEVER, 0}
#define OCALL_BY_WORKER_ALWAYS {OCALL_WORKER_ALWAYS, 0}
#define OCALL_BY_WORKER_UNTIMED(argument) {OCALL_WORKER_UNTIMED, argument}
#define OCALL_AREA_NOTHING {OCALL_SIZE_NOTHING, 0, 0}
#define OCALL_AREA_BYTES(argument) {OCALL_SIZE_BYTES, argument, 0}
#define OCALL_AREA_PATHS(first, second) {OCALL_SIZE_PATHS, first, second}
#define OCALL_AREA_POLLS(argument) {OCALL_SIZE_POLLS, argument, 0}
#define OCALL_AREA_STAT {OCALL_SIZE_STAT, 0, 0}
#define OCALL_AREA_RESULT {OCALL_SIZE_RESULT, 0, 0}
#define OCALL_AREA_EVENTS {OCALL_SIZE_EVENTS, 0, 0}
#define OCALL_AREA_MESSAGE {OCALL_SIZE_MESSAGE, 0, 0}
#define OCALL_AREA_MESSAGE_BYTES(argument) {OCALL_SIZE_MESSAGE_BYTES, argument, 0}
#define OCALL_AREA_MESSAGE_RESULT {OCALL_SIZE_MESSAGE_RESULT, 0, 0}

static const struct ocall_description OCALLS[OCALL_COUNT] = {
#define OCALL(name_, NAME_, arguments_, result_, interrupted_, worker_, in_, out_)                                         \
    [OCALL_##NAME_] = {                                                                                                    \
        .name = #NAME_, .result = OCALL_RESULT_OF_##result_, .again = OCALL_INTERRUPTED_##interrupted_,                    \
        .worker = OCALL_BY_WORKER_##worker_, .in = OCALL_AREA_##in_, .out = OCALL_AREA_##out_,                             \
    },
#define OCALL_LAST OCALL
#include "ocalls.def"
};

/* The largest result that is none of the host's lies; negative: there is none. */
static inline int64_t ocall_result_max(const struct ocall_description *ocall, const uint64_t arguments[OCALL_ARGUMENTS])
{
    switch ((enum ocall_result)ocall->result.rule) {
    case OCALL_RESULT_NEVER:
        return -1;
    case OCALL_RESULT_ZERO:
        return 0;
    case OCALL_RESULT_COUNT:
        return (int64_t)arguments[ocall->result.argument];
    case OCALL_RESULT_DESCRIPTOR:
    case OCALL_RESULT_INT:
        return INT32_MAX;
    case OCALL_RESULT_IGNORED:
    case OCALL_RESULT_NANOSECONDS:
        return INT64_MAX;
    }
    return -1;
}

static inline int64_t ocall_result_min(const struct ocall_description *ocall)
{
    return ocall->result.rule == OCALL_RESULT_DESCRIPTOR ? 3 : 0;
}

/* The bytes of an area; UINT64_MAX: more than exchange.data holds. */
static inline uint64_t ocall_area_size(const struct ocall_area *area, const uint64_t arguments[OCALL_ARGUMENTS], int64_t result)
{
    uint64_t first = arguments[area->argument], second = arguments[area->second], size = UINT64_MAX;
    switch ((enum ocall_size)area->rule) {
    case OCALL_SIZE_NOTHING:
        return 0;
    case OCALL_SIZE_BYTES:
        size = first;
        break;
    case OCALL_SIZE_PATHS:
        size = first <= EXCHANGE_DATA_SIZE && second <= EXCHANGE_DATA_SIZE ? first + second : UINT64_MAX;
        break;
    case OCALL_SIZE_POLLS:
        size = first <= EXCHANGE_DATA_SIZE ? first * sizeof(struct host_poll) : UINT64_MAX;
        break;
    case OCALL_SIZE_STAT:
        size = sizeof(struct host_stat);
        break;
    case OCALL_SIZE_RESULT:
        size = (uint64_t)result;
        break;
    case OCALL_SIZE_EVENTS:
        size = (uint64_t)result <= EXCHANGE_DATA_SIZE ? sizeof(struct host_ahead) + (uint64_t)result * sizeof(struct host_event) : UINT64_MAX;
        break;
    case OCALL_SIZE_MESSAGE:
        size = offsetof(struct host_message, control);
        break;
    case OCALL_SIZE_MESSAGE_BYTES:
        size = first <= EXCHANGE_DATA_SIZE ? sizeof(struct host_message) + first : UINT64_MAX;
        break;
    case OCALL_SIZE_MESSAGE_RESULT:
        size = (uint64_t)result <= EXCHANGE_DATA_SIZE ? sizeof(struct host_message) + (uint64_t)result : UINT64_MAX;
        break;
    }
    return size <= EXCHANGE_DATA_SIZE ? size : UINT64_MAX;
}

/* May a worker serve it? */
static inline bool ocall_is_for_worker(const struct ocall_description *ocall, const uint64_t arguments[OCALL_ARGUMENTS])
{
    return ocall->worker.rule == OCALL_WORKER_ALWAYS || (ocall->worker.rule == OCALL_WORKER_UNTIMED && arguments[ocall->worker.argument] == 0);
}

/* Do the arguments keep within exchange.data, whatever the result will be? */
static inline bool ocall_fits(const struct ocall_description *ocall, const uint64_t arguments[OCALL_ARGUMENTS])
{
    return ocall_area_size(&ocall->in, arguments, 0) != UINT64_MAX &&
           ocall_area_size(&ocall->out, arguments, ocall_result_max(ocall, arguments)) != UINT64_MAX;
}

#endif
