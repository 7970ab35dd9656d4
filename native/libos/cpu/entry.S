/*
 * Every way into and out of the enclave.
 *
 * EENTER gives (SDM volume 3, EENTER): RAX = CSSA, RBX = TCS, RCX = address after EENTER, GS base = our TD page. All other registers are
 * the host's. Stacks: the SDK layout puts the thread's stack below a guard of 16 pages below the TCS. CSSA 0 uses its upper half until the LibOS's own
 * stack is there, exceptions (CSSA 1) its lower half.
 *
 * thread.state is looked at before anything is written, and it says THREAD_INSIDE only while RSP is the enclave's own: phase 1 of exceptions relies
 * on that ("SmashEx", Cui et al., CCS 2021). So RSP is set before the state on the way in, and the state before RSP on the way out.
 */
#include "cpu/context.h"
#include "cpu/thread.h"

#define ENCLU_EEXIT 4
#define STACK_BELOW_TCS 0x10000
#define EXCEPTION_STACK_BELOW_TCS 0x12000
#define SANE_RFLAGS 2
#define RFLAGS_DF_AC 0x40400
#define RFLAGS_APPLICATION 0x240CD5 /* CF PF AF ZF SF DF OF AC ID */
#define ENCLAVE_IMAGE_ADDRESS 0xF00000000
#define ECALL_RETURN 2
#define EEXIT_REFUSED 1
#define CPU_FEATURE_XINUSE 32
#define XSAVE_SIZE 2688
#define XSAVE_HEADER 512
#define XSAVE_SSE 2
#define INITIAL_MXCSR 24
#define SSE_MXCSR 256

/* The frame of ocall(): the vector state, then these. */
#define OCALL_FS_BASE XSAVE_SIZE
#define OCALL_CALLER_RSP (XSAVE_SIZE + 8)
#define OCALL_SSE_ONLY (XSAVE_SIZE + 16) /* the vector state is sse_save()'s; otherwise an XSAVE image */
#define OCALL_FRAME_SIZE (XSAVE_SIZE + 64)

    .text

/* The one ENCLU. Simulation replaces these 16 bytes after measuring them, so nothing may rely on what they are. */
    .balign 16
    .globl enclu_stub, enclu_instruction
    .hidden enclu_instruction
    .type enclu_stub, @function
enclu_instruction: /* the same for exception.c: that other name is in the file for loaders to find */
enclu_stub:
    .byte 0x0F, 0x01, 0xD7
    ret
    .fill 12, 1, 0xCC
    .size enclu_stub, 16

    .globl enclave_entry
    .type enclave_entry, @function
    .balign 16
enclave_entry:
    mov %rsp, %r8
    mov %rbp, %r9
    test %rax, %rax
    jnz .Lexception
    cmpl $0, enclave_end(%rip)
    jne .Lended
    cmp $ECALL_RETURN, %rdi
    je .Lreturn

    cmpl $THREAD_UNUSED, %gs:THREAD_STATE
    jne .Lrefuse
    rdgsbase %rax
    mov %rax, %gs:THREAD_SELF
    mov %rbx, %gs:THREAD_TCS
    mov %rcx, %gs:THREAD_EXIT_ADDRESS
    mov %r8, %gs:THREAD_HOST_RSP
    mov %r9, %gs:THREAD_HOST_RBP
    lea -STACK_BELOW_TCS(%rbx), %rsp
    movl $THREAD_INSIDE, %gs:THREAD_STATE
    pushq $SANE_RFLAGS
    popfq
    xor %ebp, %ebp
    call enclave_first_entry /* (ecall, exchange): returns only to refuse */
    movl $THREAD_UNUSED, %gs:THREAD_STATE
    mov %gs:THREAD_EXIT_ADDRESS, %rcx
    mov %gs:THREAD_HOST_RSP, %r8
    mov %gs:THREAD_HOST_RBP, %r9
.Lrefuse:
    mov $EEXIT_REFUSED, %edi
    jmp .Lexit
.Lended:
    mov enclave_end(%rip), %edi
    jmp .Lexit

.Lreturn:
    cmpl $THREAD_OUTSIDE, %gs:THREAD_STATE
    jne .Lrefuse
    mov %rcx, %gs:THREAD_EXIT_ADDRESS
    mov %r8, %gs:THREAD_HOST_RSP
    mov %r9, %gs:THREAD_HOST_RBP
    mov %gs:THREAD_OCALL_RSP, %rsp
    movl $THREAD_INSIDE, %gs:THREAD_STATE
    pushq $SANE_RFLAGS
    popfq
    cmpl $0, OCALL_SSE_ONLY(%rsp)
    jne .Lreturn_sse_only
    mov vector_components(%rip), %eax
    xor %edx, %edx
    xrstor64 (%rsp)
.Lreturned:
    mov OCALL_FS_BASE(%rsp), %rax
    wrfsbase %rax
    mov OCALL_CALLER_RSP(%rsp), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.Lreturn_sse_only:
    call vector_in_use
    test $~XSAVE_SSE, %eax
    jz 1f
    call vector_clear /* what the host has left */
1:  mov %rsp, %rdi
    call sse_load
    jmp .Lreturned

/* CSSA 1: the thread was interrupted, its state is in SSA[0]. With NSSA 2 there is no deeper entry. This stack is used by nothing else. */
.Lexception:
    cmp $1, %rax
    jne .Lrefuse
    lea -EXCEPTION_STACK_BELOW_TCS(%rbx), %rsp
    pushq $SANE_RFLAGS
    popfq
    push %rcx
    push %r8
    push %r9
    push %rcx /* alignment */
    mov %rbx, %rdi
    rdgsbase %rsi /* not %gs:THREAD_SELF, which is not there before the first entry */
    xor %ebp, %ebp
    call exception_phase_1 /* -> what RDI is at EEXIT */
    add $8, %rsp
    pop %r9
    pop %r8
    pop %rcx
    mov %eax, %edi

/* EEXIT to RCX with the host's stack (R8, R9) and RDI = enum eexit. All else is cleared; vector registers hold what the host put there or are in their
 * initial state. */
.Lexit:
    mov %r8, %rsp
    mov %r9, %rbp
    mov %rcx, %rbx
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    xor %r12d, %r12d
    xor %r13d, %r13d
    xor %r14d, %r14d
    xor %r15d, %r15d
    mov $ENCLU_EEXIT, %eax
    jmp enclu_stub
    .size enclave_entry, . - enclave_entry

/* The enclave has ended, and this thread is inside, with whatever stack. Needs none. */
    .globl leave_ended
    .hidden leave_ended
    .type leave_ended, @function
leave_ended:
    mov vector_components(%rip), %eax
    xor %edx, %edx
    xrstor64 initial_vector_state(%rip)
    mov %gs:THREAD_EXIT_ADDRESS, %rcx
    mov %gs:THREAD_HOST_RSP, %r8
    mov %gs:THREAD_HOST_RBP, %r9
    mov enclave_end(%rip), %edi
    jmp .Lexit
    .size leave_ended, . - leave_ended

/* void ocall(void): leave for an OCALL that is described in the exchange area; back here by ECALL_RETURN. Keeps what the ABI wants kept, and the
 * vector state and FS base. XSAVE and two XRSTOR cost more than all else in an OCALL, so a state of SSE alone is moved register by register. */
    .globl ocall
    .hidden ocall
    .type ocall, @function
    .balign 16
ocall:
    cmpl $0, enclave_end(%rip)
    jne leave_ended
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rcx
    sub $OCALL_FRAME_SIZE, %rsp
    and $-64, %rsp
    mov %rcx, OCALL_CALLER_RSP(%rsp)
    rdfsbase %rax
    mov %rax, OCALL_FS_BASE(%rsp)
    mov %rsp, %gs:THREAD_OCALL_RSP
    call vector_in_use
    test $~XSAVE_SSE, %eax
    jnz .Locall_xsave
    movl $1, OCALL_SSE_ONLY(%rsp)
    mov %rsp, %rdi
    call sse_save
    call sse_clear
.Locall_leave:
    mov %gs:THREAD_EXIT_ADDRESS, %rcx
    mov %gs:THREAD_HOST_RSP, %r8
    mov %gs:THREAD_HOST_RBP, %r9
    xor %edi, %edi
    movl $THREAD_OUTSIDE, %gs:THREAD_STATE
    jmp .Lexit
.Locall_xsave:
    movl $0, OCALL_SSE_ONLY(%rsp)
    call .Lvector_save_at_8
    mov %rsp, %rdi
    call vector_trim
    call vector_clear
    jmp .Locall_leave
    .size ocall, . - ocall

/* EAX = XINUSE of the components that the enclave has: those that are not in their initial state (SDM volume 1, "Processor tracking of XSAVE-managed
 * state"). All of them where XGETBV does not tell. */
    .type vector_in_use, @function
vector_in_use:
    mov $-1, %eax
    testl $CPU_FEATURE_XINUSE, cpu_features(%rip)
    jz 1f
    mov $1, %ecx
    xgetbv
1:  and vector_components(%rip), %eax
    ret
    .size vector_in_use, . - vector_in_use

/* XMM0 to XMM15 and MXCSR, at RDI. */
    .type sse_save, @function
sse_save:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps %xmm\number, 16 * \number(%rdi)
    .endr
    stmxcsr SSE_MXCSR(%rdi)
    ret
    .size sse_save, . - sse_save

    .type sse_load, @function
sse_load:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps 16 * \number(%rdi), %xmm\number
    .endr
    ldmxcsr SSE_MXCSR(%rdi)
    ret
    .size sse_load, . - sse_load

/* The initial state. */
    .type sse_clear, @function
sse_clear:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    xorps %xmm\number, %xmm\number
    .endr
    ldmxcsr initial_vector_state + INITIAL_MXCSR(%rip)
    ret
    .size sse_clear, . - sse_clear

/* void leave(void): the last OCALL of a thread. Its TCS may be entered anew afterwards. */
    .globl leave_for_good
    .hidden leave_for_good
    .type leave_for_good, @function
leave_for_good:
    call vector_clear
    mov %gs:THREAD_EXIT_ADDRESS, %rcx
    mov %gs:THREAD_HOST_RSP, %r8
    mov %gs:THREAD_HOST_RBP, %r9
    xor %edi, %edi
    movl $THREAD_UNUSED, %gs:THREAD_STATE
    jmp .Lexit
    .size leave_for_good, . - leave_for_good

/* XSAVE to 8(%rsp): does not write the reserved bytes of the header, which XRSTOR wants to be zero. */
.Lvector_save_at_8:
    lea 8(%rsp), %rdi
/* void vector_save(void *image) */
    .globl vector_save
    .hidden vector_save
    .type vector_save, @function
vector_save:
    xor %eax, %eax
    mov %rax, XSAVE_HEADER(%rdi)
    mov %rax, XSAVE_HEADER + 8(%rdi)
    mov %rax, XSAVE_HEADER + 16(%rdi)
    mov %rax, XSAVE_HEADER + 24(%rdi)
    mov %rax, XSAVE_HEADER + 32(%rdi)
    mov %rax, XSAVE_HEADER + 40(%rdi)
    mov %rax, XSAVE_HEADER + 48(%rdi)
    mov %rax, XSAVE_HEADER + 56(%rdi)
    mov vector_components(%rip), %eax
    xor %edx, %edx
    xsave64 (%rdi)
    ret
    .size vector_save, . - vector_save

/* void vector_load(const void *image): a sane image */
    .globl vector_load
    .hidden vector_load
    .type vector_load, @function
vector_load:
    mov vector_components(%rip), %eax
    xor %edx, %edx
    xrstor64 (%rdi)
    ret
    .size vector_load, . - vector_load

/* void vector_clear(void): the initial state */
    .globl vector_clear
    .hidden vector_clear
    .type vector_clear, @function
vector_clear:
    lea initial_vector_state(%rip), %rdi
    jmp vector_load
    .size vector_clear, . - vector_clear

/* uint64_t enclu(leaf, rbx, rcx, rdx) -> RAX */
    .globl enclu
    .hidden enclu
    .type enclu, @function
    .balign 16
enclu:
    push %rbx
    mov %rdi, %rax
    mov %rsi, %rbx
    xchg %rdx, %rcx
    call enclu_stub
    pop %rbx
    ret
    .size enclu, . - enclu

/* _Noreturn void switch_stack(top, function, argument 1, argument 2) */
    .globl switch_stack
    .hidden switch_stack
    .type switch_stack, @function
switch_stack:
    mov %rdi, %rsp
    mov %rsi, %rax
    mov %rdx, %rdi
    mov %rcx, %rsi
    xor %ebp, %ebp
    call *%rax
    ud2
    .size switch_stack, . - switch_stack

/* A patched `syscall`: RCX = where to go on, the rest as at the instruction. Nothing here can fault, and an interrupt here is attended to in context_resume. */
    .globl syscall_entry, syscall_entry_on_stack
    .hidden syscall_entry, syscall_entry_on_stack
    .type syscall_entry, @function
    .balign 16
syscall_entry:
    mov %rsp, %gs:THREAD_SCRATCH_RSP
    mov %gs:THREAD_LIBOS_STACK, %rsp
syscall_entry_on_stack:
    pushfq
    pop %r11
    lea -CONTEXT_SIZE(%rsp), %rsp
    mov %rax, CONTEXT_RAX(%rsp)
    mov %rdi, CONTEXT_RDI(%rsp)
    mov %rsi, CONTEXT_RSI(%rsp)
    mov %rdx, CONTEXT_RDX(%rsp)
    mov %r10, CONTEXT_R10(%rsp)
    mov %r8, CONTEXT_R8(%rsp)
    mov %r9, CONTEXT_R9(%rsp)
    mov %rbx, CONTEXT_RBX(%rsp)
    mov %rbp, CONTEXT_RBP(%rsp)
    mov %r12, CONTEXT_R12(%rsp)
    mov %r13, CONTEXT_R13(%rsp)
    mov %r14, CONTEXT_R14(%rsp)
    mov %r15, CONTEXT_R15(%rsp)
    mov %rcx, CONTEXT_RCX(%rsp)
    mov %r11, CONTEXT_R11(%rsp)
    mov %rcx, CONTEXT_RIP(%rsp)
    mov %r11, CONTEXT_RFLAGS(%rsp)
    mov %gs:THREAD_SCRATCH_RSP, %rax
    mov %rax, CONTEXT_RSP(%rsp)
    test $RFLAGS_DF_AC, %r11d
    jz 1f
    pushq $SANE_RFLAGS
    popfq
1:  mov %rsp, %rbx
    mov %rsp, %rdi
    xor %ebp, %ebp
    call *cpu_upcalls + CPU_UPCALL_SYSTEM_CALL(%rip)
    mov %rbx, %rdi
    jmp context_resume
    .size syscall_entry, . - syscall_entry

/* Where phase 1 sends the thread: RDI = the frame, RSP just below it. */
    .globl exception_phase_2_entry
    .hidden exception_phase_2_entry
    .type exception_phase_2_entry, @function
exception_phase_2_entry:
    xor %ebp, %ebp
    call exception_phase_2
    ud2
    .size exception_phase_2_entry, . - exception_phase_2_entry

/*
 * _Noreturn void context_resume(struct context *)
 *
 * IRET is illegal in an enclave, so RIP goes through GS. From resume_window on registers are no longer the LibOS's; an interrupt between the look at the
 * attention word and the last jump must not be forgotten: phase 1 starts all over again with thread->resume_context.
 */
    .globl context_resume, resume_window, resume_off_stack, resume_window_end
    .hidden context_resume, resume_window, resume_off_stack, resume_window_end
    .type context_resume, @function
    .balign 16
context_resume:
    mov %rdi, %rsp
    and $-64, %rsp
    mov %rdi, %gs:THREAD_RESUME_CONTEXT
resume_window:
    cmpl $0, enclave_end(%rip)
    jne leave_ended
    mov CONTEXT_RIP(%rdi), %rcx
    mov $ENCLAVE_IMAGE_ADDRESS, %rax
    cmp %rax, %rcx
    jae 1f
    cmpl $0, %gs:THREAD_ATTENTION
    jne .Lattention
    cmpl $0, %gs:THREAD_AWAY
    jne .Lattention
    mov %gs:THREAD_EXCHANGE, %rax
    cmpq $0, EXCHANGE_SIGNALS(%rax)
    jne .Lattention
1:  mov %rcx, %gs:THREAD_SCRATCH_RIP
    mov CONTEXT_RSP(%rdi), %rax
    mov %rax, %gs:THREAD_SCRATCH_RSP
    mov CONTEXT_RFLAGS(%rdi), %rax
    and $RFLAGS_APPLICATION, %eax
    push %rax
    mov CONTEXT_RAX(%rdi), %rax
    mov CONTEXT_RSI(%rdi), %rsi
    mov CONTEXT_RDX(%rdi), %rdx
    mov CONTEXT_R10(%rdi), %r10
    mov CONTEXT_R8(%rdi), %r8
    mov CONTEXT_R9(%rdi), %r9
    mov CONTEXT_RBX(%rdi), %rbx
    mov CONTEXT_RBP(%rdi), %rbp
    mov CONTEXT_R12(%rdi), %r12
    mov CONTEXT_R13(%rdi), %r13
    mov CONTEXT_R14(%rdi), %r14
    mov CONTEXT_R15(%rdi), %r15
    mov CONTEXT_RCX(%rdi), %rcx
    mov CONTEXT_R11(%rdi), %r11
    mov CONTEXT_RDI(%rdi), %rdi
    popfq
    mov %gs:THREAD_SCRATCH_RSP, %rsp
resume_off_stack:
    jmp *%gs:THREAD_SCRATCH_RIP
resume_window_end:
.Lattention:
    mov %rdi, %rbx
    call *cpu_upcalls + CPU_UPCALL_ATTENTION(%rip)
    mov %rbx, %rdi
    jmp context_resume
    .size context_resume, . - context_resume

    .data
    .balign 4
    .globl vector_components
    .hidden vector_components
    .type vector_components, @object
vector_components:
    .long 3 /* x87 and SSE, until the enclave knows its XFRM */
    .size vector_components, 4

/* 0 while the enclave lives; then why it has ended: EEXIT_ENDED or EEXIT_BROKEN. Never 0 again. */
    .globl enclave_end
    .hidden enclave_end
    .type enclave_end, @object
enclave_end:
    .long 0
    .size enclave_end, 4

    .section .rodata.initial_vector_state, "a", @progbits
    .balign 64
    .globl initial_vector_state
    .hidden initial_vector_state
initial_vector_state:
    .word 0x37F /* FCW */
    .fill 22, 1, 0
    .long 0x1F80 /* MXCSR */
    .fill XSAVE_SIZE - 28, 1, 0

    .section .note.GNU-stack, "", @progbits
