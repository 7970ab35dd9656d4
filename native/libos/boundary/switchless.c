/*
 * Switchless calls: the thread stays inside while a worker of the host's (pal/worker.c) serves what it has posted in its exchange area. Only what never
 * waits is served so (WORKER in ocalls.def), and only while a processor is free: the thread burns its own meanwhile. What no worker has taken within a
 * few microseconds is withdrawn, and the thread leaves for it as ever; so whoever cannot get a worker loses no more than that, and each time in vain
 * doubles how many calls do not try. What was taken cannot be withdrawn: the worker may have done it already. If that takes long the worker has lost its
 * processor: the host has none to spare, and nobody tries for a while.
 *
 * The host writes the word at any time and can keep a thread waiting, as it can by not coming back from an OCALL; it cannot make the thread go on before
 * a state says so, and the answer is checked like any other. A state that has no place here ends the enclave.
 */
#include "boundary/ocall.h"

#define TAKEN_WITHIN_NS 5000U /* a worker that watches looks every few hundred nanoseconds */
#define DONE_WITHIN_NS 60000U /* what is sent over the loopback takes ten */
#define PENALTY_MAX 15U

static bool has_workers;
static uint32_t skips, penalty; /* a guess of all threads: what one of them overwrites of another's does not matter */

void switchless_start(void)
{
    has_workers = true;
}

static bool is_skipped(void)
{
    uint32_t left = __atomic_load_n(&skips, __ATOMIC_RELAXED);
    if (left > 0) {
        __atomic_store_n(&skips, left - 1, __ATOMIC_RELAXED);
    }
    return left > 0;
}

enum outcome { IN_TIME, LATE, IN_VAIN };

static void learn(enum outcome outcome)
{
    uint32_t last = __atomic_load_n(&penalty, __ATOMIC_RELAXED);
    uint32_t next = outcome == IN_TIME ? last / 2 : last > PENALTY_MAX / 2 ? PENALTY_MAX : 2 * last + 1;
    if (next != last) {
        __atomic_store_n(&penalty, next, __ATOMIC_RELAXED);
    }
    if (outcome != IN_TIME) {
        __atomic_store_n(&skips, next, __ATOMIC_RELAXED);
    }
}

bool switchless_begin(struct switchless *call, struct exchange *exchange)
{
    uint32_t state = has_workers ? __atomic_load_n(&exchange->switchless, __ATOMIC_RELAXED) : SWITCHLESS_CLOSED;
    *call = (struct switchless){.state = &exchange->switchless};
    if (state > SWITCHLESS_OPEN) {
        fatal("the host says of a call that nobody has made that it is in state %u", state);
    }
    if (state == SWITCHLESS_CLOSED || !boundary_upcalls.has_free_processor || !boundary_upcalls.has_free_processor() || is_skipped()) {
        return false;
    }
    call->patience = clock_ticks(TAKEN_WITHIN_NS);
    return call->patience != 0;
}

bool switchless_post(struct switchless *call)
{
    uint32_t open = SWITCHLESS_OPEN;
    call->start = clock_counter();
    return call->start != 0 && __atomic_compare_exchange_n(call->state, &open, SWITCHLESS_POSTED, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static bool withdraw(struct switchless *call)
{
    uint32_t posted = SWITCHLESS_POSTED;
    return __atomic_compare_exchange_n(call->state, &posted, SWITCHLESS_OPEN, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

bool switchless_wait(struct switchless *call)
{
    for (;;) {
        uint32_t state = __atomic_load_n(call->state, __ATOMIC_ACQUIRE);
        switch (state) {
        case SWITCHLESS_POSTED:
            if (clock_counter() - call->start >= call->patience && withdraw(call)) {
                learn(IN_VAIN);
                return false;
            }
            break;
        case SWITCHLESS_TAKEN:
            break;
        case SWITCHLESS_DONE:
            __atomic_store_n(call->state, SWITCHLESS_OPEN, __ATOMIC_RELEASE);
            learn(clock_counter() - call->start > clock_ticks(DONE_WITHIN_NS) ? LATE : IN_TIME);
            return true;
        default:
            fatal("the host says of a call that was posted that it is in state %u", state);
        }
        __builtin_ia32_pause();
    }
}
