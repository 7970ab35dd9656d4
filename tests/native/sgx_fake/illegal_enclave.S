/*
 * Two pages of code for small enclaves. The first entry loads registers from the page behind (struct program of illegal.c), executes 16 bytes that the
 * program may replace, and leaves with RAX in RDI. After an exception (CSSA 1) it leaves with what EXITINFO and EXINFO say, or changes its state and goes on.
 */
    .section .rodata
    .balign 4096
    .globl code_page, code_slot, code_end
code_page:
    test %eax, %eax
    jnz .Lexception
    mov %rcx, %r12
    mov data(%rip), %rax
    mov data + 8(%rip), %rbx
    mov data + 16(%rip), %rcx
    mov data + 24(%rip), %rdx
    mov %rsp, %r13
    lea stack(%rip), %rsp
code_slot:
    .byte 0x0F, 0x01, 0xD7 /* ENCLU */
    .fill 13, 1, 0x90
    mov %rax, %rdi
    mov %r12, %rbx
    mov %r13, %rsp
    jmp .Lleave
.Lexception:
    mov %rcx, %rbx
    mov ssa + 4096 - 184 + 160(%rip), %edi /* GPRSGX.EXITINFO */
    mov ssa + 4096 - 184 - 16 + 8(%rip), %eax /* EXINFO.ERRCD */
    mov data + 32(%rip), %rdx
    test %rdx, %rdx
    jnz .Lpoke
    and $0xFF, %edi
    shl $8, %eax
    lea 0x1000000(%rax, %rdi), %edi
    jmp .Lleave
.Lpoke: /* stores to the SSA, and asks for ERESUME */
    mov data + 40(%rip), %rax
    mov %rax, (%rdx)
    xor %edi, %edi
.Lleave:
    mov $4, %eax /* EEXIT */
    .byte 0x0F, 0x01, 0xD7
code_end:
    .set data, code_page + 4096
    .set stack, code_page + 2 * 4096
    .set ssa, code_page + 3 * 4096

    .section .note.GNU-stack, "", @progbits
