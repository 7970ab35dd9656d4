/* CPUID and RDTSC in the LibOS's place, with a host that lies about its CPU. */
#include "check.h"

#include "cpu/cpuid.h"

static uint64_t xfrm;

uint64_t vector_mask(void)
{
    return xfrm;
}

static uint64_t now(void)
{
    return 0x123456789ABCDEF0;
}

int copy_from_user(void *to, user_address from, size_t size)
{
    memcpy(to, (const void *)from, size);
    return 0;
}

static struct context ask(uint32_t leaf, uint32_t subleaf)
{
    struct context context = {.rax = 0xFFFFFFFF00000000 | leaf, .rcx = subleaf, .rbx = ~0ULL, .rdx = ~0ULL};
    cpuid_answer(&context);
    CHECK((context.rax | context.rbx | context.rcx | context.rdx) >> 32 == 0);
    return context;
}

static void start(uint64_t components, uint32_t word)
{
    uint32_t words[CPUID_WORD_COUNT];
    for (unsigned index = 0; index < CPUID_WORD_COUNT; index++) {
        words[index] = word;
    }
    xfrm = components;
    cpuid_start(words);
}

#define AVX_BITS (1U << 28 | 1U << 12 | 1U << 29)
#define AVX512F (1U << 16)

static void check_features(void)
{
    start(3, ~0U);
    CHECK((ask(1, 0).rcx & AVX_BITS) == 0 && (ask(7, 0).rbx & (AVX512F | 1U << 5)) == 0);
    CHECK(ask(0xD, 0).rax == 3 && ask(0xD, 0).rbx == 576 && ask(0xD, 2).rax == 0);
    start(7, ~0U);
    CHECK((ask(1, 0).rcx & AVX_BITS) == AVX_BITS && (ask(7, 0).rbx & AVX512F) == 0 && (ask(7, 0).rbx & 1U << 5) != 0);
    CHECK(ask(0xD, 0).rbx == 832 && ask(0xD, 2).rax == 256 && ask(0xD, 2).rbx == 576 && ask(0xD, 5).rax == 0);
    start(0xE7, ~0U);
    CHECK((ask(7, 0).rbx & AVX512F) != 0 && ask(0xD, 0).rbx == VECTOR_STATE_SIZE && ask(0xD, 7).rbx + ask(0xD, 7).rax == VECTOR_STATE_SIZE);
    CHECK((ask(7, 0).rdx & ~(1U << 4)) == 0 && (ask(1, 0).rcx & 1U << 31) == 0); /* no mitigations, no hypervisor */
    start(7, 0);
    CHECK(ask(1, 0).rcx == (1U << 26 | 1U << 27 | 1U << 30) && ask(7, 0).rbx == 1 && ask(1, 0).rax == 0);
}

static void check_constants(void)
{
    static const char brand[] = "Intel(R) SGX enclave";
    CHECK(ask(0, 0).rax == 0xD && ask(0, 0).rbx == 0x756E6547 && ask(0x80000000, 0).rax == 0x80000008);
    struct context part = ask(0x80000002, 0);
    CHECK(memcmp(&(uint32_t){(uint32_t)part.rax}, brand, 4) == 0 && memcmp(&(uint32_t){(uint32_t)part.rdx}, brand + 12, 4) == 0);
    CHECK((ask(4, 3).rax & 31) == 3 && ask(4, 4).rax == 0 && ask(4, ~0U).rax == 0);
    CHECK((ask(1, 0).rdx & 1U << 26) != 0 && ask(1, 0).rdx == CPUID_BASELINE_EDX);
    for (uint64_t leaf = 0; leaf < 0x100; leaf++) {
        for (uint32_t base = 0; base < 0xF; base++) {
            ask(base << 28 | (uint32_t)leaf, (uint32_t)random_number(1ULL << 32));
        }
    }
    CHECK(ask(0xD, 0x20).rax == 0 && ask(0xB, 0).rbx == 0 && ask(0x40000000, 0).rax == 0);
}

static bool emulates(const char *code, uint32_t vector, uint64_t length)
{
    struct context context = {.rip = (uint64_t)code, .rcx = 7};
    bool done = emulate_instruction(&context, vector, now);
    CHECK(context.rip == (uint64_t)code + (done ? length : 0));
    CHECK(done || context.rcx == 7);
    if (done && code[1] != '\xA2') {
        CHECK(context.rax == 0x9ABCDEF0 && context.rdx == 0x12345678 && context.rcx == (length == 3 ? 0 : 7));
    }
    return done;
}

int main(void)
{
    check_features();
    check_constants();
    CHECK(emulates("\x0F\xA2\x90", VECTOR_INVALID_OPCODE, 2) && !emulates("\x0F\xA2\x90", VECTOR_GENERAL_PROTECTION, 2));
    CHECK(emulates("\x0F\x31\x90", VECTOR_INVALID_OPCODE, 2) && emulates("\x0F\x31\x90", VECTOR_GENERAL_PROTECTION, 2));
    CHECK(emulates("\x0F\x01\xF9", VECTOR_INVALID_OPCODE, 3) && emulates("\x0F\x01\xF9", VECTOR_GENERAL_PROTECTION, 3));
    CHECK(!emulates("\x0F\x01\xD7", VECTOR_INVALID_OPCODE, 3) && !emulates("\x0F\x0B\x90", VECTOR_INVALID_OPCODE, 2));
    CHECK(!emulates("\x0F\xA2\x90", VECTOR_PAGE_FAULT, 2));
    return 0;
}
