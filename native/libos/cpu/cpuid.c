/*
 * Nothing about the CPU can be known inside but what the enclave's own REPORT says (XFRM) and what the LibOS itself could not run without. Identity,
 * topology and caches are constants. Of the host's words only bits that name an instruction of user mode are taken, and those that need
 * a part of the vector state only where XFRM has it: a false one makes the program fault, a missing one hides an instruction.
 *
 * Bits: SDM volume 2, CPUID.
 */
#include "cpu/cpuid.h"

#define BIT(number) (1U << (number))

/* XCR0 components (SDM volume 1, 13.1). */
#define XFRM_AVX BIT(2)
#define XFRM_AVX512 (BIT(5) | BIT(6) | BIT(7))

/* Which bits of a word may come from the host, which only with a component of XFRM, and which are known. */
struct word_rule {
    uint32_t always;
    uint32_t with_avx;
    uint32_t with_avx512;
    uint32_t known;
};

static const struct word_rule RULES[CPUID_WORD_COUNT] = {
    [CPUID_1_EAX] = {.always = 0x0FFF3FFF}, /* family, model, stepping */
    [CPUID_1_ECX] = {
        /* SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, AES */
        .always = BIT(0) | BIT(1) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25),
        .with_avx = BIT(12) | BIT(28) | BIT(29), /* FMA, AVX, F16C */
        .known = BIT(26) | BIT(27) | BIT(30),    /* XSAVE, OSXSAVE, RDRAND: the LibOS uses them */
    },
    [CPUID_7_EBX] = {
        /* BMI1, BMI2, ERMS, RDSEED, ADX, CLFLUSHOPT, CLWB, SHA */
        .always = BIT(3) | BIT(8) | BIT(9) | BIT(18) | BIT(19) | BIT(23) | BIT(24) | BIT(29),
        .with_avx = BIT(5), /* AVX2 */
        .with_avx512 = BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31), /* F, DQ, IFMA, CD, BW, VL */
        .known = BIT(0), /* FSGSBASE */
    },
    [CPUID_7_ECX] = {
        .always = BIT(8),                 /* GFNI */
        .with_avx = BIT(9) | BIT(10),     /* VAES, VPCLMULQDQ */
        .with_avx512 = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14), /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
    },
    [CPUID_7_EDX] = {.always = BIT(4)}, /* FSRM */
    [CPUID_D_1_EAX] = {.always = BIT(0) | BIT(1) | BIT(2)}, /* XSAVEOPT, XSAVEC, XGETBV with ECX = 1 */
    [CPUID_80000001_ECX] = {.always = BIT(0) | BIT(5) | BIT(8)}, /* LAHF, LZCNT, PREFETCHW */
};

static uint32_t words[CPUID_WORD_COUNT];

void cpuid_start(const uint32_t from_host[CPUID_WORD_COUNT])
{
    uint64_t xfrm = vector_mask();
    for (size_t index = 0; index < ARRAY_LENGTH(RULES); index++) {
        const struct word_rule *rule = &RULES[index];
        uint32_t allowed = rule->always | ((xfrm & XFRM_AVX) ? rule->with_avx : 0) |
                           ((xfrm & XFRM_AVX512) == XFRM_AVX512 ? rule->with_avx512 : 0);
        words[index] = (from_host[index] & allowed) | rule->known;
    }
}

#define LEAF_MAX 0xDU
#define EXTENDED_LEAF_MAX 0x80000008U
#define CLFLUSH_EIGHT_QUADWORDS 0x800U

/* Descriptors: caches are in leaf 4. */
#define CACHES_IN_LEAF_4 0x00FF0001U

/* Leaf 4, all caches with 64-byte lines, used by one thread. EAX: type and level; EBX: ways and line size. */
#define CACHE(type, level, ways, sets) {(type) | (level) << 5 | BIT(8), ((ways) - 1U) << 22 | 63U, (sets) - 1U, 0}
static const struct cpuid CACHES[] = {
    CACHE(1, 1, 8, 64), CACHE(2, 1, 8, 64), CACHE(3, 2, 16, 1024), CACHE(3, 3, 16, 16384),
};

/* XSAVE in standard form: offset and size of each component that vector_mask() may have. */
#define XSAVE_LEGACY_AND_HEADER 576U
static const struct {
    uint32_t offset, size;
} COMPONENTS[] = {[2] = {576, 256}, [5] = {1088, 64}, [6] = {1152, 512}, [7] = {1664, 1024}};

static struct cpuid state_components(uint32_t subleaf)
{
    uint32_t xfrm = (uint32_t)vector_mask(), size = XSAVE_LEGACY_AND_HEADER;
    if (subleaf == 0) {
        for (uint32_t number = 0; number < ARRAY_LENGTH(COMPONENTS); number++) {
            if ((xfrm & BIT(number)) && COMPONENTS[number].size) {
                size = COMPONENTS[number].offset + COMPONENTS[number].size;
            }
        }
        return (struct cpuid){.eax = xfrm, .ebx = size, .ecx = size};
    }
    if (subleaf == 1) {
        return (struct cpuid){.eax = words[CPUID_D_1_EAX]};
    }
    bool has = subleaf < ARRAY_LENGTH(COMPONENTS) && (xfrm & BIT(subleaf));
    return has ? (struct cpuid){.eax = COMPONENTS[subleaf].size, .ebx = COMPONENTS[subleaf].offset} : (struct cpuid){0};
}

static struct cpuid text_at(const char *text)
{
    struct cpuid part;
    memcpy(&part, text, sizeof part);
    return part;
}

static const char BRAND[48] = "Intel(R) SGX enclave";

struct cpuid cpuid_of(uint32_t leaf, uint32_t subleaf)
{
    switch (leaf) {
    case 0: /* "GenuineIntel" */
        return (struct cpuid){.eax = LEAF_MAX, .ebx = 0x756E6547, .edx = 0x49656E69, .ecx = 0x6C65746E};
    case 1:
        return (struct cpuid){
            .eax = words[CPUID_1_EAX], .ebx = CLFLUSH_EIGHT_QUADWORDS, .ecx = words[CPUID_1_ECX], .edx = CPUID_BASELINE_EDX,
        };
    case 2:
        return (struct cpuid){.eax = CACHES_IN_LEAF_4};
    case 4:
        return subleaf < ARRAY_LENGTH(CACHES) ? CACHES[subleaf] : (struct cpuid){0};
    case 7:
        return subleaf == 0 ? (struct cpuid){.ebx = words[CPUID_7_EBX], .ecx = words[CPUID_7_ECX], .edx = words[CPUID_7_EDX]}
                            : (struct cpuid){0};
    case 0xD:
        return state_components(subleaf);
    case 0x80000000:
        return (struct cpuid){.eax = EXTENDED_LEAF_MAX};
    case 0x80000001: /* SYSCALL (which the LibOS serves), RDTSCP, 64 bits */
        return (struct cpuid){.ecx = words[CPUID_80000001_ECX], .edx = BIT(11) | BIT(27) | BIT(29)};
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        return text_at(BRAND + 16 * (leaf - 0x80000002));
    case 0x80000008: /* 46 physical, 48 linear address bits */
        return (struct cpuid){.eax = 48 << 8 | 46};
    default:
        return (struct cpuid){0};
    }
}

void cpuid_answer(struct context *context)
{
    struct cpuid got = cpuid_of((uint32_t)context->rax, (uint32_t)context->rcx);
    context->rax = got.eax;
    context->rbx = got.ebx;
    context->rcx = got.ecx;
    context->rdx = got.edx;
}
