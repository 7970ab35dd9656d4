/*
 * Threads in an enclave on hardware. The only ENCLU outside is the vDSO's. An exception inside ends in the kernel, which sends the thread to the vDSO's
 * exit handler, run.user_handler; an interrupt ends in a signal handler, before the ENCLU that would go on with ERESUME. Both enter again to tell the
 * enclave (EENTER at CSSA 1), and then go on (ERESUME).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "log.h"
#include "sgx_machine.h"

#define VECTOR_PAGE_FAULT 14U
#define PAGE_FAULT_PRESENT 0x1U
#define PAGE_FAULT_SGX 0x8000U /* the EPCM forbids it, or the EPC was lost (SDM volume 3A, "Page-Fault Exceptions") */

static sgx_vdso_function *enter_enclave;
static bool is_abandoning;
static const uint8_t ENCLU[] = {0x0F, 0x01, 0xD7};
static struct sigaction previous_interrupt, previous_trap;

#define VDSO_FUNCTION_MAX 0x1000U

bool sgx_find_entry(void)
{
    enter_enclave = sgx_find_vdso((const void *)getauxval(AT_SYSINFO_EHDR));
    return enter_enclave != NULL;
}

bool sgx_is_enclu(uint64_t rip)
{
    return rip - (uint64_t)enter_enclave < VDSO_FUNCTION_MAX && memcmp((const void *)rip, ENCLU, sizeof(ENCLU)) == 0;
}

static _Noreturn void die_of_entry(const struct sgx_enclave_run *run)
{
    if (run->exception_vector == VECTOR_PAGE_FAULT && (run->exception_error_code & PAGE_FAULT_SGX)) {
        die("the enclave is lost: the machine slept or was moved, or a page was taken away, TCS ", run->tcs);
    }
    log_raw("enclavize: ");
    log_raw(run->function == ENCLU_ERESUME ? "ERESUME" : "EENTER");
    log_raw_hex(" faulted, TCS ", run->tcs);
    log_raw_hex(", error code ", run->exception_error_code);
    log_raw("\n");
    die("exception ", run->exception_vector);
}

/* Said once: what the enclave makes of the fault does not tell why. */
static void note_full_cache(const struct sgx_enclave_run *run)
{
    static uint32_t told;
    bool is_missing = run->exception_vector == VECTOR_PAGE_FAULT && !(run->exception_error_code & (PAGE_FAULT_PRESENT | PAGE_FAULT_SGX)) &&
                      run->exception_addr >= DYNAMIC_START && run->exception_addr < DYNAMIC_END;
    if (is_missing && __atomic_exchange_n(&told, 1, __ATOMIC_RELAXED) == 0) {
        log_message(LOG_ERROR, "the kernel has no page for the enclave: the enclave page cache (EPC) is full");
    }
}

/* At each exit: > 0: the ENCLU leaf to go on with; 0: back to sgx_enter(). */
int sgx_on_exit(long rdi, long rsi, long rdx, long rsp, long r8, long r9, struct sgx_enclave_run *run);
int sgx_on_exit(long rdi, long rsi, long rdx, long rsp, long r8, long r9, struct sgx_enclave_run *run)
{
    struct host_thread *thread = (struct host_thread *)run->user_data;
    (void)rsi;
    (void)rdx;
    (void)rsp;
    (void)r9;
    switch (run->function) {
    case ENCLU_EEXIT:
        if (thread->sgx.is_handling && (uint32_t)rdi == EEXIT_DONE) {
            thread->sgx.is_handling = false;
            return ENCLU_ERESUME;
        }
        thread->sgx.code = (uint32_t)rdi;
        return 0;
    case ENCLU_ERESUME: /* the thread was inside, or was about to be again */
        if (r8 == SGX_RESUMING) {
            die_of_entry(run);
        }
        if (!is_vector_reported(run->exception_vector)) {
            die("the enclave cannot be told of an exception inside (EXITINFO has no such vector): ", run->exception_vector);
        }
        if (thread->sgx.is_handling) {
            die("the enclave faulted while it handled an exception, at ", run->exception_addr);
        }
        note_full_cache(run);
        thread->sgx.is_handling = true;
        return ENCLU_EENTER;
    default:
        die_of_entry(run);
    }
}

uint64_t sgx_enter(struct host_thread *thread, uint64_t ecall)
{
    thread->sgx.is_handling = false;
    thread->sgx.run = (struct sgx_enclave_run){.tcs = (uint64_t)thread->tcs, .user_handler = (uint64_t)sgx_exit_handler, .user_data = (uint64_t)thread};
    int result = sgx_call(ecall, thread->exchange, ENCLU_EENTER, enter_enclave, &thread->sgx.run, &thread->host_rsp);
    if (result == SGX_ABANDONED) {
        return MACHINE_ABANDONED;
    }
    if (result != 0) {
        die("the vDSO does not enter the enclave: error ", (unsigned long)-result);
    }
    return thread->sgx.code;
}

/* The kernel has interrupted the thread inside, and would go on with ERESUME. */
static void leave_inside(struct host_thread *thread, greg_t *registers)
{
    if (__atomic_load_n(&is_abandoning, __ATOMIC_ACQUIRE)) {
        registers[REG_RSP] = (greg_t)thread->host_rsp;
        registers[REG_RIP] = (greg_t)sgx_abandoned;
    } else if (!thread->sgx.is_handling) { /* else: what is waiting is looked at when the exception is done */
        thread->sgx.is_handling = true;
        registers[REG_RAX] = ENCLU_EENTER; /* RBX is the TCS, RCX the way out: the AEX has left them so (SDM volume 3D, "Asynchronous Exit") */
    }
}

static bool is_inside(const greg_t *registers)
{
    return sgx_is_enclu((uint64_t)registers[REG_RIP]) && registers[REG_RAX] == ENCLU_ERESUME;
}

static void handle_interrupt(int signal, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;
    greg_t *registers = frame->uc_mcontext.gregs;
    struct host_thread *thread = host_thread_of_stack((uint64_t)&frame);
    (void)signal;
    (void)info;
    if (!thread) {
        return;
    }
    /* Remembered in any case: the enclave may have looked for reasons to stay awake just before, and be on its way to sleep. */
    __atomic_fetch_or(&thread->events, EVENT_INTERRUPT, __ATOMIC_SEQ_CST);
    if (is_inside(registers)) {
        leave_inside(thread, registers);
    } else {
        registers[REG_RIP] = (greg_t)interruptible_continuation((uint64_t)registers[REG_RIP]);
    }
}

/* #BP and #DB inside: the vDSO does not take them. */
static void handle_trap(int signal, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;
    greg_t *registers = frame->uc_mcontext.gregs;
    struct host_thread *thread = host_thread_of_stack((uint64_t)&frame);
    if (thread && info->si_code <= 0) {
        return; /* sent by a process */
    }
    if (thread && is_inside(registers)) {
        leave_inside(thread, registers);
        return;
    }
    log_raw_hex("enclavize: the PAL crashed at ", (uint64_t)registers[REG_RIP]);
    die(", signal ", (unsigned long)signal);
}

static bool install(int signal, void (*handler)(int, siginfo_t *, void *), struct sigaction *before)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    return sigaction(signal, &action, before) == 0;
}

int sgx_start(const struct enclave *enclave, const struct options *options)
{
    (void)enclave;
    (void)options;
    is_abandoning = false;
    sgx_start_memory();
    if (!install(machine_interrupt_signal(), handle_interrupt, &previous_interrupt) || !install(SIGTRAP, handle_trap, &previous_trap)) {
        return fail(-errno, "signal handlers cannot be installed: %s", strerror(errno));
    }
    return 0;
}

void sgx_stop(void)
{
    sgx_stop_memory();
    sigaction(machine_interrupt_signal(), &previous_interrupt, NULL);
    sigaction(SIGTRAP, &previous_trap, NULL);
}

/* Handlers find the thread's record by their stack. */
int sgx_thread_begin(struct host_thread *thread)
{
    const stack_t stack = {.ss_sp = (char *)thread + BLOCK_ALTERNATE_STACK, .ss_size = ALTERNATE_STACK_SIZE};
    thread->tid = (pid_t)syscall(SYS_gettid);
    return sigaltstack(&stack, NULL) == 0 ? 0 : -errno;
}

void sgx_thread_end(struct host_thread *thread)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    (void)thread;
    sigaltstack(&none, NULL);
}

void sgx_abandon_all(void)
{
    __atomic_store_n(&is_abandoning, true, __ATOMIC_RELEASE);
}
