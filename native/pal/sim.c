#define _GNU_SOURCE
#include "sim.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "sim_rules.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif
#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE 2
#endif

#define USER_ADDRESS_END 0x7FFFFFFFF000UL

_Static_assert(offsetof(struct host_thread, host_rsp) == HOST_THREAD_RSP, "sim_entry.S");
_Static_assert(offsetof(struct host_thread, host_gs) == HOST_THREAD_GS, "sim_entry.S");
_Static_assert(offsetof(struct host_thread, entry_gs) == HOST_THREAD_ENTRY_GS, "sim_entry.S");
_Static_assert(offsetof(struct host_thread, cssa) == HOST_THREAD_CSSA, "sim_entry.S");
_Static_assert(offsetof(struct host_thread, ssa_gpr) == HOST_THREAD_SSA_GPR, "sim_entry.S");
_Static_assert(offsetof(struct tcs, hidden_thread) == TCS_HIDDEN_THREAD, "sim_entry.S");

const struct enclave *sim_enclave;
uint32_t sim_xfrm;
bool sim_abandoning;
static enum syscall_trap trap;

void sim_gate(void);

/* `syscall` inside ELRANGE must trap. Outside everything is allowed: the PAL, libc, sigreturn. */

static int dispatch_user_syscalls(unsigned long mode)
{
    unsigned long start = mode == PR_SYS_DISPATCH_ON ? ELRANGE_START + ELRANGE_SIZE : 0;
    unsigned long length = mode == PR_SYS_DISPATCH_ON ? USER_ADDRESS_END - start : 0;
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, start, length, 0) == 0 ? 0 : -errno;
}

/* Inherited by threads and irrevocable, and harmless to code outside ELRANGE. */
static int filter_syscalls(void)
{
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ELRANGE_SIZE >> 32, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    const struct sock_fprog program = {.len = sizeof(instructions) / sizeof(instructions[0]), .filter = instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
        return -errno;
    }
    return 0;
}

static int choose_syscall_trap(enum syscall_trap wanted)
{
    trap = wanted;
    if (wanted == SYSCALL_TRAP_SECCOMP) {
        return 0;
    }
    int error = dispatch_user_syscalls(PR_SYS_DISPATCH_ON);
    if (!error) {
        trap = SYSCALL_TRAP_SUD;
        return dispatch_user_syscalls(PR_SYS_DISPATCH_OFF);
    }
    if (wanted == SYSCALL_TRAP_SUD) {
        return fail(error, "the kernel has no Syscall User Dispatch (Linux 5.11): %s", strerror(-error));
    }
    log_message(LOG_INFO, "the kernel has no Syscall User Dispatch; system calls are trapped by seccomp");
    trap = SYSCALL_TRAP_SECCOMP;
    return 0;
}

/* Overwrites the one ENCLU with a jump out of the enclave. The page has been measured before. */
static int open_gate(void)
{
    static const uint8_t enclu_and_return[] = {0x0F, 0x01, 0xD7, 0xC3};
    static const uint8_t jump[] = {0xFF, 0x25, 2, 0, 0, 0, 0xCC, 0xCC}; /* jmp *2(%rip): the address is aligned, as RFLAGS.AC may be set */
    uint64_t address = sim_enclave->stub_address;
    uint64_t page = address & ~(PAGE_SIZE - 1);
    uint64_t target = (uint64_t)sim_gate;
    if (address == 0 || address % 16 != 0 || !(*epcm_entry(page) & EPCM_VALID) || !(*epcm_entry(page) & SECINFO_X) ||
        memcmp((const void *)address, enclu_and_return, sizeof(enclu_and_return)) != 0) {
        return fail(-ENOEXEC, "the enclave has no gate for simulation (symbol enclu_stub); use enclu=trap");
    }
    if (mprotect((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE) != 0) {
        return fail(-errno, "the enclave's gate cannot be opened: %s", strerror(errno));
    }
    memcpy((void *)address, jump, sizeof(jump));
    memcpy((uint8_t *)address + sizeof(jump), &target, sizeof(target));
    return sim_apply_rights(page, PAGE_SIZE);
}

int sim_start(const struct enclave *enclave, const struct options *options)
{
    sim_enclave = enclave;
    sim_xfrm = (uint32_t)enclave->attributes.xfrm;
    sim_abandoning = false;
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
        return fail(-ENOSYS, "simulation needs the FSGSBASE instructions (Linux 5.9 and a CPU of 2013 or later)");
    }
    int error = choose_syscall_trap(options->syscall_trap);
    if (!error && !options->trap_enclu) {
        error = open_gate();
    }
    if (!error && !sim_install_handlers()) {
        error = fail(-errno, "signal handlers cannot be installed: %s", strerror(errno));
    }
    return error;
}

void sim_stop(void)
{
    sim_remove_handlers();
}

int sim_thread_begin(struct host_thread *thread)
{
    const stack_t stack = {.ss_sp = (char *)thread + BLOCK_ALTERNATE_STACK, .ss_size = ALTERNATE_STACK_SIZE};
    int error = sim_show_thread(thread->tcs);
    if (error) {
        return error;
    }
    thread->tcs->hidden_thread = (uint64_t)thread;
    thread->tid = (pid_t)syscall(SYS_gettid);
    if (sigaltstack(&stack, NULL) != 0) {
        return -errno;
    }
    return trap == SYSCALL_TRAP_SUD ? dispatch_user_syscalls(PR_SYS_DISPATCH_ON) : filter_syscalls();
}

void sim_thread_end(struct host_thread *thread)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    if (trap == SYSCALL_TRAP_SUD) {
        dispatch_user_syscalls(PR_SYS_DISPATCH_OFF);
    }
    thread->tcs->hidden_thread = 0;
    sigaltstack(&none, NULL);
}

static struct ssa_gpr *gpr_of_frame(const struct tcs *tcs, uint64_t frame)
{
    uint64_t end = tcs->ossa + (frame + 1) * sim_enclave->ssa_frame_size;
    return (struct ssa_gpr *)(end - sizeof(struct ssa_gpr));
}

/* In trap mode, what EENTER and ERESUME check of an SSA frame. NULL: nothing is wrong. */
static const char *frame_flaw(const struct tcs *tcs, uint64_t frame)
{
    static const char flaw[] = "EENTER or ERESUME #PF: the SSA frame is not there, or cannot be written, TCS ";
    uint64_t size = sim_enclave->ssa_frame_size, start = tcs->ossa + frame * size;
    if (!sim_traps_enclu) {
        return NULL;
    }
    if (start >= ELRANGE_SIZE || size > ELRANGE_SIZE - start) {
        return flaw;
    }
    for (uint64_t page = start; page < start + size; page += PAGE_SIZE) {
        uint16_t entry = *epcm_entry(page);
        if ((entry & (EPCM_VALID | EPCM_PENDING | EPCM_MODIFIED | EPCM_TCS | EPCM_TRIM)) != EPCM_VALID ||
            (entry & (SECINFO_R | SECINFO_W)) != (SECINFO_R | SECINFO_W)) {
            return flaw;
        }
    }
    return NULL;
}

static bool take(struct tcs *tcs)
{
    uint64_t free_state = 0;
    return __atomic_compare_exchange_n(&tcs->state, &free_state, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* In the order in which EENTER looks at it. In gate mode, the TCS was looked at when the enclave was built (sim_build.c). */
static const char *entry_flaw(const struct tcs *tcs)
{
    if ((uint64_t)tcs % PAGE_SIZE != 0) {
        return "EENTER #GP(0): the TCS is not aligned: ";
    }
    if ((uint64_t)tcs >= ELRANGE_SIZE || (*epcm_entry((uint64_t)tcs) & (EPCM_VALID | EPCM_TCS | EPCM_MODIFIED)) != (EPCM_VALID | EPCM_TCS)) {
        return "EENTER #PF: the page is no TCS: ";
    }
    const char *flaw = sim_traps_enclu ? sim_tcs_flaw(tcs) : NULL;
    if (flaw) {
        return flaw;
    }
    if (!sim_is_initialised) {
        return "EENTER #GP(0): the enclave is not initialised, TCS ";
    }
    if (tcs->cssa >= tcs->nssa) {
        return "EENTER #GP(0): all SSA frames are in use (CSSA = NSSA), TCS ";
    }
    flaw = frame_flaw(tcs, tcs->cssa);
    return flaw || !sim_traps_enclu ? flaw : sim_tcs_address_flaw(tcs);
}

const char *sim_prepare_entry(struct host_thread *thread)
{
    struct tcs *tcs = thread->tcs;
    const char *flaw = entry_flaw(tcs);
    if (flaw) {
        return flaw;
    }
    if (!take(tcs)) {
        return "EENTER #GP(0): a thread is in the enclave with this TCS: ";
    }
    struct ssa_gpr *gpr = gpr_of_frame(tcs, tcs->cssa);
    gpr->ursp = thread->host_rsp;
    gpr->urbp = 0;
    thread->entry_fs = tcs->ofsbase;
    thread->entry_gs = tcs->ogsbase;
    thread->oentry = tcs->oentry;
    thread->cssa = tcs->cssa;
    return NULL;
}

uint64_t sim_enter(struct host_thread *thread, uint64_t ecall)
{
    if (thread->tcs->cssa != 0 || (!sim_traps_enclu && sim_prepare_entry(thread))) {
        return EEXIT_REFUSED;
    }
    return sim_eenter(thread, ecall, thread->exchange);
}

#define XSAVE_HEADER 512 /* XSTATE_BV, then 56 bytes that are zero in the standard form */
#define XSAVE_HEADER_WORDS 8
#define MXCSR_OFFSET 24
#define MXCSR_KNOWN 0x2FFFFU

/* What XRSTOR and the loading of the registers would refuse. */
static const char *state_flaw(const uint8_t *ssa, const struct ssa_gpr *gpr)
{
    uint64_t header[XSAVE_HEADER_WORDS], reserved = 0;
    uint32_t mxcsr;
    memcpy(header, ssa + XSAVE_HEADER, sizeof(header));
    memcpy(&mxcsr, ssa + MXCSR_OFFSET, sizeof(mxcsr));
    for (size_t index = 1; index < XSAVE_HEADER_WORDS; index++) {
        reserved |= header[index];
    }
    if ((header[0] & ~sim_enclave->attributes.xfrm) || reserved || (mxcsr & ~MXCSR_KNOWN)) {
        return "ERESUME #GP(0): the SSA has vector state that XFRM does not allow, TCS ";
    }
    if (gpr->rip > USER_ADDRESS_END || gpr->fs_base > USER_ADDRESS_END || gpr->gs_base > USER_ADDRESS_END) {
        return "ERESUME #GP(0): an address in the SSA is not canonical, TCS ";
    }
    return NULL;
}

/* ERESUME up to loading the registers. */
void sim_begin_eresume(struct host_thread *thread)
{
    struct tcs *tcs = thread->tcs;
    if (tcs->cssa == 0) {
        die("ERESUME #GP(0): the thread was not interrupted (CSSA = 0), TCS ", (uint64_t)tcs);
    }
    const char *flaw = frame_flaw(tcs, tcs->cssa - 1);
    thread->ssa = tcs->ossa + (tcs->cssa - 1) * sim_enclave->ssa_frame_size;
    thread->ssa_gpr = gpr_of_frame(tcs, tcs->cssa - 1);
    flaw = flaw || !sim_traps_enclu ? flaw : state_flaw((const uint8_t *)thread->ssa, thread->ssa_gpr);
    if (!flaw && !take(tcs)) {
        flaw = "ERESUME #GP(0): a thread is in the enclave with this TCS: ";
    }
    if (flaw) {
        die(flaw, (uint64_t)tcs);
    }
    tcs->cssa--;
}

void sim_abandon_all(void)
{
    __atomic_store_n(&sim_abandoning, true, __ATOMIC_RELEASE);
}
