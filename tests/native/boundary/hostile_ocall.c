/*
 * pal/ocall.c with answers that lie. HOSTILE_ANSWERS=long: more than was asked for; huge; negative: no errno; stdio: a descriptor of the standard
 * streams for a file; scribble: the whole data area is overwritten; no-memory: not even for the first stack; immortal: OCALL_EXIT ends nothing.
 */
#define ocall_serve honest_ocall_serve
#include "../../../native/pal/ocall.c"
#undef ocall_serve

#include <stdlib.h>

#include "../../../native/pal/sim.h"

enum next_step ocall_serve(struct host_thread *thread)
{
    struct exchange *exchange = thread->exchange;
    const char *kind = getenv("HOSTILE_ANSWERS");
    uint32_t number = exchange->ocall;
    bool is_memory = number >= OCALL_MEMORY_ADD && number <= OCALL_MEMORY_REMOVE && exchange->arguments[0] >= LIBOS_DYNAMIC_START;
    if (kind && strcmp(kind, "no-memory") == 0) {
        exchange->result = -ENOMEM;
        return STEP_RETURN;
    }
    if (kind && strcmp(kind, "immortal") == 0 && number == OCALL_EXIT) {
        thread->takes_signals = false;
        uint64_t refusals[] = {sim_enter(thread, ECALL_START), sim_enter(thread, ECALL_THREAD), sim_enter(thread, ECALL_RETURN)};
        bool all = refusals[0] == EEXIT_ENDED && refusals[1] == EEXIT_ENDED && refusals[2] == EEXIT_ENDED;
        process_set_exit(all ? 42 : 43, 0);
        return STEP_PROCESS_EXIT;
    }
    enum next_step step = honest_ocall_serve(thread);
    if (!kind || step != STEP_RETURN || number == OCALL_LOG || is_memory) {
        return step; /* the enclave could not even begin */
    }
    if (strcmp(kind, "long") == 0) {
        exchange->result = (int64_t)exchange->arguments[1] + 1;
    } else if (strcmp(kind, "huge") == 0) {
        exchange->result = INT64_MAX;
    } else if (strcmp(kind, "negative") == 0) {
        exchange->result = INT64_MIN;
    } else if (strcmp(kind, "stdio") == 0) {
        exchange->result = 1;
    } else if (strcmp(kind, "scribble") == 0) {
        memset(exchange->data, 0xFF, sizeof(exchange->data));
    }
    return step;
}
