/*
 * Asynchronous exits. A signal that finds a thread inside the enclave is what an exception or an interrupt is to a CPU: the registers go to the SSA
 * (AEX), and the thread enters again to handle it (EENTER at CSSA 1), by changing the frame that the kernel will return to.
 *
 * Everything here runs with the enclave's FS base: no thread-local storage, no errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "log.h"
#include "sim.h"
#include "sim_frame.h"
#include "sim_instructions.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif


#define SYSCALL_LENGTH 2
#define ENCLU_LENGTH 3
#define USER_ADDRESS_BITS 47
#define RFLAGS_INITIAL 0x202U
#define RFLAGS_TF 0x100U
#define RFLAGS_STATUS 0x8D5U /* CF, PF, AF, ZF, SF, OF */
#define RFLAGS_ZF 0x40U

extern const char sim_trap_eenter[], sim_after_eenter[], sim_abandoned[], sim_after_exception[], sim_trap_eresume[];

static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
#define FAULT_COUNT (sizeof(FAULTS) / sizeof(FAULTS[0]))
static struct sigaction previous[FAULT_COUNT], previous_interrupt;

static void write_fs(uint64_t value)
{
    __asm__ volatile("wrfsbase %0" : : "r"(value) : "memory");
}

static void write_gs(uint64_t value)
{
    __asm__ volatile("wrgsbase %0" : : "r"(value) : "memory");
}

static uint64_t read_fs(void)
{
    uint64_t value;
    __asm__ volatile("rdfsbase %0" : "=r"(value));
    return value;
}

static uint64_t read_gs(void)
{
    uint64_t value;
    __asm__ volatile("rdgsbase %0" : "=r"(value));
    return value;
}

static bool in_elrange(uint64_t address)
{
    return address - ELRANGE_START < ELRANGE_SIZE;
}

/* The trap flag is the simulator's, as far as it uses it. */
static void set_stepping(greg_t *frame, bool is_inside)
{
    if (sim_steps) {
        frame[REG_EFL] = (frame[REG_EFL] & ~(greg_t)RFLAGS_TF) | (is_inside ? RFLAGS_TF : 0);
    }
}

/* EENTER, on the frame. The TCS is ours already. */
static void enter(struct host_thread *thread, greg_t *frame, uint64_t return_address)
{
    write_fs(thread->entry_fs);
    write_gs(thread->entry_gs);
    frame[REG_RAX] = (greg_t)thread->cssa;
    frame[REG_RBX] = (greg_t)thread->tcs;
    frame[REG_RCX] = (greg_t)return_address;
    frame[REG_RIP] = (greg_t)thread->oentry;
    set_stepping(frame, true);
}

struct exception {
    uint32_t exit_info; /* 0: an interrupt */
    struct ssa_exinfo exinfo;
};

/* AEX up to leaving: the thread's state goes to the SSA. */
static void save_state(struct host_thread *thread, ucontext_t *frame, const struct exception *exception)
{
    struct tcs *tcs = thread->tcs;
    greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t ssa = tcs->ossa + tcs->cssa * sim_enclave->ssa_frame_size;
    struct ssa_gpr *gpr = (struct ssa_gpr *)(ssa + sim_enclave->ssa_frame_size) - 1;
    struct ssa_exinfo *exinfo = (struct ssa_exinfo *)gpr - 1;

    set_stepping(registers, false);
    save_registers(gpr, registers);
    save_vectors((uint8_t *)ssa, (uint8_t *)frame->uc_mcontext.fpregs);
    gpr->exit_info = exception->exit_info;
    gpr->fs_base = read_fs();
    gpr->gs_base = read_gs();
    *exinfo = exception->exinfo;
    tcs->cssa++;
    __atomic_store_n(&tcs->state, 0, __ATOMIC_RELEASE);
}

/* AEX, then at once EENTER to the exception handler. On hardware the kernel, the vDSO and the PAL lie in between. */
static void asynchronous_exit(struct host_thread *thread, ucontext_t *frame, const struct exception *exception)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    save_state(thread, frame, exception);
    const char *flaw = sim_prepare_entry(thread);
    if (flaw) {
        log_raw_hex("enclavize: the enclave faulted while it handled an exception, at ", (uint64_t)registers[REG_RIP]);
        log_raw_hex(", EXITINFO ", exception->exit_info);
        log_raw(": ");
        die(flaw, (uint64_t)thread->tcs);
    }
    clear_registers(registers);
    registers[REG_RSP] = (greg_t)thread->host_rsp;
    registers[REG_EFL] = RFLAGS_INITIAL;
    enter(thread, registers, (uint64_t)sim_after_exception);
}

static bool is_inside(const struct host_thread *thread, uint64_t rip)
{
    return thread && in_elrange(rip) && __atomic_load_n(&thread->tcs->state, __ATOMIC_ACQUIRE);
}

/* EXITINFO and EXINFO of what the simulated CPU itself refuses. */
static struct exception exception_of_refusal(const struct refusal *refusal)
{
    return (struct exception){
        .exit_info = EXIT_INFO_VALID | EXIT_TYPE_HARDWARE | refusal->vector,
        .exinfo = {.error_code = refusal->error_code, .address = refusal->vector == VECTOR_PAGE_FAULT ? refusal->address : 0},
    };
}

/* A page that is not there is no fault of the enclave: it asks by EACCEPT whether the host has brought it. */
static void log_refusal(const struct refusal *refusal, const char *instruction)
{
    if (!sim_traps_enclu || (refusal->vector == VECTOR_PAGE_FAULT && !(refusal->error_code & PAGE_FAULT_PRESENT))) {
        return;
    }
    log_raw("enclavize: strict simulation: ");
    log_raw(instruction);
    log_raw(refusal->vector == VECTOR_PAGE_FAULT ? " #PF: " : refusal->vector == VECTOR_INVALID_OPCODE ? " #UD: " : " #GP(0): ");
    log_raw(refusal->why);
    log_raw_hex(", ", refusal->address);
    log_raw("\n");
}

static void refuse_inside(struct host_thread *thread, ucontext_t *frame, const char *instruction, const struct refusal *refusal)
{
    const struct exception exception = exception_of_refusal(refusal);
    log_refusal(refusal, instruction);
    asynchronous_exit(thread, frame, &exception);
}

static void leave(struct host_thread *thread, ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    if ((uint64_t)registers[REG_RBX] >> USER_ADDRESS_BITS) {
        const struct refusal refusal = {
            .why = "the target is not canonical", .address = (uint64_t)registers[REG_RBX], .vector = VECTOR_GENERAL_PROTECTION,
        };
        refuse_inside(thread, frame, "EEXIT", &refusal);
        return;
    }
    __atomic_store_n(&thread->tcs->state, 0, __ATOMIC_RELEASE);
    write_fs(thread->host_fs);
    write_gs(thread->host_gs);
    registers[REG_RIP] = registers[REG_RBX];
    set_stepping(registers, false);
}

static const uint8_t ENCLU[ENCLU_LENGTH] = {0x0F, 0x01, 0xD7};

static const char *leaf_name(uint32_t leaf)
{
    static const char *const names[] = {
        [ENCLU_EREPORT] = "EREPORT", [ENCLU_EGETKEY] = "EGETKEY", [ENCLU_EENTER] = "EENTER", [ENCLU_ERESUME] = "ERESUME", [ENCLU_EEXIT] = "EEXIT",
        [ENCLU_EACCEPT] = "EACCEPT", [ENCLU_EMODPE] = "EMODPE", [ENCLU_EACCEPTCOPY] = "EACCEPTCOPY",
    };
    return leaf < sizeof(names) / sizeof(names[0]) ? names[leaf] : "ENCLU";
}

static bool can_fetch(uint64_t address)
{
    return in_elrange(address) && (epcm_effective_rights(*epcm_entry(address)) & SECINFO_X);
}

static bool is_enclu_inside(uint64_t rip)
{
    return can_fetch(rip) && can_fetch(rip + ENCLU_LENGTH - 1) && memcmp((const void *)rip, ENCLU, sizeof(ENCLU)) == 0;
}

/* RAX and ZF tell of the errors of these leaves; the others leave both as they are (SDM volume 3D). */
static bool tells_error(uint32_t leaf)
{
    return leaf == ENCLU_EGETKEY || leaf == ENCLU_EACCEPT || leaf == ENCLU_EACCEPTCOPY;
}

static void do_leaf(struct host_thread *thread, ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    uint32_t leaf = (uint32_t)registers[REG_RAX];
    struct refusal refusal = {0};
    uint64_t error = sim_leaf(leaf, (uint64_t)registers[REG_RBX], (uint64_t)registers[REG_RCX], (uint64_t)registers[REG_RDX], &refusal);
    if (refusal.why) {
        refuse_inside(thread, frame, leaf_name(leaf), &refusal);
        return;
    }
    if (tells_error(leaf)) {
        registers[REG_RAX] = (greg_t)error;
        registers[REG_EFL] = (registers[REG_EFL] & ~(greg_t)RFLAGS_STATUS) | (error ? RFLAGS_ZF : 0);
    }
    registers[REG_RIP] += ENCLU_LENGTH;
}

/* The real ENCLU, in trap mode. True: this was one, and has been done. */
static bool emulate_enclu(struct host_thread *thread, ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)registers[REG_RIP];
    if (!sim_traps_enclu || registers[REG_TRAPNO] == VECTOR_PAGE_FAULT) {
        return false;
    }
    if (rip == (uint64_t)sim_trap_eenter) {
        const char *flaw = sim_prepare_entry(thread);
        if (flaw) {
            die(flaw, (uint64_t)thread->tcs);
        }
        enter(thread, registers, (uint64_t)sim_after_eenter);
        return true;
    }
    if (rip == (uint64_t)sim_trap_eresume) {
        sim_begin_eresume(thread);
        load_registers(registers, thread->ssa_gpr);
        load_vectors((uint8_t *)frame->uc_mcontext.fpregs, (const uint8_t *)thread->ssa);
        write_fs(thread->ssa_gpr->fs_base);
        write_gs(thread->ssa_gpr->gs_base);
        set_stepping(registers, true);
        return true;
    }
    if (!is_enclu_inside(rip)) {
        return false;
    }
    if ((uint32_t)registers[REG_RAX] == ENCLU_EEXIT) {
        leave(thread, frame);
    } else {
        do_leaf(thread, frame);
    }
    return true;
}

/* In gate mode: a program may ask the CPU for reports and keys itself. Its other leaves are not simulated: they raise #UD. */
static bool emulate_enclu_of_program(struct host_thread *thread, ucontext_t *frame)
{
    const greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)registers[REG_RIP];
    if ((uint64_t)registers[REG_RAX] > ENCLU_EGETKEY || registers[REG_TRAPNO] == VECTOR_PAGE_FAULT || !is_inside(thread, rip) || !is_enclu_inside(rip)) {
        return false;
    }
    do_leaf(thread, frame);
    return true;
}

static uint32_t rights_wanted(uint32_t error_code)
{
    return error_code & PAGE_FAULT_WRITE ? SECINFO_W : error_code & PAGE_FAULT_FETCH ? SECINFO_X : SECINFO_R;
}

/* In trap mode, the error code of #PF as the EPCM has it: the real page tables hide what they allow and the EPCM does not. */
static uint32_t page_fault_code(uint32_t error_code, uint64_t address)
{
    if (!sim_traps_enclu || !in_elrange(address)) {
        return error_code;
    }
    uint16_t entry = *epcm_entry(address);
    uint32_t wanted = rights_wanted(error_code), code = error_code & ~(uint32_t)PAGE_FAULT_PRESENT;
    if (!(entry & EPCM_VALID)) {
        return code;
    }
    bool is_mapped = (entry >> EPCM_TABLE_SHIFT) & wanted;
    return code | PAGE_FAULT_PRESENT | (is_mapped ? PAGE_FAULT_SGX : 0);
}

/* What a CPU would put into EXITINFO and EXINFO. */
static struct exception exception_of(int signal, const siginfo_t *info, greg_t *registers)
{
    if (signal == SIGSYS) { /* `syscall` is illegal in an enclave: #UD, before the instruction */
        (void)info;
        registers[REG_RIP] -= SYSCALL_LENGTH;
        return (struct exception){.exit_info = EXIT_INFO_VALID | EXIT_TYPE_HARDWARE | VECTOR_INVALID_OPCODE};
    }
    uint64_t vector = (uint64_t)registers[REG_TRAPNO];
    struct exception exception = {0};
    if (!is_vector_reported(vector)) {
        die("the enclave cannot be told of an exception inside (EXITINFO has no such vector): ", vector);
    }
    exception.exit_info = EXIT_INFO_VALID | (vector == VECTOR_BREAKPOINT ? EXIT_TYPE_SOFTWARE : EXIT_TYPE_HARDWARE) | (uint32_t)vector;
    if (vector == VECTOR_PAGE_FAULT || vector == VECTOR_GENERAL_PROTECTION) {
        exception.exinfo.error_code = (uint32_t)registers[REG_ERR];
    }
    if (vector == VECTOR_PAGE_FAULT) {
        exception.exinfo.address = (uint64_t)registers[REG_CR2];
        exception.exinfo.error_code = page_fault_code(exception.exinfo.error_code, exception.exinfo.address);
    }
    return exception;
}

/* A jump of the enclave to somewhere outside: on a CPU the fetch faults, since it is still in enclave mode. */
static bool is_wild_jump(const struct host_thread *thread, const greg_t *registers)
{
    return thread && !in_elrange((uint64_t)registers[REG_RIP]) && registers[REG_TRAPNO] == VECTOR_PAGE_FAULT &&
           registers[REG_CR2] == registers[REG_RIP] && read_gs() == thread->tcs->ogsbase;
}

#define INSTRUCTION_MAX 15U

/* Is the next instruction one that a CPU would not execute here? */
static void look_ahead(struct host_thread *thread, ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    for (;;) {
        uint64_t rip = (uint64_t)registers[REG_RIP];
        if (!sim_steps || !is_inside(thread, rip) || !can_fetch(rip)) {
            return;
        }
        uint64_t size = can_fetch(rip + INSTRUCTION_MAX - 1) ? INSTRUCTION_MAX : PAGE_SIZE - rip % PAGE_SIZE;
        const char *instruction = sim_illegal_instruction((const uint8_t *)rip, size);
        if (!instruction) {
            return;
        }
        const struct refusal refusal = {.why = "illegal in an enclave", .address = rip, .vector = VECTOR_INVALID_OPCODE};
        refuse_inside(thread, frame, instruction, &refusal);
    }
}

static void call_previous(int signal, siginfo_t *info, void *frame, const struct sigaction *action)
{
    if (action->sa_flags & SA_SIGINFO) {
        action->sa_sigaction(signal, info, frame);
    } else if (action->sa_handler == SIG_DFL) {
        log_raw_hex("enclavize: the PAL crashed at ", (uint64_t)((ucontext_t *)frame)->uc_mcontext.gregs[REG_RIP]);
        log_raw_hex(", address ", (uint64_t)((ucontext_t *)frame)->uc_mcontext.gregs[REG_CR2]);
        die(", signal ", (uint64_t)signal);
    } else if (action->sa_handler != SIG_IGN) {
        action->sa_handler(signal);
    }
}

static void handle_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;
    greg_t *registers = frame->uc_mcontext.gregs;
    struct host_thread *thread = host_thread_of_stack((uint64_t)&frame);
    if (thread && info->si_code <= 0) {
        return; /* sent by a process: no fault of ours */
    }
    if (thread && (signal == SIGILL || signal == SIGSEGV) && emulate_enclu(thread, frame)) {
        look_ahead(thread, frame);
        return;
    }
    if (thread && sim_steps && registers[REG_TRAPNO] == VECTOR_DEBUG) {
        set_stepping(registers, is_inside(thread, (uint64_t)registers[REG_RIP]));
        look_ahead(thread, frame);
        return;
    }
    if ((signal == SIGILL || signal == SIGSEGV) && emulate_enclu_of_program(thread, frame)) {
        return;
    }
    if (is_inside(thread, (uint64_t)registers[REG_RIP]) || is_wild_jump(thread, registers)) {
        const struct exception exception = exception_of(signal, info, registers);
        asynchronous_exit(thread, frame, &exception);
        look_ahead(thread, frame);
        return;
    }
    for (size_t index = 0; index < FAULT_COUNT; index++) {
        if (FAULTS[index] == signal) {
            call_previous(signal, info, context, &previous[index]);
        }
    }
}

/* host_thread_interrupt(). */
static void handle_interrupt(int signal, siginfo_t *info, void *context)
{
    static const struct exception interrupt = {0};
    ucontext_t *frame = context;
    greg_t *registers = frame->uc_mcontext.gregs;
    struct host_thread *thread = host_thread_of_stack((uint64_t)&frame);
    uint64_t rip = (uint64_t)registers[REG_RIP];
    (void)signal;
    (void)info;
    if (!thread) {
        return;
    }
    /* Remembered in any case: the enclave may have looked for reasons to stay awake just before, and be on its way to sleep. */
    __atomic_fetch_or(&thread->events, EVENT_INTERRUPT, __ATOMIC_SEQ_CST);
    if (is_inside(thread, rip)) {
        if (__atomic_load_n(&sim_abandoning, __ATOMIC_ACQUIRE)) {
            write_fs(thread->host_fs);
            write_gs(thread->host_gs);
            registers[REG_RSP] = (greg_t)thread->host_rsp;
            registers[REG_RIP] = (greg_t)sim_abandoned;
        } else if (thread->tcs->cssa == 0) {
            asynchronous_exit(thread, frame, &interrupt);
        }
    } else {
        registers[REG_RIP] = (greg_t)interruptible_continuation(rip);
    }
}

static bool install(int signal, void (*handler)(int, siginfo_t *, void *), struct sigaction *before)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    return sigaction(signal, &action, before) == 0;
}

bool sim_install_handlers(void)
{
    bool done = install(machine_interrupt_signal(), handle_interrupt, &previous_interrupt);
    for (size_t index = 0; index < FAULT_COUNT; index++) {
        done = done && install(FAULTS[index], handle_fault, &previous[index]);
    }
    return done;
}

void sim_remove_handlers(void)
{
    sigaction(machine_interrupt_signal(), &previous_interrupt, NULL);
    for (size_t index = 0; index < FAULT_COUNT; index++) {
        sigaction(FAULTS[index], &previous[index], NULL);
    }
}
