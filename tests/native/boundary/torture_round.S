/*
 * One round of self-checking code, which runs as the application: it is copied to application memory, so it is position independent.
 *
 * uint64_t torture_round(const uint8_t *pattern, uint8_t *vectors, uint64_t event, uint64_t argument, uint64_t flags)
 *
 * Fills all registers, CF, DF and the red zone, lets the event happen, and looks whether all is as before. Returns 0, or a number that says what was
 * changed. The vector registers are stored to `vectors` for the caller to compare (flags bit 0: AVX;
 * bit 1: the lower halves alone, and AVX is not in use).
 */
    .section torture_code, "ax", @progbits
    .globl torture_round
    .hidden torture_round
    .type torture_round, @function
torture_round:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    push %r8
    test $2, %r8d
    jnz 11f
    test $1, %r8d
    jz 1f
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu \n * 32(%rdi), %ymm\n
    .endr
    jmp 1f
11: .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu \n * 32(%rdi), %xmm\n
    .endr
1:  .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
    mov %rsp, -8 * \n(%rsp)
    addq $\n, -8 * \n(%rsp)
    .endr
    mov %rdx, %rsi
    mov %rcx, %rdi
    mov $0x1111111111111111, %rbx
    mov $0x2222222222222222, %rbp
    mov $0x3333333333333333, %r8
    mov $0x4444444444444444, %r9
    mov $0x5555555555555555, %r10
    mov $0x6666666666666666, %r12
    mov $0x7777777777777777, %r13
    mov $0x8888888888888888, %r14
    mov $0x9999999999999999, %r15
    cmp $1, %rsi
    je 3f
    cmp $2, %rsi
    je 4f
    cmp $3, %rsi
    je 5f
    cmp $4, %rsi
    je 7f
    /* 0: compute; DEC leaves CF alone */
    mov %rdi, %rcx
    stc
    std
2:  dec %rcx
    jnz 2b
    jmp 6f
    /* 1: a system call that traps */
3:  mov $1, %eax
    stc
    std
    syscall
    jmp 6f
    /* 2: a system call through syscall_entry, as at a patched site; the argument is its address */
4:  mov $1, %eax
    lea 6f(%rip), %rcx
    stc
    std
    jmp *%rdi
    /* 4: the same with CALL_CLOCK, which leaves the enclave with these registers */
7:  mov $2, %eax
    lea 6f(%rip), %rcx
    stc
    std
    jmp *%rdi
    /* 3: a page fault at the argument */
5:  stc
    std
    movb $1, (%rdi)
6:  mov $1, %eax
    jnc 9f
    inc %eax
    mov $0x1111111111111111, %rcx
    cmp %rcx, %rbx
    jne 9f
    inc %eax
    mov $0x2222222222222222, %rcx
    cmp %rcx, %rbp
    jne 9f
    inc %eax
    mov $0x3333333333333333, %rcx
    cmp %rcx, %r8
    jne 9f
    inc %eax
    mov $0x4444444444444444, %rcx
    cmp %rcx, %r9
    jne 9f
    inc %eax
    mov $0x5555555555555555, %rcx
    cmp %rcx, %r10
    jne 9f
    inc %eax
    mov $0x6666666666666666, %rcx
    cmp %rcx, %r12
    jne 9f
    inc %eax
    mov $0x7777777777777777, %rcx
    cmp %rcx, %r13
    jne 9f
    inc %eax
    mov $0x8888888888888888, %rcx
    cmp %rcx, %r14
    jne 9f
    inc %eax
    mov $0x9999999999999999, %rcx
    cmp %rcx, %r15
    jne 9f
    inc %eax
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
    lea \n(%rsp), %rcx
    cmp %rcx, -8 * \n(%rsp)
    jne 9f
    .endr
    inc %eax
    pushfq
    testl $0x400, (%rsp)
    lea 8(%rsp), %rsp
    jz 9f
    xor %eax, %eax
9:  cld
    pop %r8
    pop %rsi
    test $2, %r8d
    jnz 12f
    test $1, %r8d
    jz 10f
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu %ymm\n, \n * 32(%rsi)
    .endr
    vzeroupper
    jmp 10f
12: .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu %xmm\n, \n * 32(%rsi)
    .endr
10: pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size torture_round, . - torture_round
