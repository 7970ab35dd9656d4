/*
 * Exceptions, in two phases. What happened is believed from the SSA alone, which only the CPU and the enclave can write.
 *
 * Phase 1 runs at CSSA 1 on the small stack of the SDK layout. It must not fault. It copies the interrupted registers to the LibOS stack and
 * points SSA[0] at phase 2, so that ERESUME goes on there, at CSSA 0, where OCALLs are possible.
 */
#include "cpu/cpu.h"

_Static_assert(offsetof(struct exchange, signals) == EXCHANGE_SIGNALS, "entry.S");
_Static_assert(offsetof(struct thread, attention) == THREAD_ATTENTION, "entry.S");
_Static_assert(offsetof(struct thread, libos_stack) == THREAD_LIBOS_STACK, "entry.S");
_Static_assert(offsetof(struct thread, exchange) == THREAD_EXCHANGE, "entry.S");
_Static_assert(offsetof(struct thread, ocall_rsp) == THREAD_OCALL_RSP, "entry.S");
_Static_assert(offsetof(struct thread, resume_context) == THREAD_RESUME_CONTEXT, "entry.S");
_Static_assert(offsetof(struct thread, scratch_rip) == THREAD_SCRATCH_RIP, "entry.S");
_Static_assert(offsetof(struct thread, task) == THREAD_TASK, "cpu/thread.h");
_Static_assert(offsetof(struct thread, away) == THREAD_AWAY, "entry.S");
_Static_assert(offsetof(struct context, rcx) == CONTEXT_RCX, "entry.S");
_Static_assert(offsetof(struct context, rflags) == CONTEXT_RFLAGS, "entry.S");
_Static_assert(sizeof(struct context) == CONTEXT_SIZE, "entry.S");

/* Enough LibOS stack left for phase 2 to begin. A nested exception needs it, a runaway recursion does not get it. */
#define STACK_RESERVE 0x1000U

struct exception_frame {
    struct context context;
    struct exception_info info;
    bool is_interrupt;
} __attribute__((aligned(64)));

struct cpu_upcalls cpu_upcalls;
struct exit_counts *exit_counts;
_Static_assert(offsetof(struct cpu_upcalls, system_call) == CPU_UPCALL_SYSTEM_CALL, "entry.S");
_Static_assert(offsetof(struct cpu_upcalls, attention) == CPU_UPCALL_ATTENTION, "entry.S");

extern uint32_t enclave_end HIDDEN;
void exception_phase_2_entry(struct exception_frame *frame) HIDDEN;
extern const char resume_window[] HIDDEN, resume_off_stack[] HIDDEN, resume_window_end[] HIDDEN;
extern const char syscall_entry_on_stack[] HIDDEN, enclu_instruction[] HIDDEN;

/* Everything else is the application's doing, a jump to nowhere too. */
static bool is_libos_code(uint64_t rip)
{
    return rip >= ENCLAVE_IMAGE_ADDRESS && rip < ELRANGE_START + ELRANGE_SIZE;
}

static void save_context(struct context *context, const struct ssa_gpr *gpr)
{
    *context = (struct context){
        .rax = gpr->rax, .rdi = gpr->rdi, .rsi = gpr->rsi, .rdx = gpr->rdx, .r10 = gpr->r10, .r8 = gpr->r8, .r9 = gpr->r9,
        .rbx = gpr->rbx, .rbp = gpr->rbp, .r12 = gpr->r12, .r13 = gpr->r13, .r14 = gpr->r14, .r15 = gpr->r15,
        .rcx = gpr->rcx, .r11 = gpr->r11, .rsp = gpr->rsp, .rip = gpr->rip, .rflags = gpr->rflags,
    };
}

static void continue_at(struct ssa_gpr *gpr, const void *function, const void *argument, uint64_t stack)
{
    gpr->rip = (uint64_t)function;
    gpr->rdi = (uint64_t)argument;
    gpr->rsp = stack;
    gpr->rbp = 0;
    gpr->rflags = 2;
}

static bool is_between(uint64_t rip, const char *start, const char *end)
{
    return rip >= (uint64_t)start && rip < (uint64_t)end;
}

/* The LibOS was interrupted. Whatever is waiting will be seen in context_resume(), unless the look was just taken. */
static void interrupt_libos(const struct thread *thread, struct ssa_gpr *gpr)
{
    if (is_between(gpr->rip, resume_window, resume_window_end)) {
        continue_at(gpr, context_resume, thread->resume_context, (uint64_t)thread->resume_context & ~63ULL);
    }
}

/* LibOS code that runs on the application's stack: the first steps of a system call and the last one of the way back. */
static bool is_off_stack(uint64_t rip)
{
    return is_between(rip, (const char *)syscall_entry, syscall_entry_on_stack) || is_between(rip, resume_off_stack, resume_window_end);
}

/*
 * Where phase 2 can begin: the LibOS stack of this thread, below what is in use; 0: nowhere. The host can make any instruction fault, so RSP is believed
 * only where the enclave itself has set it: while thread.state is THREAD_INSIDE. Everywhere else it may be the host's and point anywhere, and the
 * LibOS stack may be full of frames that wait for an OCALL's end ("SmashEx", Cui et al., CCS 2021).
 */
static uint64_t free_stack(const struct thread *thread, const struct ssa_gpr *gpr)
{
    uint64_t top = thread->libos_stack;
    if (thread->state != THREAD_INSIDE || top == 0) {
        return 0;
    }
    if (!is_libos_code(gpr->rip)) {
        return top;
    }
    bool has_room = gpr->rsp <= top && gpr->rsp >= top - LIBOS_STACK_SIZE + STACK_RESERVE;
    return has_room && !is_off_stack(gpr->rip) ? gpr->rsp : 0;
}

/*
 * A page fault that the kernel has served already: it brings a page (EAUG, or back from where it had put it) and would go on by itself, but if a signal
 * of the host comes at that moment the PAL enters here, and the SSA tells of the fault. In the LibOS's own memory, and at an ENCLU whatever its page, that
 * is what a fault is; so the instruction is tried again, until nothing but a fault can be the reason.
 */
#define TRIES_MAX 64U

static bool is_tried_again(struct thread *thread, const struct ssa_gpr *gpr, uint32_t exit_info, uint64_t address)
{
    bool is_enclu = gpr->rip == (uint64_t)enclu_instruction, is_own = address >= LIBOS_DYNAMIC_START && address < ELRANGE_START + ELRANGE_SIZE;
    if ((exit_info & EXIT_INFO_VECTOR) != VECTOR_PAGE_FAULT || !is_libos_code(gpr->rip) || !(is_enclu || is_own)) {
        return false;
    }
    if (thread->own_fault.rip != gpr->rip || thread->own_fault.address != address) {
        thread->own_fault.rip = gpr->rip;
        thread->own_fault.address = address;
        thread->own_fault.tries = 0;
    }
    return thread->own_fault.tries++ < TRIES_MAX;
}

/* ERESUME would only lead out again. */
static uint64_t refuse_to_go_on(struct ssa_gpr *gpr)
{
    gpr->rip = (uint64_t)leave_ended;
    return __atomic_load_n(&enclave_end, __ATOMIC_ACQUIRE);
}

bool enclave_set_end(enum eexit why)
{
    uint32_t living = 0;
    return __atomic_compare_exchange_n(&enclave_end, &living, why, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

uint64_t exception_phase_1(uint64_t tcs, struct thread *thread);
uint64_t exception_phase_1(uint64_t tcs, struct thread *thread)
{
    struct ssa_gpr *gpr = (struct ssa_gpr *)(tcs + GLOBAL_DATA->thread.first_ssa_gpr);
    const struct ssa_exinfo *exinfo = (const struct ssa_exinfo *)gpr - 1;
    uint32_t exit_info = gpr->exit_info;
    gpr->exit_info = 0; /* the host may enter here again for the same AEX: then it is an interrupt */
    if (exit_counts) {
        __atomic_fetch_add(&exit_counts->entries, 1, __ATOMIC_RELAXED);
    }
    bool is_interrupt = !(exit_info & EXIT_INFO_VALID) || is_tried_again(thread, gpr, exit_info, exinfo->address), is_libos = is_libos_code(gpr->rip);
    uint32_t end = __atomic_load_n(&enclave_end, __ATOMIC_ACQUIRE);
    if (end == EEXIT_BROKEN || (end && !(is_interrupt && is_libos))) { /* ENDED: one thread of the LibOS is on its way to OCALL_EXIT */
        return refuse_to_go_on(gpr);
    }
    if (is_interrupt && is_libos) {
        interrupt_libos(thread, gpr);
        return EEXIT_DONE;
    }
    uint64_t stack = free_stack(thread, gpr);
    if (stack == 0) {
        enclave_set_end(EEXIT_BROKEN);
        return refuse_to_go_on(gpr);
    }
    struct exception_frame *frame = (struct exception_frame *)((stack - sizeof(*frame)) & ~63ULL);
    save_context(&frame->context, gpr);
    frame->info = (struct exception_info){
        .vector = exit_info & EXIT_INFO_VECTOR, .error_code = exinfo->error_code, .address = exinfo->address,
    };
    frame->is_interrupt = is_interrupt;
    continue_at(gpr, exception_phase_2_entry, frame, (uint64_t)frame);
    return EEXIT_DONE;
}

/* EACCEPT or EACCEPTCOPY of a page that the host does not bring. */
static bool is_without_page(const struct exception_frame *frame)
{
    const struct context *context = &frame->context;
    return frame->info.vector == VECTOR_PAGE_FAULT && context->rip == (uint64_t)enclu_instruction &&
           (context->rax == ENCLU_EACCEPT || context->rax == ENCLU_EACCEPTCOPY);
}

/* #UD on 0F 05: `syscall`, which is illegal in an enclave. */
static bool is_syscall(const struct exception_frame *frame)
{
    uint8_t code[2];
    return frame->info.vector == VECTOR_INVALID_OPCODE && context_is_application(&frame->context) &&
           copy_from_user(code, frame->context.rip, sizeof(code)) == 0 && code[0] == 0x0F && code[1] == 0x05;
}

static void syscall(struct context *context)
{
    context->rip += 2;
    context->rcx = context->rip;
    context->r11 = context->rflags;
    cpu_upcalls.system_call(context);
}

_Noreturn void exception_phase_2(struct exception_frame *frame);
_Noreturn void exception_phase_2(struct exception_frame *frame)
{
    struct context *context = &frame->context;
    if (frame->is_interrupt) {
        context_resume(context);
    }
    current_thread()->exceptions++;
    if (exit_counts) {
        __atomic_fetch_add(&exit_counts->exceptions, 1, __ATOMIC_RELAXED);
    }
    if (is_without_page(frame)) {
        context->rax = ENCLU_NO_PAGE;
        context->rip += ENCLU_SIZE;
    } else if (is_syscall(frame)) {
        syscall(context);
    } else if (!cpu_upcalls.exception || !cpu_upcalls.exception(context, &frame->info)) {
        fatal("exception %u at 0x%llx, error code %u, address 0x%llx", frame->info.vector, (unsigned long long)context->rip,
              frame->info.error_code, (unsigned long long)frame->info.address);
    }
    context_resume(context);
}

bool context_is_application(const struct context *context)
{
    return !is_libos_code(context->rip);
}
