    .text
/*
 * long interruptible_syscall(const uint32_t events[2], long number, long a, long b, long c, long d, long e)
 *
 * Does not begin when one of the events that interrupt is there already. A signal handler that finds the thread between the look and the instruction
 * sends it to the end (interruptible_continuation()), so no event is lost in between. Returns -EINTR then.
 */
    .globl interruptible_syscall, interruptible_begin, interruptible_end, interruptible_abort
    .hidden interruptible_syscall, interruptible_begin, interruptible_end, interruptible_abort
    .type interruptible_syscall, @function
interruptible_syscall:
    mov %rdi, %r11
    mov %rsi, %rax
    mov %rdx, %rdi
    mov %rcx, %rsi
    mov %r8, %rdx
    mov %r9, %r10
    mov 8(%rsp), %r8
interruptible_begin:
    mov (%r11), %ecx
    test 4(%r11), %ecx
    jnz interruptible_abort
    syscall
interruptible_end:
    ret
interruptible_abort:
    mov $-4, %rax
    ret
    .size interruptible_syscall, . - interruptible_syscall

    .section .note.GNU-stack, "", @progbits
