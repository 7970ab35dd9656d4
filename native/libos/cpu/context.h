/*
 * The registers of whatever runs above the LibOS: the application at a system call or an exception, or the LibOS itself when
 * an exception hits it. Vector registers are not here: the LibOS's C does not touch them, so they stay live in the CPU all the
 * time (vector_save() copies them for a signal frame). FS base is the application's all the time, too.
 */
#ifndef ENCLAVIZE_CONTEXT_H
#define ENCLAVIZE_CONTEXT_H

/* Offsets for assembly; boundary.c checks them. */
#define CONTEXT_RAX 0
#define CONTEXT_RDI 8
#define CONTEXT_RSI 16
#define CONTEXT_RDX 24
#define CONTEXT_R10 32
#define CONTEXT_R8 40
#define CONTEXT_R9 48
#define CONTEXT_RBX 56
#define CONTEXT_RBP 64
#define CONTEXT_R12 72
#define CONTEXT_R13 80
#define CONTEXT_R14 88
#define CONTEXT_R15 96
#define CONTEXT_RCX 104
#define CONTEXT_R11 112
#define CONTEXT_RSP 120
#define CONTEXT_RIP 128
#define CONTEXT_RFLAGS 136
#define CONTEXT_SIZE 144

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

struct context {
    uint64_t rax; /* system call: the number before, the result after */
    uint64_t rdi, rsi, rdx, r10, r8, r9; /* system call: the arguments, in order */
    uint64_t rbx, rbp, r12, r13, r14, r15;
    uint64_t rcx, r11; /* system call: the return address and RFLAGS, as after `syscall` */
    uint64_t rsp;
    uint64_t rip; /* system call: the instruction after `syscall` */
    uint64_t rflags;
};

enum exception_vector { /* SDM volume 3, table 6-1; those that SSA EXITINFO can report */
    VECTOR_DIVIDE = 0, VECTOR_DEBUG = 1, VECTOR_BREAKPOINT = 3, VECTOR_BOUND = 5, VECTOR_INVALID_OPCODE = 6,
    VECTOR_GENERAL_PROTECTION = 13, VECTOR_PAGE_FAULT = 14, VECTOR_X87 = 16, VECTOR_ALIGNMENT = 17, VECTOR_SIMD = 19,
    VECTOR_CONTROL_PROTECTION = 21,
};

/* #PF error code bits (SDM volume 3, 4.7). */
#define FAULT_CODE_PRESENT 1U
#define FAULT_CODE_WRITE 2U
#define FAULT_CODE_FETCH 16U

/* Copied from the SSA by phase 1, so it is what the CPU reported (in simulation: what the kernel did). */
struct exception_info {
    uint32_t vector;
    uint32_t error_code; /* #PF and #GP, from EXINFO */
    uint64_t address;    /* #PF: the address */
};

/* Does the context belong to the application (and not to the LibOS)? Only such a context may be given a signal frame. */
bool context_is_application(const struct context *context);

/* Give up the current stack and go on with the context: first libos_attention() if there is something to attend to and the context is the application's,
 * then all registers, RFLAGS (without TF, IF, IOPL and the like), RSP, RIP. The context may lie on the current stack. */
_Noreturn void context_resume(struct context *context);

/* The vector state that is live now, as XSAVE in standard form; room of VECTOR_STATE_SIZE, 64-byte aligned.
 * vector_restore takes an image from anywhere in the application's memory after copying: it sanitises the header and MXCSR first. */
#define VECTOR_STATE_SIZE 2688U
void vector_save(void *image);
void vector_restore(void *image);
/* The components that may be enabled: XFRM, capped at x87, SSE, AVX, AVX-512. */
uint64_t vector_mask(void);

/*
 * What the core gives to the boundary.
 */

/* On the LibOS stack of the first thread. Does not return: it ends in context_resume() or host_exit(). `boot` and `strings` are in
 * enclave memory, copied once; strings is NUL-terminated at boot->strings_size. All of it is chosen by the host. */
struct boot;
_Noreturn void libos_start(const struct boot *boot, const char *strings);

/* A further thread, on its own LibOS stack. Does not return. The host may send one more than host_thread_create() asked for:
 * if there is no thread waiting to be started, call host_thread_exit(). */
_Noreturn void libos_thread_start(void);

/* Serve one system call; on return the context is resumed. Replacing the whole context (rt_sigreturn) is fine. */
void libos_syscall(struct context *context);

/* Phase 2 of an exception that is no system call, on the LibOS stack, for application and LibOS contexts alike (a fault in a user copy: look the
 * RIP up in the fix-up table). True: resume the context. False: nobody can handle it; the boundary says so and ends the process. */
bool libos_exception(struct context *context, const struct exception_info *info);

/* On the way back to the application, when thread->attention was set (it is cleared before) or host signals have come (mask, bit n - 1: already filtered
 * by boundary_allow_signals()). Deliver signals by changing the context. */
void libos_attention(struct context *context, uint64_t host_signals);

#endif
#endif
