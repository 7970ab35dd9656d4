/*
 * The registers of whatever runs above the LibOS: the application at a system call or an exception, or the LibOS itself when
 * an exception hits it. Vector registers are not here: the LibOS's C does not touch them, so they stay live in the CPU all the
 * time (vector_save() copies them for a signal frame). FS base is the application's all the time, too.
 */
#ifndef ENCLAVIZE_CONTEXT_H
#define ENCLAVIZE_CONTEXT_H

/* Offsets for assembly; exception.c checks them. */
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

/* struct cpu_upcalls (cpu.h) */
#define CPU_UPCALL_SYSTEM_CALL 0
#define CPU_UPCALL_ATTENTION 16

#ifndef __ASSEMBLER__

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

#define VECTOR_STATE_SIZE 2688U /* an XSAVE image with all of AVX-512 */

#endif
#endif
