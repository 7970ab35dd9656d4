/*
 * The simulated CPU's transitions. In gate mode EENTER, EEXIT and ERESUME are this code; in trap mode the real ENCLU instruction is
 * executed, raises #UD, and sim_signals.c does the same on the signal frame.
 */
#include "host_thread.h"

#define ENCLU_EENTER 2
#define ENCLU_ERESUME 3
#define ENCLU_EEXIT 4
#define MACHINE_ABANDONED 256

    .hidden sim_traps_enclu, sim_td_offset, sim_xfrm, sim_begin_eresume, sim_gate_leaf

/* struct ssa_gpr */
#define GPR_RAX 0
#define GPR_RCX 8
#define GPR_RDX 16
#define GPR_RBX 24
#define GPR_RSP 32
#define GPR_RBP 40
#define GPR_RSI 48
#define GPR_RDI 56
#define GPR_R8 64
#define GPR_R9 72
#define GPR_R10 80
#define GPR_R11 88
#define GPR_R12 96
#define GPR_R13 104
#define GPR_R14 112
#define GPR_R15 120
#define GPR_RFLAGS 128
#define GPR_RIP 136
#define GPR_FS 168
#define GPR_GS 176

    .text

/* uint64_t sim_eenter(struct host_thread *, uint64_t ecall, struct exchange *) -> RDI at the EEXIT. The thread's entry_* are prepared. */
    .globl sim_eenter, sim_trap_eenter, sim_after_eenter, sim_abandoned
    .hidden sim_eenter, sim_trap_eenter, sim_after_eenter, sim_abandoned
    .type sim_eenter, @function
sim_eenter:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    sub $24, %rsp
    mov %rdi, (%rsp)
    stmxcsr 8(%rsp)
    fnstcw 12(%rsp)
    rdfsbase %rax
    mov %rax, HOST_THREAD_FS(%rdi)
    rdgsbase %rax
    mov %rax, HOST_THREAD_GS(%rdi)
    mov %rsp, HOST_THREAD_RSP(%rdi)
    mov HOST_THREAD_TCS(%rdi), %rbx
    lea sim_after_eenter(%rip), %rcx
    mov %rdi, %r8
    mov %rsi, %rdi
    mov %rdx, %rsi
    cmpb $0, sim_traps_enclu(%rip)
    jne 1f
    mov HOST_THREAD_ENTRY_FS(%r8), %rax
    wrfsbase %rax
    mov HOST_THREAD_ENTRY_GS(%r8), %rax
    wrgsbase %rax
    mov HOST_THREAD_CSSA(%r8), %rax
    jmp *HOST_THREAD_OENTRY(%r8)
1:  mov $ENCLU_EENTER, %eax
sim_trap_eenter:
    .byte 0x0F, 0x01, 0xD7
sim_after_eenter:
    mov %edi, %eax
.Lleave:
    ldmxcsr 8(%rsp)
    fnstcw 16(%rsp)
    movzwl 16(%rsp), %ecx
    cmp 12(%rsp), %cx
    je 1f
    fldcw 12(%rsp) /* x87 counts as in use afterwards, which costs the enclave an XRSTOR */
1:  cld
    add $24, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
/* A signal handler took the thread out of the enclave for good: host FS, GS and RSP are back. */
sim_abandoned:
    mov $MACHINE_ABANDONED, %eax
    jmp .Lleave
    .size sim_eenter, . - sim_eenter

/* After the EEXIT of an exception entry: ERESUME, unless the enclave says that the thread will not go on. RSP is as in sim_eenter. */
    .globl sim_after_exception, sim_trap_eresume
    .hidden sim_after_exception, sim_trap_eresume
    .type sim_after_exception, @function
sim_after_exception:
    cld
    mov %edi, %eax
    test %eax, %eax
    jnz .Lleave
    cmpb $0, sim_traps_enclu(%rip)
    jne 2f
    mov (%rsp), %rdi
    call sim_begin_eresume
    mov (%rsp), %rdi
    mov HOST_THREAD_SSA(%rdi), %rcx
    mov sim_xfrm(%rip), %eax
    xor %edx, %edx
    xrstor64 (%rcx)
    mov HOST_THREAD_SSA_GPR(%rdi), %rdi
    mov GPR_FS(%rdi), %rax
    wrfsbase %rax
    mov GPR_GS(%rdi), %rax
    wrgsbase %rax
    mov %ss, %eax
    push %rax
    pushq GPR_RSP(%rdi)
    pushq GPR_RFLAGS(%rdi)
    mov %cs, %eax
    push %rax
    pushq GPR_RIP(%rdi)
    mov GPR_RAX(%rdi), %rax
    mov GPR_RCX(%rdi), %rcx
    mov GPR_RDX(%rdi), %rdx
    mov GPR_RBX(%rdi), %rbx
    mov GPR_RBP(%rdi), %rbp
    mov GPR_RSI(%rdi), %rsi
    mov GPR_R8(%rdi), %r8
    mov GPR_R9(%rdi), %r9
    mov GPR_R10(%rdi), %r10
    mov GPR_R11(%rdi), %r11
    mov GPR_R12(%rdi), %r12
    mov GPR_R13(%rdi), %r13
    mov GPR_R14(%rdi), %r14
    mov GPR_R15(%rdi), %r15
    mov GPR_RDI(%rdi), %rdi
    iretq
2:  mov (%rsp), %rdi
    mov HOST_THREAD_TCS(%rdi), %rbx
    mov $ENCLU_ERESUME, %eax
sim_trap_eresume:
    .byte 0x0F, 0x01, 0xD7
    ud2
    .size sim_after_exception, . - sim_after_exception

/* Where the enclave's stub jumps to in gate mode: RAX is the leaf. After a leaf other than EEXIT it goes on as the stub would: with `ret`. */
    .globl sim_gate
    .hidden sim_gate
    .type sim_gate, @function
sim_gate:
    cmp $ENCLU_EEXIT, %eax
    jne 3f
    rdgsbase %rcx
    sub sim_td_offset(%rip), %rcx
    mov TCS_HIDDEN_THREAD(%rcx), %rdx
    movq $0, TCS_STATE(%rcx)
    mov HOST_THREAD_FS(%rdx), %rcx
    wrfsbase %rcx
    mov HOST_THREAD_GS(%rdx), %rcx
    wrgsbase %rcx
    xor %ecx, %ecx
    xor %edx, %edx
    jmp *%rbx
3:  push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbp
    mov %rsp, %rbp
    and $-16, %rsp
    mov %rax, %rdi
    mov %rbx, %rsi
    xchg %rcx, %rdx /* (leaf, RBX, RCX, RDX) */
    call sim_gate_leaf
    mov %rbp, %rsp
    pop %rbp
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    ret
    .size sim_gate, . - sim_gate

    .section .note.GNU-stack, "", @progbits
