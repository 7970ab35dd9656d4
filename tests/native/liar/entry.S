/* EENTER and ERESUME of the lying host. The frame on the stack is that of sim_eenter, which sim_after_exception and sim_abandoned know. */
#include "host_thread.h"
#include "liar.h"

    .hidden sim_after_exception

    .macro BEGIN
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
    mov %rdi, entered(%rip)
    .endm

    .text

/* uint64_t enter_with(struct host_thread *, const struct hostile_registers *) */
    .globl enter_with, liar_after, liar_after_aex
    .hidden enter_with, liar_after, liar_after_aex
    .type enter_with, @function
enter_with:
    BEGIN
    mov HOST_THREAD_OENTRY(%rdi), %rax
    mov %rax, entry(%rip)
    mov HOSTILE_RSP(%rsi), %rax
    mov %rax, stack(%rip)
    mov HOST_THREAD_ENTRY_FS(%rdi), %rax
    wrfsbase %rax
    mov HOST_THREAD_ENTRY_GS(%rdi), %rax
    wrgsbase %rax
    mov HOST_THREAD_CSSA(%rdi), %rax
    mov HOST_THREAD_TCS(%rdi), %rbx
    lea liar_after(%rip), %rcx
    ldmxcsr HOSTILE_MXCSR(%rsi)
    fldcw HOSTILE_FCW(%rsi)
    mov HOSTILE_RDI(%rsi), %rdi
    mov HOSTILE_RDX(%rsi), %rdx
    mov HOSTILE_R8(%rsi), %r8
    mov HOSTILE_R9(%rsi), %r9
    mov HOSTILE_R10(%rsi), %r10
    mov HOSTILE_R11(%rsi), %r11
    mov HOSTILE_R12(%rsi), %r12
    mov HOSTILE_R13(%rsi), %r13
    mov HOSTILE_R14(%rsi), %r14
    mov HOSTILE_R15(%rsi), %r15
    mov HOSTILE_RBP(%rsi), %rbp
    pushq HOSTILE_RFLAGS(%rsi)
    mov HOSTILE_RSI(%rsi), %rsi
    popfq
    mov stack(%rip), %rsp
    jmp *entry(%rip)
liar_after:
    mov %rax, left + EXIT_GENERAL(%rip)
    mov %rbx, left + EXIT_GENERAL + 8(%rip)
    mov %rcx, left + EXIT_GENERAL + 16(%rip)
    mov %rdx, left + EXIT_GENERAL + 24(%rip)
    mov %rsi, left + EXIT_GENERAL + 32(%rip)
    mov %rdi, left + EXIT_GENERAL + 40(%rip)
    mov %rbp, left + EXIT_GENERAL + 48(%rip)
    mov %rsp, left + EXIT_GENERAL + 56(%rip)
    mov %r8, left + EXIT_GENERAL + 64(%rip)
    mov %r9, left + EXIT_GENERAL + 72(%rip)
    mov %r10, left + EXIT_GENERAL + 80(%rip)
    mov %r11, left + EXIT_GENERAL + 88(%rip)
    mov %r12, left + EXIT_GENERAL + 96(%rip)
    mov %r13, left + EXIT_GENERAL + 104(%rip)
    mov %r14, left + EXIT_GENERAL + 112(%rip)
    mov %r15, left + EXIT_GENERAL + 120(%rip)
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups %xmm\number, left + EXIT_VECTOR + 16 * \number(%rip)
    .endr
    mov $-1, %eax
    mov $-1, %edx
    cmpb $0, liar_reads_in_use(%rip)
    je 1f
    mov $1, %ecx
    xgetbv
1:  mov %eax, left + EXIT_IN_USE(%rip)
    mov %edx, left + EXIT_IN_USE + 4(%rip)
    mov %edi, %eax
    mov entered(%rip), %rdx
    mov HOST_THREAD_RSP(%rdx), %rsp
.Lend:
    pushq $2
    popfq
    ldmxcsr 8(%rsp)
    fldcw 12(%rsp)
    add $24, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
/* The signal handler comes here with the host's RSP, FS and GS. */
liar_after_aex:
    mov $LEFT_BY_AEX, %eax
    jmp .Lend
    .size enter_with, . - enter_with

/* uint64_t resume(struct host_thread *) */
    .globl resume
    .hidden resume
    .type resume, @function
resume:
    BEGIN
    xor %edi, %edi
    jmp sim_after_exception
    .size resume, . - resume

    .bss
    .balign 64
    .globl left, liar_reads_in_use
    .hidden left, liar_reads_in_use
left:
    .fill 512, 1, 0
entered:
    .fill 8, 1, 0
entry:
    .fill 8, 1, 0
stack:
    .fill 8, 1, 0
liar_reads_in_use:
    .fill 1, 1, 0

    .section .note.GNU-stack, "", @progbits
