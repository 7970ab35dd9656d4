/*
 * The call of __vdso_sgx_enter_enclave (linux/arch/x86/include/uapi/asm/sgx.h): it passes registers on and keeps RBX, RBP and RSP alone; the enclave
 * clears the others, and leaves the vector state initial.
 */
#include "sgx_leaving.h"

    .text

/* int sgx_call(ecall, exchange, leaf, function, run, &stack). RSP goes to *stack: sgx_abandoned expects it. */
    .globl sgx_call, sgx_abandoned
    .hidden sgx_call, sgx_abandoned
    .type sgx_call, @function
sgx_call:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    sub $24, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    mov %rsp, (%r9)
    push %r8
    push %r8 /* the seventh argument, on a stack that is aligned to 16 bytes */
    mov %rcx, %rax
    mov %edx, %ecx
    xor %edx, %edx
    xor %r8d, %r8d
    xor %r9d, %r9d
    call *%rax
    add $16, %rsp
.Lleave:
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    cld
    add $24, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
/* A signal handler took the thread out for good: RSP is *stack. */
sgx_abandoned:
    mov $SGX_ABANDONED, %eax
    jmp .Lleave
    .size sgx_call, . - sgx_call

/* run.user_handler: sgx_on_exit() with the same arguments, the last of which is on the stack, and R8 as an ERESUME is to leave it. */
    .globl sgx_exit_handler
    .hidden sgx_exit_handler
    .type sgx_exit_handler, @function
sgx_exit_handler:
    push 8(%rsp)
    call sgx_on_exit
    add $8, %rsp
    mov $SGX_RESUMING, %r8d
    ret
    .size sgx_exit_handler, . - sgx_exit_handler

    .section .note.GNU-stack, "", @progbits
