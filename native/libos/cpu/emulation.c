#include "cpu/cpuid.h"

static void answer_cpuid(struct context *context, uint64_t (*now)(void))
{
    (void)now;
    cpuid_answer(context);
}

static void answer_time(struct context *context, uint64_t (*now)(void))
{
    uint64_t time = now();
    context->rax = (uint32_t)time;
    context->rdx = time >> 32;
}

static void answer_time_and_processor(struct context *context, uint64_t (*now)(void))
{
    answer_time(context, now);
    context->rcx = 0; /* IA32_TSC_AUX: the first processor */
}

static const struct emulated {
    uint8_t size;
    uint8_t code[3];
    bool by_general_protection;
    void (*answer)(struct context *context, uint64_t (*now)(void));
} EMULATED[] = {
    {2, {0x0F, 0xA2}, false, answer_cpuid},
    {2, {0x0F, 0x31}, true, answer_time},
    {3, {0x0F, 0x01, 0xF9}, true, answer_time_and_processor},
};

bool emulate_instruction(struct context *context, uint32_t vector, uint64_t (*now)(void))
{
    uint8_t code[3];
    if (vector != VECTOR_INVALID_OPCODE && vector != VECTOR_GENERAL_PROTECTION) {
        return false;
    }
    for (size_t index = 0; index < ARRAY_LENGTH(EMULATED); index++) {
        const struct emulated *one = &EMULATED[index];
        if ((vector == VECTOR_INVALID_OPCODE || one->by_general_protection) &&
            copy_from_user(code, context->rip, one->size) == 0 && memcmp(code, one->code, one->size) == 0) {
            one->answer(context, now);
            context->rip += one->size;
            return true;
        }
    }
    return false;
}
