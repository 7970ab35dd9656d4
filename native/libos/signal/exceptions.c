/* Exceptions that are no system calls: page faults are served, faults in user copies cut the copy short, the
 * others become signals. */
#include "signal/exceptions.h"

/* si_code (sigaction(2)) */
enum {
    ILL_ILLOPN = 2, FPE_INTDIV = 1, FPE_FLTINV = 7, SEGV_MAPERR = 1, SEGV_ACCERR = 2,
    BUS_ADRALN = 1, BUS_ADRERR = 2, TRAP_BRKPT = 1, TRAP_TRACE = 2,
};

static enum fault_access access_of(uint32_t error_code)
{
    return error_code & FAULT_CODE_WRITE   ? FAULT_WRITE
           : error_code & FAULT_CODE_FETCH ? FAULT_EXECUTE
                                           : FAULT_READ;
}

static struct signal_info page_fault_signal(int64_t error, uint64_t address)
{
    switch (error) {
    case -EFAULT:
        return (struct signal_info){.signal = SIGSEGV, .code = SEGV_MAPERR, .first = address};
    case -EACCES:
        return (struct signal_info){.signal = SIGSEGV, .code = SEGV_ACCERR, .first = address};
    default:
        return (struct signal_info){.signal = SIGBUS, .code = BUS_ADRERR, .first = address};
    }
}

static struct signal_info signal_of(const struct context *context, uint32_t vector)
{
    switch (vector) {
    case VECTOR_DIVIDE:
        return (struct signal_info){.signal = SIGFPE, .code = FPE_INTDIV, .first = context->rip};
    case VECTOR_X87:
    case VECTOR_SIMD:
        return (struct signal_info){.signal = SIGFPE, .code = FPE_FLTINV, .first = context->rip};
    case VECTOR_DEBUG:
        return (struct signal_info){.signal = SIGTRAP, .code = TRAP_TRACE, .first = context->rip};
    case VECTOR_BREAKPOINT:
        return (struct signal_info){.signal = SIGTRAP, .code = SI_KERNEL};
    case VECTOR_INVALID_OPCODE:
        return (struct signal_info){.signal = SIGILL, .code = ILL_ILLOPN, .first = context->rip};
    case VECTOR_ALIGNMENT:
        return (struct signal_info){.signal = SIGBUS, .code = BUS_ADRALN};
    default:
        return (struct signal_info){.signal = SIGSEGV, .code = SI_KERNEL};
    }
}

/* RDTSC is emulated. */
static uint64_t monotonic_now(void)
{
    clock_counter_faults();
    return clock_now_ns(CLOCK_MONOTONIC);
}

static bool serve(struct context *context, const struct exception_info *info)
{
    int64_t error = -EINVAL;
    bool is_application = context_is_application(context);
    if (info->vector == VECTOR_PAGE_FAULT) {
        enum fault_access access = access_of(info->error_code);
        error = is_application ? memory_fault_of(context, info->address, access) : memory_fault(info->address, access);
        if (!error) {
            return true;
        }
    }
    if (is_application) {
        bool is_done = info->vector == VECTOR_INVALID_OPCODE && step_is_done(context);
        int64_t refused = step_end(context);
        if (is_done && !refused) {
            return true;
        }
        error = is_done ? -EACCES : error;
    }
    if (!is_application) {
        return user_copy_fix_up(&context->rip) || clock_fix_up(&context->rip);
    }
    if (emulate_instruction(context, info->vector, monotonic_now)) {
        return true;
    }
    struct signal_info signal = error == -EINVAL ? signal_of(context, info->vector)
                                                 : page_fault_signal(error, info->address);
    signal_force(context, &signal);
    return true;
}

bool exception_serve(struct context *context, const struct exception_info *info)
{
    bool is_served = serve(context, info);
    if (is_served && !context_is_application(context)) {
        space_reach(); /* a user copy goes on, which may have waited for a lock meanwhile */
    }
    return is_served;
}
