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

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

#define XSAVE_LEGACY_SIZE 512
#define XSAVE_HEADER_SIZE 64
#define XSAVE_MXCSR 24
#define XSAVE_MXCSR_INITIAL 0x1F80U
#define XSAVE_SOFTWARE_BYTES 464 /* the kernel's description of the frame, to 511 */
#define XSAVE_MAX 2688U
#define FP_XSTATE_MAGIC1 0x46505853U

#define SYSCALL_LENGTH 2
#define ENCLU_LENGTH 3
#define RFLAGS_INITIAL 0x202U
#define RFLAGS_STATUS 0x8D5U /* CF, PF, AF, ZF, SF, OF */
#define RFLAGS_ZF 0x40U

#define VECTOR_INVALID_OPCODE 6
#define VECTOR_BREAKPOINT 3
#define VECTOR_GENERAL_PROTECTION 13
#define VECTOR_PAGE_FAULT 14
#define PAGE_FAULT_PRESENT 0x1
#define PAGE_FAULT_WRITE 0x2
#define PAGE_FAULT_USER 0x4
/* #DE, #DB, #BP, #BR, #UD, #GP, #PF, #MF, #AC, #XM, #CP */
#define VECTORS_REPORTED 0x2B606BU

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

/* The vector state between a signal frame and an SSA frame. Both are XSAVE images in standard form. */

struct frame_software_bytes { /* struct _fpx_sw_bytes */
    uint32_t magic1, extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size;
};

static uint64_t *features_of(uint8_t *image)
{
    return (uint64_t *)(image + XSAVE_LEGACY_SIZE);
}

/* The size of the frame's image, as far as the enclave has it; only the legacy part in a frame without extensions. */
static size_t frame_size(const uint8_t *image)
{
    struct frame_software_bytes software;
    memcpy(&software, image + XSAVE_SOFTWARE_BYTES, sizeof(software));
    if (software.magic1 != FP_XSTATE_MAGIC1) {
        return XSAVE_LEGACY_SIZE;
    }
    return software.xstate_size < XSAVE_MAX ? software.xstate_size : XSAVE_MAX;
}

static void save_vectors(uint8_t *ssa, uint8_t *image)
{
    size_t size = frame_size(image);
    uint64_t features = size > XSAVE_LEGACY_SIZE ? *features_of(image) & sim_xfrm : XFRM_LEGACY;
    memcpy(ssa, image, size);
    memset(ssa + XSAVE_SOFTWARE_BYTES, 0, XSAVE_LEGACY_SIZE - XSAVE_SOFTWARE_BYTES);
    memset(ssa + XSAVE_LEGACY_SIZE, 0, XSAVE_HEADER_SIZE);
    *features_of(ssa) = features;
    if (size > XSAVE_LEGACY_SIZE) { /* AEX leaves the CPU with initial state */
        const uint32_t mxcsr = XSAVE_MXCSR_INITIAL;
        *features_of(image) &= ~(uint64_t)sim_xfrm;
        memcpy(image + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    }
}

static void load_vectors(uint8_t *image, const uint8_t *ssa)
{
    uint8_t software[XSAVE_LEGACY_SIZE - XSAVE_SOFTWARE_BYTES];
    size_t size = frame_size(image);
    uint64_t features;
    memcpy(&features, ssa + XSAVE_LEGACY_SIZE, sizeof(features));
    memcpy(software, image + XSAVE_SOFTWARE_BYTES, sizeof(software));
    memcpy(image, ssa, XSAVE_LEGACY_SIZE);
    memcpy(image + XSAVE_SOFTWARE_BYTES, software, sizeof(software));
    if (size > XSAVE_LEGACY_SIZE) {
        memcpy(image + XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE, ssa + XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE,
               size - XSAVE_LEGACY_SIZE - XSAVE_HEADER_SIZE);
        *features_of(image) = (*features_of(image) & ~(uint64_t)sim_xfrm) | (features & sim_xfrm);
    }
}

/* General registers: the frame's index for each field of GPRSGX. */
static const struct {
    uint8_t frame;
    uint8_t gpr;
} REGISTERS[] = {
#define REGISTER(frame, field) {frame, offsetof(struct ssa_gpr, field)}
    REGISTER(REG_RAX, rax), REGISTER(REG_RCX, rcx), REGISTER(REG_RDX, rdx), REGISTER(REG_RBX, rbx), REGISTER(REG_RSP, rsp),
    REGISTER(REG_RBP, rbp), REGISTER(REG_RSI, rsi), REGISTER(REG_RDI, rdi), REGISTER(REG_R8, r8), REGISTER(REG_R9, r9),
    REGISTER(REG_R10, r10), REGISTER(REG_R11, r11), REGISTER(REG_R12, r12), REGISTER(REG_R13, r13), REGISTER(REG_R14, r14),
    REGISTER(REG_R15, r15), REGISTER(REG_EFL, rflags), REGISTER(REG_RIP, rip),
#undef REGISTER
};
#define REGISTER_COUNT (sizeof(REGISTERS) / sizeof(REGISTERS[0]))

static void save_registers(struct ssa_gpr *gpr, const greg_t *frame)
{
    for (size_t index = 0; index < REGISTER_COUNT; index++) {
        memcpy((uint8_t *)gpr + REGISTERS[index].gpr, &frame[REGISTERS[index].frame], sizeof(uint64_t));
    }
}

static void load_registers(greg_t *frame, const struct ssa_gpr *gpr)
{
    for (size_t index = 0; index < REGISTER_COUNT; index++) {
        memcpy(&frame[REGISTERS[index].frame], (const uint8_t *)gpr + REGISTERS[index].gpr, sizeof(uint64_t));
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
    if (!sim_prepare_entry(thread)) {
        log_raw_hex("enclavize: the enclave faulted while it handled an exception, at ", (uint64_t)registers[REG_RIP]);
        die(", EXITINFO ", exception->exit_info);
    }
    for (size_t index = 0; index < REGISTER_COUNT; index++) {
        registers[REGISTERS[index].frame] = 0;
    }
    registers[REG_RSP] = (greg_t)thread->host_rsp;
    registers[REG_EFL] = RFLAGS_INITIAL;
    enter(thread, registers, (uint64_t)sim_after_exception);
}

/* Operands of EREPORT and EGETKEY: registers, alignments, rights (SDM volume 3D). */
#define OPERANDS_MAX 3
struct operand {
    uint8_t reg;
    uint16_t alignment;
    uint8_t rights;
};
static const struct operand OPERANDS[][OPERANDS_MAX] = {
    [ENCLU_EREPORT] = {{REG_RBX, 512, SECINFO_R}, {REG_RCX, 128, SECINFO_R}, {REG_RDX, 512, SECINFO_R | SECINFO_W}},
    [ENCLU_EGETKEY] = {{REG_RBX, 512, SECINFO_R}, {REG_RCX, 16, SECINFO_R | SECINFO_W}},
};

/* Leaves the exception in the frame, as the kernel does. */
static bool fault_of_operand(greg_t *registers, uint64_t address, const struct operand *operand)
{
    if (address % operand->alignment != 0 || !in_elrange(address)) {
        registers[REG_TRAPNO] = VECTOR_GENERAL_PROTECTION;
        registers[REG_ERR] = 0;
        return true;
    }
    uint16_t entry = *epcm_entry(address);
    if (epcm_usable(entry, operand->rights) && (epcm_effective_rights(entry) & operand->rights) == operand->rights) {
        return false;
    }
    registers[REG_TRAPNO] = VECTOR_PAGE_FAULT;
    registers[REG_ERR] = PAGE_FAULT_USER | ((entry & EPCM_VALID) ? PAGE_FAULT_PRESENT : 0) | ((operand->rights & SECINFO_W) ? PAGE_FAULT_WRITE : 0);
    registers[REG_CR2] = (greg_t)address;
    return true;
}

/* A program may ask the CPU for reports and keys itself. Its other leaves are not simulated: they raise #UD. */
static bool emulate_enclu_of_program(greg_t *registers)
{
    static const uint8_t enclu[ENCLU_LENGTH] = {0x0F, 0x01, 0xD7};
    uint64_t leaf = (uint64_t)registers[REG_RAX], rip = (uint64_t)registers[REG_RIP], last = rip + ENCLU_LENGTH - 1;
    bool is_readable = in_elrange(last) && (epcm_effective_rights(*epcm_entry(rip)) & epcm_effective_rights(*epcm_entry(last)) & SECINFO_R);
    if (leaf > ENCLU_EGETKEY || !is_readable || memcmp((const void *)rip, enclu, sizeof(enclu)) != 0) {
        return false;
    }
    for (size_t index = 0; index < OPERANDS_MAX && OPERANDS[leaf][index].alignment; index++) {
        if (fault_of_operand(registers, (uint64_t)registers[OPERANDS[leaf][index].reg], &OPERANDS[leaf][index])) {
            return false;
        }
    }
    uint64_t error = sim_leaf(leaf, (uint64_t)registers[REG_RBX], (uint64_t)registers[REG_RCX], (uint64_t)registers[REG_RDX]);
    if (leaf == ENCLU_EGETKEY) {
        registers[REG_RAX] = (greg_t)error;
        registers[REG_EFL] = (registers[REG_EFL] & ~(greg_t)RFLAGS_STATUS) | (error ? RFLAGS_ZF : 0);
    }
    registers[REG_RIP] += ENCLU_LENGTH;
    return true;
}

/* The real ENCLU, in trap mode. True: this was one, and has been done. */
static bool emulate_enclu(struct host_thread *thread, ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)registers[REG_RIP];
    if (!sim_traps_enclu) {
        return false;
    }
    if (rip == (uint64_t)sim_trap_eenter) {
        if (!sim_prepare_entry(thread)) {
            die("EENTER of a busy thread, TCS ", (uint64_t)thread->tcs);
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
        return true;
    }
    if (rip != sim_enclave->stub_address) {
        return false;
    }
    if (registers[REG_RAX] == ENCLU_EEXIT) {
        __atomic_store_n(&thread->tcs->state, 0, __ATOMIC_RELEASE);
        write_fs(thread->host_fs);
        write_gs(thread->host_gs);
        registers[REG_RIP] = registers[REG_RBX];
        return true;
    }
    registers[REG_RAX] = (greg_t)sim_leaf((uint64_t)registers[REG_RAX], (uint64_t)registers[REG_RBX], (uint64_t)registers[REG_RCX],
                                          (uint64_t)registers[REG_RDX]);
    registers[REG_RIP] += ENCLU_LENGTH;
    return true;
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
    if (vector < 32 && (VECTORS_REPORTED >> vector) & 1) {
        exception.exit_info = EXIT_INFO_VALID | (vector == VECTOR_BREAKPOINT ? EXIT_TYPE_SOFTWARE : EXIT_TYPE_HARDWARE) | (uint32_t)vector;
    }
    if (vector == VECTOR_PAGE_FAULT || vector == VECTOR_GENERAL_PROTECTION) {
        exception.exinfo.error_code = (uint32_t)registers[REG_ERR];
        exception.exinfo.address = vector == VECTOR_PAGE_FAULT ? (uint64_t)registers[REG_CR2] : 0;
    }
    return exception;
}

static bool is_inside(const struct host_thread *thread, uint64_t rip)
{
    return thread && in_elrange(rip) && __atomic_load_n(&thread->tcs->state, __ATOMIC_ACQUIRE);
}

/* A jump of the enclave to somewhere outside: on a CPU the fetch faults, since it is still in enclave mode. */
static bool is_wild_jump(const struct host_thread *thread, const greg_t *registers)
{
    return thread && !in_elrange((uint64_t)registers[REG_RIP]) && registers[REG_TRAPNO] == VECTOR_PAGE_FAULT &&
           registers[REG_CR2] == registers[REG_RIP] && read_gs() == thread->tcs->ogsbase;
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
        return;
    }
    bool is_illegal = signal == SIGILL || (signal == SIGSEGV && registers[REG_TRAPNO] == VECTOR_GENERAL_PROTECTION);
    if (is_illegal && is_inside(thread, (uint64_t)registers[REG_RIP]) && emulate_enclu_of_program(registers)) {
        return;
    }
    if (is_inside(thread, (uint64_t)registers[REG_RIP]) || is_wild_jump(thread, registers)) {
        const struct exception exception = exception_of(signal, info, registers);
        asynchronous_exit(thread, frame, &exception);
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
