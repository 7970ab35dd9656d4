/* What the boundary gives to the rooms below it, and host signals. */
#include "boundary/ocall.h"

struct boundary_upcalls boundary_upcalls;

#define SYNCHRONOUS_SIGNALS                                                                                                \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP))

static uint64_t allowed_signals;

void boundary_allow_signals(uint64_t mask)
{
    allowed_signals = mask & ~SYNCHRONOUS_SIGNALS;
}

bool attention_is_pending(void)
{
    const struct thread *thread = current_thread();
    return __atomic_load_n(&thread->attention, __ATOMIC_ACQUIRE) != 0 ||
           (__atomic_load_n(&thread->exchange->signals, __ATOMIC_ACQUIRE) & allowed_signals) != 0;
}

uint64_t attention_take(bool *asked)
{
    struct thread *thread = current_thread();
    *asked = __atomic_exchange_n(&thread->attention, 0, __ATOMIC_SEQ_CST) != 0;
    return __atomic_exchange_n(&thread->exchange->signals, 0, __ATOMIC_SEQ_CST) & allowed_signals;
}

/* On the way back to the application, from context_resume(). */
static void attend(struct context *context)
{
    bool asked;
    uint64_t signals = attention_take(&asked);
    if (asked || signals != 0) {
        boundary_upcalls.attention(context, signals);
    }
    if (boundary_upcalls.take_turn) { /* before there is a program, nobody takes turns */
        boundary_upcalls.take_turn();
    }
}

void boundary_start(void)
{
    base_upcalls.write_line = host_log;
    base_upcalls.end = host_exit_with_line;
    base_upcalls.yield = host_yield;
    base_upcalls.add_pages = enclave_add;
    base_upcalls.remove_pages = enclave_remove;
    cpu_upcalls.attention = attend;
}
