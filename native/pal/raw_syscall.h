/* System calls without libc's thread-local errno, for code that runs on the enclave's FS base. */
#ifndef ENCLAVIZE_PAL_RAW_SYSCALL_H
#define ENCLAVIZE_PAL_RAW_SYSCALL_H

static inline long raw_syscall(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

#endif
