/* What the kernel's vDSO has for SGX: by its description in uapi/asm/sgx.h (typedef vdso_sgx_enter_enclave_t, struct sgx_enclave_run). */
    .text
    .globl __vdso_sgx_enter_enclave
    .type __vdso_sgx_enter_enclave, @function
__vdso_sgx_enter_enclave:
    push %rbp
    mov %rsp, %rbp
    push %rbx
    mov %ecx, %eax
.Lenter:
    lea -2(%rax), %ecx
    cmp $1, %ecx
    ja .Linvalid
    mov 16(%rbp), %rcx
    test $7, %cl
    jnz .Linvalid
    mov $40, %ebx
1:  cmpq $0, (%rcx,%rbx)
    jne .Linvalid
    add $8, %ebx
    cmp $256, %ebx
    jb 1b
    mov (%rcx), %rbx
    lea .Lenclu(%rip), %rcx
.Lenclu:
    .byte 0x0F, 0x01, 0xD7
    mov 16(%rbp), %rbx
    movl $4, 8(%rbx)
.Ltell:
    cmpq $0, 24(%rbx)
    jne .Lhandler
    xor %eax, %eax
.Lout:
    pop %rbx
    leave
    ret
.Linvalid:
    mov $-22, %eax
    jmp .Lout
    .ascii "FIXUP-->"
/* The kernel sends a thread here whose ENCLU, or whose enclave, has faulted: RDI, RSI, RDX say how. */
    mov 16(%rbp), %rbx
    mov %eax, 8(%rbx)
    mov %di, 12(%rbx)
    mov %si, 14(%rbx)
    mov %rdx, 16(%rbx)
    jmp .Ltell
.Lhandler:
    mov %rsp, %rcx
    mov %rbx, %rax
    mov %rsp, %rbx
    and $15, %ebx
    and $-16, %rsp
    push %rax
    push %rax
    cld
    call *24(%rax)
    lea 16(%rsp,%rbx), %rsp
    test %eax, %eax
    jle .Lout
    jmp .Lenter
    .size __vdso_sgx_enter_enclave, . - __vdso_sgx_enter_enclave

    .section .note.GNU-stack, "", @progbits
