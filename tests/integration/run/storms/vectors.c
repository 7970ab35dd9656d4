/*
 * Fills general and vector registers, the mask registers, MXCSR, flags and the red zone with numbers of its own, in several
 * threads, waits a while without a system call, and looks whether all is as it was. Until standard input ends.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 3
#define WIDTH 64 /* bytes of a vector register at most */

static volatile int stop;
static volatile long rounds;

static int has(const char *feature)
{
    __builtin_cpu_init();
    return strcmp(feature, "avx512") == 0 ? __builtin_cpu_supports("avx512f") : __builtin_cpu_supports("avx");
}

/* A function that fills %REG0.. with 16 values, spins, and stores them: for each width of vectors. */
#define CHECKER(name, move, register_name, step, more)                                                        \
    __attribute__((noinline)) static uint64_t name(const uint8_t *values, uint8_t *found, uint64_t spins)     \
    {                                                                                                         \
        uint64_t wrong;                                                                                       \
        __asm__ volatile(                                                                                     \
            "mov $0, %%r8\n"                                                                                  \
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n" move " \\n*" step                 \
            "(%[values]), %%" register_name "\\n\n.endr\n" more                                                \
            ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16\n"                                 \
            "mov %%rsp, -8*\\n(%%rsp)\naddq $\\n, -8*\\n(%%rsp)\n.endr\n"                                      \
            "mov $0x1111111111111111, %%r9\nmov $0x2222222222222222, %%r10\nmov $0x3333333333333333, %%r11\n"  \
            "mov $0x4444444444444444, %%r12\nmov $0x5555555555555555, %%r13\nmov $0x6666666666666666, %%r14\n" \
            "mov %[spins], %%rcx\nstc\n1: dec %%rcx\njnz 1b\n"                                                 \
            "jnc 9f\n"                                                                                        \
            ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16\n"                                 \
            "lea \\n(%%rsp), %%rax\ncmp %%rax, -8*\\n(%%rsp)\njne 9f\n.endr\n"                                 \
            "mov $0x1111111111111111, %%rax\ncmp %%rax, %%r9\njne 9f\nadd %%rax, %%rax\ncmp %%rax, %%r10\njne 9f\n" \
            "mov $0x3333333333333333, %%rax\ncmp %%rax, %%r11\njne 9f\n"                                       \
            "mov $0x4444444444444444, %%rax\ncmp %%rax, %%r12\njne 9f\n"                                       \
            "mov $0x5555555555555555, %%rax\ncmp %%rax, %%r13\njne 9f\n"                                       \
            "mov $0x6666666666666666, %%rax\ncmp %%rax, %%r14\njne 9f\n"                                       \
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n" move " %%" register_name          \
            "\\n, \\n*" step "(%[found])\n.endr\njmp 2f\n9: mov $1, %%r8\n2: mov %%r8, %[wrong]\n"               \
            : [wrong] "=r"(wrong)                                                                             \
            : [values] "r"(values), [found] "r"(found), [spins] "r"(spins)                                    \
            : "rax", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "cc", "memory", "xmm0", "xmm1",    \
              "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",      \
              "xmm13", "xmm14", "xmm15");                                                                     \
        return wrong;                                                                                         \
    }

CHECKER(check_sse, "movdqu", "xmm", "16", "")
CHECKER(check_avx, "vmovdqu", "ymm", "32", "")
/* the mask registers, too: k1 is compared below */
CHECKER(check_avx512, "vmovdqu64", "zmm", "64", "mov $0xA5C3, %%eax\nkmovw %%eax, %%k1\n")

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 33;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s changed\n", what);
    _exit(1);
}

static void *work(void *argument)
{
    uint64_t state = (uint64_t)argument;
    uint8_t values[16 * WIDTH], found[16 * WIDTH];
    int kind = has("avx512") ? 2 : has("avx") ? 1 : 0;
    while (!stop) {
        int now = (int)(next(&state) % (uint64_t)(kind + 1));
        size_t size = 16u * (16u << now);
        for (size_t at = 0; at < size; at++) {
            values[at] = (uint8_t)next(&state);
        }
        memset(found, 0, size);
        uint64_t spins = 1000 + next(&state) % 20000;
        uint64_t wrong = now == 2   ? check_avx512(values, found, spins)
                         : now == 1 ? check_avx(values, found, spins)
                                    : check_sse(values, found, spins);
        if (wrong) {
            fail("a register, a flag or the red zone");
        }
        if (now == 2) {
            uint32_t mask;
            __asm__ volatile("kmovw %%k1, %0" : "=r"(mask));
            if (mask != 0xA5C3) {
                fail("a mask register");
            }
        }
        if (memcmp(values, found, size) != 0) {
            fail("a vector register");
        }
        __atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    char byte;
    for (int at = 0; at < THREADS; at++) {
        if (pthread_create(&threads[at], NULL, work, (void *)(long)(at + 1)) != 0) {
            return 2;
        }
    }
    puts("begun");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    stop = 1;
    for (int at = 0; at < THREADS; at++) {
        pthread_join(threads[at], NULL);
    }
    fprintf(stderr, "%ld rounds\n", rounds);
    puts(rounds > 0 ? "storm ok" : "nothing done");
    return 0;
}
