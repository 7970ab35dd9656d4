/*
 * The vDSO: a shared object of one page that the C libraries and Go find by AT_SYSINFO_EHDR (vdso(7)). Its functions run as the application, on its
 * stack, and read the clock as count_on() in clock.c does; what they cannot answer goes on to the LibOS as a patched `syscall` does.
 *
 * The page is copied from here to the application's memory, since code at the LibOS's own addresses is taken for the LibOS's by exceptions. It lies in
 * `data`, so that its two pointers are relocated with all others.
 */
#include "boundary/clock.h"

#define ET_DYN 3
#define EM_X86_64 62
#define PT_LOAD 1
#define PT_DYNAMIC 2
#define PF_R 4
#define PF_RX 5
#define DT_NULL 0
#define DT_HASH 4
#define DT_STRTAB 5
#define DT_SYMTAB 6
#define DT_STRSZ 10
#define DT_SYMENT 11
#define DT_SONAME 14
#define DT_VERSYM 0x6FFFFFF0
#define DT_VERDEF 0x6FFFFFFC
#define DT_VERDEFNUM 0x6FFFFFFD
#define STT_FUNC_GLOBAL 0x12
#define VERSION_HASH 0x3AE75F6 /* of "LINUX_2.6" */
#define SONAME_HASH 0xdeebfa1 /* of "linux-vdso.so.1" */

#define SYS_gettimeofday 96
#define SYS_time 201
#define SYS_clock_gettime 228
#define SYS_getcpu 309
#define NS_PER_SECOND 1000000000

    .data
    .balign 64
    .globl vdso_image
    .hidden vdso_image
vdso_image:
    .byte 0x7F, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
    .word ET_DYN, EM_X86_64
    .long 1
    .quad 0, headers - vdso_image, 0 /* entry, program headers, section headers */
    .long 0
    .word 64, 56, 2, 64, 0, 0

headers:
    .long PT_LOAD, PF_RX
    .quad 0, 0, 0, vdso_end - vdso_image, vdso_end - vdso_image, 0x1000
    .long PT_DYNAMIC, PF_R
    .quad dynamic - vdso_image, dynamic - vdso_image, dynamic - vdso_image, dynamic_end - dynamic, dynamic_end - dynamic, 8

dynamic:
    .quad DT_SONAME, soname - strings
    .quad DT_HASH, hash - vdso_image
    .quad DT_STRTAB, strings - vdso_image
    .quad DT_SYMTAB, symbols - vdso_image
    .quad DT_VERDEF, versions - vdso_image
    .quad DT_VERDEFNUM, 2
    .quad DT_STRSZ, strings_end - strings
    .quad DT_SYMENT, 24
    .quad DT_VERSYM, symbol_versions - vdso_image
    .quad DT_NULL, 0
dynamic_end:

#define SYMBOLS 5
symbols:
    .fill 24, 1, 0
    .macro symbol name, function
    .long \name - strings
    .byte STT_FUNC_GLOBAL, 0
    .word 1
    .quad \function - vdso_image, \function\()_end - \function
    .endm
    symbol name_clock_gettime, clock_gettime
    symbol name_gettimeofday, gettimeofday
    symbol name_time, time
    symbol name_getcpu, getcpu

hash: /* one bucket, in which all symbols are chained */
    .long 1, SYMBOLS, 1
    .long 0, 2, 3, 4, 0

symbol_versions:
    .word 0, 2, 2, 2, 2
    .balign 8
versions: /* Elf64_Verdef and Elf64_Verdaux: the object itself, then LINUX_2.6 */
    .word 1, 1, 1, 1
    .long SONAME_HASH, 20, 28, soname - strings, 0
    .word 1, 0, 2, 1
    .long VERSION_HASH, 20, 0, version - strings, 0

strings:
    .byte 0
soname:
    .asciz "linux-vdso.so.1"
version:
    .asciz "LINUX_2.6"
name_clock_gettime:
    .asciz "__vdso_clock_gettime"
name_gettimeofday:
    .asciz "__vdso_gettimeofday"
name_time:
    .asciz "__vdso_time"
name_getcpu:
    .asciz "__vdso_getcpu"
strings_end:

    .balign 8
state:
    .quad clock_state
entry:
    .quad syscall_entry

/* enum host_time_clock of each clock of Linux. */
#define NOT_HERE 3
clocks:
    .byte 0, 1, NOT_HERE, NOT_HERE, 1, 0, 1, 2
clocks_end:

    .macro to_libos number
    mov $\number, %eax
    lea 9f(%rip), %rcx
    jmp *entry(%rip)
9:  ret
    .endm

/* R8 = enum host_time_clock -> RAX = ns, with CF clear; CF set: the LibOS has to be asked. Changes RCX, RDX, R8 to R11. */
    .balign 16
now:
    mov state(%rip), %r10
    cmpl $0, CLOCK_STATE_COUNTER_IS_MISSING(%r10)
    jne 8f
    mov %gs:THREAD_EXCHANGE_OF_VDSO, %r9
    lfence
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    sub EXCHANGE_TIME_COUNTER(%r9), %rax
    cmp EXCHANGE_TIME_VALID_FOR(%r9), %rax
    jae 8f
    mulq EXCHANGE_TIME_MULTIPLIER(%r9)
    shrd $32, %rdx, %rax
    shr $32, %rdx
    jnz 8f
    add EXCHANGE_TIME_CLOCKS(%r9, %r8, 8), %rax
    jc 8f
    js 8f
    mov %rax, %r11
    lea CLOCK_STATE_LATEST(%r10, %r8, 8), %r9
    mov (%r9), %rax
1:  mov %rax, %rcx
    sub %r11, %rcx
    jb 2f
    test %r8, %r8 /* HOST_TIME_REALTIME */
    jnz 3f
    cmp $REALTIME_STEP, %rcx
    jb 3f
2:  lock cmpxchg %r11, (%r9)
    jne 1b
    mov %r11, %rax
3:  clc
    ret
8:  stc
    ret

/* int clock_gettime(clockid_t, struct timespec *) */
    .balign 16
clock_gettime:
    cmp $(clocks_end - clocks), %edi
    jae 7f
    mov %edi, %eax
    lea clocks(%rip), %rcx
    movzbl (%rcx, %rax), %r8d
    cmp $NOT_HERE, %r8d
    je 7f
    call now
    jc 7f
    xor %edx, %edx
    mov $NS_PER_SECOND, %ecx
    div %rcx
    mov %rax, (%rsi)
    mov %rdx, 8(%rsi)
    xor %eax, %eax
    ret
7:  to_libos SYS_clock_gettime
clock_gettime_end:

/* int gettimeofday(struct timeval *, struct timezone *) */
    .balign 16
gettimeofday:
    test %rdi, %rdi
    jz 7f
    xor %r8d, %r8d
    call now
    jc 7f
    xor %edx, %edx
    mov $NS_PER_SECOND, %ecx
    div %rcx
    mov %rax, (%rdi)
    mov %rdx, %rax
    xor %edx, %edx
    mov $1000, %ecx
    div %rcx
    mov %rax, 8(%rdi)
    test %rsi, %rsi
    jz 1f
    movq $0, (%rsi) /* UTC */
1:  xor %eax, %eax
    ret
7:  to_libos SYS_gettimeofday
gettimeofday_end:

/* time_t time(time_t *) */
    .balign 16
time:
    xor %r8d, %r8d
    call now
    jc 7f
    xor %edx, %edx
    mov $NS_PER_SECOND, %ecx
    div %rcx
    test %rdi, %rdi
    jz 1f
    mov %rax, (%rdi)
1:  ret
7:  to_libos SYS_time
time_end:

/* int getcpu(unsigned *, unsigned *, void *) */
    .balign 16
getcpu:
    to_libos SYS_getcpu
getcpu_end:
vdso_end:
    .org vdso_image + 4096, 0
    .section .note.GNU-stack, "", @progbits
