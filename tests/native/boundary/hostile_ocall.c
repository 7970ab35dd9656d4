/*
 * pal/ocall.c with a host that gives nothing and ends nothing. HOSTILE_ANSWERS=no-memory: not even for the first stack; immortal: OCALL_EXIT is not
 * believed. The lies of all kinds are in tests/native/liar.
 */
#define ocall_serve honest_ocall_serve
#include "../../../native/pal/ocall.c"
#undef ocall_serve

#include <stdlib.h>

#include "../../../native/pal/sim.h"

#define STATUS_REFUSED 42 /* each entry after the end */
#define STATUS_ENTERED 43

static enum next_step enter_after_end(struct host_thread *thread)
{
    bool all_refused = true;
    for (uint64_t ecall = ECALL_START; ecall <= ECALL_COMMAND; ecall++) {
        all_refused = all_refused && sim_enter(thread, ecall) == EEXIT_ENDED;
    }
    process_set_exit(all_refused ? STATUS_REFUSED : STATUS_ENTERED, 0);
    return STEP_PROCESS_EXIT;
}

enum next_step ocall_serve(struct host_thread *thread)
{
    const char *kind = getenv("HOSTILE_ANSWERS");
    if (kind && strcmp(kind, "no-memory") == 0) {
        thread->exchange->result = -ENOMEM;
        return STEP_RETURN;
    }
    if (kind && strcmp(kind, "immortal") == 0 && thread->exchange->ocall == OCALL_EXIT) {
        return enter_after_end(thread);
    }
    return honest_ocall_serve(thread);
}
