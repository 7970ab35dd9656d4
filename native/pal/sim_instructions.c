/*
 * Instructions that are illegal in an enclave (SDM volume 3D, "Illegal Instructions"; encodings: volume 2, appendix A, 64-bit mode). RDTSC and RDTSCP are
 * legal with SGX2.
 */
#include "sim_instructions.h"

#include <stdbool.h>

#define ANY 0xFFU /* of the ModR/M byte's reg field: whatever it is */

enum operand { ANY_OPERAND, MEMORY_OPERAND };

static const struct illegal {
    bool is_two_byte; /* 0F first */
    uint8_t first, last, reg;
    enum operand operand;
    const char *name;
} ILLEGAL[] = {
    {false, 0x6C, 0x6F, ANY, ANY_OPERAND, "INS or OUTS"},
    {false, 0x8E, 0x8E, ANY, ANY_OPERAND, "MOV to a segment register"},
    {false, 0xCA, 0xCB, ANY, ANY_OPERAND, "far RET"},
    {false, 0xCD, 0xCD, ANY, ANY_OPERAND, "INT n"},
    {false, 0xCF, 0xCF, ANY, ANY_OPERAND, "IRET"},
    {false, 0xE4, 0xE7, ANY, ANY_OPERAND, "IN or OUT"},
    {false, 0xEC, 0xEF, ANY, ANY_OPERAND, "IN or OUT"},
    {false, 0xFF, 0xFF, 3, MEMORY_OPERAND, "far CALL"},
    {false, 0xFF, 0xFF, 5, MEMORY_OPERAND, "far JMP"},
    {true, 0x00, 0x00, 0, ANY_OPERAND, "SLDT"},
    {true, 0x00, 0x00, 1, ANY_OPERAND, "STR"},
    {true, 0x01, 0x01, 0, MEMORY_OPERAND, "SGDT"},
    {true, 0x01, 0x01, 1, MEMORY_OPERAND, "SIDT"},
    {true, 0x01, 0x01, 4, ANY_OPERAND, "SMSW"},
    {true, 0x05, 0x05, ANY, ANY_OPERAND, "SYSCALL"},
    {true, 0x33, 0x33, ANY, ANY_OPERAND, "RDPMC"},
    {true, 0x34, 0x34, ANY, ANY_OPERAND, "SYSENTER"},
    {true, 0x37, 0x37, ANY, ANY_OPERAND, "GETSEC"},
    {true, 0xA1, 0xA1, ANY, ANY_OPERAND, "POP FS"},
    {true, 0xA2, 0xA2, ANY, ANY_OPERAND, "CPUID"},
    {true, 0xA9, 0xA9, ANY, ANY_OPERAND, "POP GS"},
    {true, 0xB2, 0xB2, ANY, ANY_OPERAND, "LSS"},
    {true, 0xB4, 0xB5, ANY, ANY_OPERAND, "LFS or LGS"},
};

#define VMCALL_MODRM 0xC1U /* 0F 01 C1 */
#define VMFUNC_MODRM 0xD4U
#define MOD_REGISTER 3U

static bool is_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26: case 0x2E: case 0x36: case 0x3E: case 0x64: case 0x65: case 0x66: case 0x67: case 0xF0: case 0xF2: case 0xF3:
        return true;
    default:
        return false;
    }
}

static bool matches(const struct illegal *row, bool is_two_byte, const uint8_t *opcode, size_t size)
{
    if (row->is_two_byte != is_two_byte || opcode[0] < row->first || opcode[0] > row->last) {
        return false;
    }
    if (row->reg == ANY) {
        return true;
    }
    return size > 1 && (opcode[1] >> 3 & 7) == row->reg && (row->operand == ANY_OPERAND || opcode[1] >> 6 != MOD_REGISTER);
}

const char *sim_illegal_instruction(const uint8_t *code, size_t size)
{
    size_t at = 0;
    while (at < size && is_prefix(code[at])) {
        at++;
    }
    if (at < size && (code[at] & 0xF0) == 0x40) { /* REX */
        at++;
    }
    bool is_two_byte = at + 1 < size && code[at] == 0x0F;
    at += is_two_byte;
    if (at >= size) {
        return NULL;
    }
    if (is_two_byte && code[at] == 0x01 && at + 1 < size && (code[at + 1] == VMCALL_MODRM || code[at + 1] == VMFUNC_MODRM)) {
        return "VMCALL or VMFUNC";
    }
    for (size_t index = 0; index < sizeof(ILLEGAL) / sizeof(ILLEGAL[0]); index++) {
        if (matches(&ILLEGAL[index], is_two_byte, code + at, size - at)) {
            return ILLEGAL[index].name;
        }
    }
    return NULL;
}
