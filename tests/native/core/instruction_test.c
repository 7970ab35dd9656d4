/* What is found in instructions: the operand in memory, and what keeps one from running elsewhere. */
#include "cpu/cpu.h"

#include "check.h"

enum { NONE = NO_REGISTER, RAX = 0, RCX = 1, RDX = 2, RSP = 4, RSI = 6, RDI = 7, R8 = 8, R12 = 12, R13 = 13 };
enum { PLAIN = 0, RELATIVE = 1, FLOW = 2, ODD = 4, LOCKED = 8, REPEATS = 16 };

static const struct sample {
    const char *code;
    size_t size;
    uint8_t base, index, scale;
    int32_t displacement;
    uint8_t element;
    uint32_t what;
} samples[] = {
#define SAMPLE(code, ...) {code, sizeof(code) - 1, __VA_ARGS__}
    SAMPLE("\x48\x89\x82\xfd\x0f\x00\x00", RDX, NONE, 0, 0xFFD, 0, PLAIN),           /* mov %rax, 0xffd(%rdx) */
    SAMPLE("\x49\x8b\x04\x24", R12, NONE, 0, 0, 0, PLAIN),                           /* mov (%r12), %rax */
    SAMPLE("\x43\x8a\x44\xc5\x80", R13, R8, 3, -128, 0, PLAIN),                      /* mov -128(%r13,%r8,8), %al */
    SAMPLE("\x8b\x04\x8d\x10\x00\x00\x00", NONE, RCX, 2, 16, 0, PLAIN),              /* mov 16(,%rcx,4), %eax */
    SAMPLE("\xc6\x05\xf0\xff\xff\xff\x2a", NONE, NONE, 0, -16, 0, RELATIVE),         /* movb $42, -16(%rip) */
    SAMPLE("\xf3\x0f\x6f\x44\x24\x08", RSP, NONE, 0, 8, 0, PLAIN),                   /* movdqu 8(%rsp), %xmm0 */
    SAMPLE("\xc5\xfe\x7f\x04\x37", RDI, RSI, 0, 0, 0, PLAIN),                        /* vmovdqu %ymm0, (%rdi,%rsi) */
    SAMPLE("\xc4\xc1\x7e\x6f\x00", R8, NONE, 0, 0, 0, PLAIN),                        /* vmovdqu (%r8), %ymm0 */
    SAMPLE("\x62\xf1\xfe\x48\x7f\x47\xff", RDI, NONE, 0, -64, 0, PLAIN),             /* vmovdqu64 %zmm0, -64(%rdi) */
    SAMPLE("\x62\xf1\xfe\x28\x7f\x47\x02", RDI, NONE, 0, 64, 0, PLAIN),              /* vmovdqu64 %ymm0, 64(%rdi) */
    SAMPLE("\x62\xf1\x7e\x08\x10\x47\x01", RDI, NONE, 0, 0, 0, ODD),                 /* vmovss 4(%rdi), %xmm0 (EVEX) */
    SAMPLE("\xf0\x48\x0f\xc1\x02", RDX, NONE, 0, 0, 0, LOCKED),                      /* lock xadd %rax, (%rdx) */
    SAMPLE("\x48\x87\x02", RDX, NONE, 0, 0, 0, LOCKED),                              /* xchg %rax, (%rdx) */
    SAMPLE("\xf3\xa4", 0, 0, 0, 0, 1, REPEATS),                                      /* rep movsb */
    SAMPLE("\x48\xa5", 0, 0, 0, 0, 8, PLAIN),                                        /* movsq */
    SAMPLE("\xf3\x66\xa5", 0, 0, 0, 0, 2, REPEATS),                                  /* rep movsw */
    SAMPLE("\xff\x20", RAX, NONE, 0, 0, 0, FLOW),                                    /* jmp *(%rax) */
    SAMPLE("\xff\x30", RAX, NONE, 0, 0, 0, PLAIN),                                   /* push (%rax) */
    SAMPLE("\xc3", 0, 0, 0, 0, 0, FLOW),
    SAMPLE("\x0f\x84\x00\x00\x00\x00", 0, 0, 0, 0, 0, FLOW),                         /* je */
    SAMPLE("\x48\x0f\xab\x02", RDX, NONE, 0, 0, 0, ODD),                             /* bts %rax, (%rdx) */
    SAMPLE("\x67\x8b\x02", RDX, NONE, 0, 0, 0, ODD),                                 /* mov (%edx), %eax */
    SAMPLE("\xc4\xe2\x6d\x92\x04\x88", RAX, RCX, 2, 0, 0, ODD),                      /* vgatherdps with VSIB */
};

int main(void)
{
    for (size_t at = 0; at < ARRAY_LENGTH(samples); at++) {
        const struct sample *sample = &samples[at];
        struct instruction found;
        CHECK(instruction_decode((const uint8_t *)sample->code, sample->size, &found));
        CHECK(found.length == sample->size && found.element == sample->element);
        CHECK(found.is_relative == !!(sample->what & RELATIVE) && found.changes_flow == !!(sample->what & FLOW));
        CHECK(found.is_odd == !!(sample->what & ODD) && found.is_locked == !!(sample->what & LOCKED));
        CHECK(found.repeats == !!(sample->what & REPEATS));
        CHECK(!found.modrm || (found.base == sample->base && found.index == sample->index && found.scale == sample->scale));
        CHECK(!found.modrm || found.displacement == sample->displacement);
        for (size_t size = 0; size < sample->size; size++) {
            uint8_t cut[INSTRUCTION_MAX];
            memcpy(cut, sample->code, size);
            CHECK(!instruction_decode(cut, size, &found));
        }
    }
    return 0;
}
