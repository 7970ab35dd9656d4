/* sim_signals.c with single steps: at any instruction inside, the host may interrupt, make it fault, or change what lies outside. */
#define sim_install_handlers honest_install_handlers
#include "../../../native/pal/sim_signals.c"
#undef sim_install_handlers

#include "../../../native/libos/cpu/thread.h"
#include "liar.h"

#define RFLAGS_TRAP 0x100
#define RFLAGS_DIRECTION 0x400
#define RFLAGS_ALIGNMENT 0x40000
#define VECTOR_DEBUG 1
#define FLIP_STEPS 400U /* the way back and the wrapper of the OCALL; what comes then reads nothing more */

struct stepping stepping;

bool honest_install_handlers(void);
extern const char liar_after[], liar_after_aex[];

static void leave_by_aex(struct host_thread *thread, ucontext_t *frame, uint32_t state)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    const struct exception exception = {
        .exit_info = stepping.kind, .exinfo = {.address = stepping.address, .error_code = stepping.kind ? 6 : 0},
    };
    stepping.on = false;
    stepping.rip = (uint64_t)registers[REG_RIP];
    stepping.rsp = (uint64_t)registers[REG_RSP];
    stepping.state = state;
    stepping.entered_twice = !sim_prepare_entry(thread);
    registers[REG_EFL] &= ~RFLAGS_TRAP;
    save_state(thread, frame, &exception);
    write_fs(thread->host_fs);
    write_gs(thread->host_gs);
    registers[REG_RSP] = (greg_t)thread->host_rsp;
    registers[REG_RIP] = (greg_t)liar_after_aex;
    registers[REG_EFL] = RFLAGS_INITIAL;
}

static void step(ucontext_t *frame)
{
    greg_t *registers = frame->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)registers[REG_RIP];
    if (rip == (uint64_t)liar_after) {
        stepping.on = false;
        registers[REG_EFL] &= ~RFLAGS_TRAP;
        return;
    }
    registers[REG_EFL] |= RFLAGS_TRAP;
    if (!in_elrange(rip)) {
        return;
    }
    stepping.steps++;
    if (stepping.flip && stepping.steps > FLIP_STEPS) {
        stepping.on = false;
        registers[REG_EFL] &= ~RFLAGS_TRAP;
        return;
    }
    if (stepping.flip) {
        *stepping.flip = stepping.values[stepping.steps % 2];
    }
    uint32_t state = ((const struct thread *)read_gs())->state;
    stepping.is_hosts_rsp |= state == THREAD_INSIDE && (uint64_t)registers[REG_RSP] == stepping.host_rsp;
    stepping.is_hosts_flags |= stepping.free_steps && stepping.steps > stepping.free_steps && state != THREAD_OUTSIDE &&
                               (registers[REG_EFL] & (RFLAGS_ALIGNMENT | RFLAGS_DIRECTION));
    if (stepping.steps == stepping.target) {
        leave_by_aex(stepping.thread, frame, state);
    }
}

/* CPUID, RDTSC and RDTSCP natively end in a trap of the application's own; here they are what they are in an enclave. */
static bool is_illegal_in_enclaves(uint64_t rip)
{
    const uint8_t *code = (const uint8_t *)rip;
    return code[0] == 0x0F && (code[1] == 0xA2 || code[1] == 0x31 || (code[1] == 0x01 && code[2] == 0xF9));
}

static void handle_trap(int signal, siginfo_t *info, void *context)
{
    __asm__ volatile("pushfq\n andl $~0x40000, (%%rsp)\n popfq" : : : "memory", "cc"); /* the kernel leaves a hostile AC as it is */
    static const struct exception illegal = {.exit_info = EXIT_INFO_VALID | EXIT_TYPE_HARDWARE | VECTOR_INVALID_OPCODE};
    ucontext_t *frame = context;
    greg_t *registers = frame->uc_mcontext.gregs;
    struct host_thread *thread = host_thread_of_stack((uint64_t)&frame);
    bool is_step = registers[REG_TRAPNO] == VECTOR_DEBUG;
    if (stepping.on && is_step) {
        step(frame);
    } else if (is_step && is_inside(thread, (uint64_t)registers[REG_RIP]) && is_illegal_in_enclaves((uint64_t)registers[REG_RIP])) {
        registers[REG_EFL] &= ~RFLAGS_TRAP;
        asynchronous_exit(thread, frame, &illegal);
    } else if (is_step && !is_inside(thread, (uint64_t)registers[REG_RIP])) {
        registers[REG_EFL] &= ~RFLAGS_TRAP; /* of an instruction that trapped for another reason too: `syscall` */
    } else {
        handle_fault(signal, info, context);
    }
}

bool sim_install_handlers(void)
{
    struct sigaction action = {.sa_sigaction = handle_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    return honest_install_handlers() && sigaction(SIGTRAP, &action, NULL) == 0;
}
