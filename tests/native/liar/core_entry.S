/*
 * int64_t with_secrets(int64_t (*function)(void *), void *argument, uint64_t has_avx)
 *
 * Calls with secrets in all registers that a call keeps, in all vector registers and in 2 KiB of the stack that is free. -1: MXCSR or the x87
 * control word has changed.
 */
#include "core.h"

#define FREE_STACK 2048

    .text
    .globl with_secrets
    .hidden with_secrets
    .type with_secrets, @function
with_secrets:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp
    mov %rdi, %rax
    mov %rsi, %rdi
    mov $SECRET, %rbx
    mov %rbx, %rbp
    mov %rbx, %r12
    mov %rbx, %r13
    mov %rbx, %r14
    mov %rbx, %r15
    movq %rbx, %xmm0
    punpcklqdq %xmm0, %xmm0
    .irp number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps %xmm0, %xmm\number
    .endr
    test %rdx, %rdx
    jz 1f
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vinsertf128 $1, %xmm\number, %ymm\number, %ymm\number
    .endr
1:  lea -FREE_STACK(%rsp), %rcx
2:  mov %rbx, (%rcx)
    add $8, %rcx
    cmp %rsp, %rcx
    jb 2b
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    call *%rax
    mov (%rsp), %ecx
    mov 4(%rsp), %dx
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    cmp (%rsp), %ecx
    jne 3f
    cmp 4(%rsp), %dx
    je 4f
3:  mov $-1, %rax
4:  add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size with_secrets, . - with_secrets

    .section .note.GNU-stack, "", @progbits
