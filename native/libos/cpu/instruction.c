#include "cpu/instruction.h"

/*
 * One letter for each opcode:
 *   . nothing follows     m ModRM             x not valid
 *   b imm8   w imm16      M ModRM and imm8    p prefix
 *   z imm32 (66: imm16)   Z ModRM and z       r REX
 *   q as z, imm64 with REX.W                  a 8-byte address (67: 4)
 *   e imm16 and imm8      j rel8              J rel32
 *   t ModRM; imm8 when reg is 0 or 1          T the same with z
 *   0 two-byte map        v VEX, 2 bytes      V VEX, 3 bytes        E EVEX
 */
static const char one_byte[] =
    "mmmmbzxxmmmmbzx0" "mmmmbzxxmmmmbzxx" "mmmmbzpxmmmmbzpx" "mmmmbzpxmmmmbzpx"
    "rrrrrrrrrrrrrrrr" "................" "xxEmppppzZbM...." "jjjjjjjjjjjjjjjj"
    "MZxMmmmmmmmmmmmm" "..........x....." "aaaa....bz......" "bbbbbbbbqqqqqqqq"
    "MMw.VvMZe.w..bx." "mmmmxxx.mmmmmmmm" "jjjjbbbbJJxj...." "p.pp..tT......mm";

/* 3: 0F 38 (ModRM), 4: 0F 3A (ModRM, imm8) */
static const char two_byte[] =
    "mmmmx.....x.xm.M" "mmmmmmmmmmmmmmmm" "mmmmxxxxmmmmmmmm" "......x.3x4xxxxx"
    "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "MMMMmmm.mmxxmmmm"
    "JJJJJJJJJJJJJJJJ" "mmmmmmmmmmmmmmmm" "...mMmxx...mMmmm" "mmmmmmmmmmMmmmmm"
    "mmMmMMMm........" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm";

_Static_assert(sizeof one_byte == 257 && sizeof two_byte == 257, "one letter for each opcode");

#define REX_W 8U

struct cursor {
    const uint8_t *code;
    size_t limit; /* no instruction reaches behind it */
    size_t at;
    size_t modrm, operand_end; /* of an operand in memory, or 0 */
    bool failed;
};

static struct cursor start_at(const uint8_t *code, size_t size)
{
    return (struct cursor){.code = code, .limit = size < INSTRUCTION_MAX ? size : INSTRUCTION_MAX};
}

static uint8_t next(struct cursor *cursor)
{
    if (cursor->at >= cursor->limit) {
        cursor->failed = true;
        return 0;
    }
    return cursor->code[cursor->at++];
}

static void skip(struct cursor *cursor, size_t count)
{
    cursor->failed |= count > cursor->limit - cursor->at;
    cursor->at += cursor->failed ? 0 : count;
}

/* ModRM, SIB and displacement -> ModRM.reg */
static unsigned skip_modrm(struct cursor *cursor)
{
    size_t start = cursor->at;
    uint8_t modrm = next(cursor);
    unsigned mode = modrm >> 6, memory = modrm & 7;
    if (mode != 3) {
        cursor->modrm = start;
        unsigned base = memory == 4 ? next(cursor) & 7U : memory;
        bool has_displacement32 = mode == 2 || (mode == 0 && base == 5);
        skip(cursor, has_displacement32 ? 4 : mode == 1 ? 1 : 0);
        cursor->operand_end = cursor->at;
    }
    return modrm >> 3 & 7;
}

static void skip_operands(struct cursor *cursor, char kind, bool small_operand, bool small_address, bool wide)
{
    size_t z = small_operand && !wide ? 2 : 4;
    switch (kind) {
    case '.':
        break;
    case 'm':
    case '3':
        skip_modrm(cursor);
        break;
    case 'M':
    case '4':
        skip_modrm(cursor);
        skip(cursor, 1);
        break;
    case 'Z':
        skip_modrm(cursor);
        skip(cursor, z);
        break;
    case 't':
    case 'T':
        if (skip_modrm(cursor) < 2) {
            skip(cursor, kind == 't' ? 1 : z);
        }
        break;
    case 'b':
    case 'j':
        skip(cursor, 1);
        break;
    case 'w':
        skip(cursor, 2);
        break;
    case 'e':
        skip(cursor, 3);
        break;
    case 'z':
        skip(cursor, z);
        break;
    case 'q':
        skip(cursor, wide ? 8 : z);
        break;
    case 'J':
        skip(cursor, 4);
        break;
    case 'a':
        skip(cursor, small_address ? 4 : 8);
        break;
    default:
        cursor->failed = true;
        break;
    }
}

/* The kind of an opcode in map 1, 2 or 3 of VEX and EVEX: all have ModRM but VZEROUPPER. */
static char vector_kind(unsigned map, uint8_t opcode)
{
    switch (map) {
    case 1:
        return two_byte[opcode];
    case 2:
    case 5:
    case 6:
        return 'm';
    case 3:
        return 'M';
    default:
        return 'x';
    }
}

static char escape_kind(struct cursor *cursor, char kind)
{
    if (kind == '0') {
        kind = two_byte[next(cursor)];
        if (kind == '3' || kind == '4') {
            next(cursor);
        }
        return kind;
    }
    if (kind == 'v') {
        next(cursor);
        return vector_kind(1, next(cursor));
    }
    unsigned map = next(cursor) & (kind == 'E' ? 7U : 31U);
    skip(cursor, kind == 'E' ? 2 : 1);
    return vector_kind(map, next(cursor));
}

/* Moves behind the instruction. */
static void skip_instruction(struct cursor *cursor)
{
    bool small_operand = false, small_address = false, wide = false;
    uint8_t opcode = next(cursor);
    while (one_byte[opcode] == 'p' && !cursor->failed) {
        small_operand |= opcode == 0x66;
        small_address |= opcode == 0x67;
        opcode = next(cursor);
    }
    if (one_byte[opcode] == 'r') {
        wide = opcode & REX_W;
        opcode = next(cursor);
    }
    char kind = one_byte[opcode];
    if (kind == '0' || kind == 'v' || kind == 'V' || kind == 'E') {
        kind = escape_kind(cursor, kind);
    }
    skip_operands(cursor, kind, small_operand, small_address, wide);
}

size_t instruction_length(const uint8_t *code, size_t size)
{
    struct cursor cursor = start_at(code, size);
    skip_instruction(&cursor);
    return cursor.failed ? 0 : cursor.at;
}

static bool changes_flow(const uint8_t *opcode, size_t rest)
{
    uint8_t following = rest > 1 ? opcode[1] : 0, reg = following >> 3 & 7;
    switch (opcode[0]) {
    case 0x0F: /* jcc rel32; syscall, sysret, ud2, sysenter, sysexit */
        return (following & 0xF0) == 0x80 || following == 0x05 || following == 0x07 || following == 0x0B || following == 0x34 ||
               following == 0x35;
    case 0xFF: /* call, jmp */
        return reg >= 2 && reg <= 5;
    case 0xC2: case 0xC3: case 0xCA: case 0xCB: case 0xCC: case 0xCD: case 0xCF: /* ret, retf, int3, int, iret */
    case 0xE0: case 0xE1: case 0xE2: case 0xE3: case 0xE8: case 0xE9: case 0xEB: /* loop, jrcxz, call, jmp */
        return true;
    default:
        return (opcode[0] & 0xF0) == 0x70; /* jcc rel8 */
    }
}

/* bt and its like with a register; fxsave and its like; pop; VSIB, which only vector instructions have. */
static bool is_odd(const uint8_t *opcode, size_t rest)
{
    uint8_t following = rest > 1 ? opcode[1] : 0;
    switch (opcode[0]) {
    case 0x0F:
        return following == 0xA3 || following == 0xAB || following == 0xB3 || following == 0xBB || following == 0xAE || following == 0xC7;
    case 0x8F:
        return true;
    case 0xC4:
    case 0x62: {
        size_t at = opcode[0] == 0x62 ? 4 : 3;
        uint8_t code = at < rest ? opcode[at] : 0;
        bool is_map_2 = (following & 7) == 2;
        return is_map_2 && ((code & 0xFC) == 0x90 || (code & 0xFC) == 0xA0 || (code & 0xFE) == 0xC6);
    }
    default:
        return false;
    }
}

/* High bits of the register numbers in the operand: from REX, VEX or EVEX, where they are inverted. */
static void extend_registers(const uint8_t *opcode, uint8_t rex, uint8_t *base, uint8_t *index)
{
    bool is_vector = opcode[0] == 0xC4 || opcode[0] == 0x62;
    uint8_t bits = is_vector ? (uint8_t)~opcode[1] >> 5 : rex;
    *base |= bits & 1 ? 8 : 0;
    *index |= bits & 2 ? 8 : 0;
}

/* EVEX scales short displacements (SDM volume 2, 2.7.5): by the vector's length for whole vectors, which is what copies use. 0: not known here. */
static int32_t compressed_unit(const uint8_t *evex)
{
    static const uint8_t whole[] = {0x10, 0x11, 0x28, 0x29, 0x2B, 0x6F, 0x7F, 0xE7};
    bool is_whole = false;
    for (size_t at = 0; at < sizeof whole; at++) {
        is_whole |= evex[4] == whole[at];
    }
    bool is_scalar = (evex[2] & 2) && (evex[4] & 0xFE) == 0x10; /* movss, movsd */
    return is_whole && !is_scalar && (evex[1] & 7) == 1 && !(evex[3] & 0x10) ? 16 << (evex[3] >> 5 & 3) : 0;
}

static void decode_operand(const uint8_t *code, const uint8_t *opcode, uint8_t rex, struct instruction *instruction)
{
    uint8_t modrm = code[instruction->modrm], mode = modrm >> 6;
    uint8_t base = modrm & 7, index = NO_REGISTER & 7;
    bool has_sib = base == 4;
    if (has_sib) {
        uint8_t sib = code[instruction->modrm + 1];
        base = sib & 7;
        index = sib >> 3 & 7;
        instruction->scale = sib >> 6;
    }
    instruction->is_relative = mode == 0 && !has_sib && base == 5;
    bool has_base = !(mode == 0 && base == 5);
    size_t width = mode == 2 || !has_base ? 4 : mode;
    extend_registers(opcode, rex, &base, &index);
    instruction->base = has_base ? base : NO_REGISTER;
    instruction->index = has_sib && index != 4 ? index : NO_REGISTER;
    if (width == 4) {
        const uint8_t *bytes = code + instruction->operand_end - 4;
        instruction->displacement = (int32_t)(bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
    } else if (width == 1) {
        int32_t unit = opcode[0] == 0x62 ? compressed_unit(opcode) : 1;
        instruction->displacement = unit * (int8_t)code[instruction->operand_end - 1];
        instruction->is_odd |= !unit;
    }
}

bool instruction_decode(const uint8_t *code, size_t size, struct instruction *instruction)
{
    struct cursor cursor = start_at(code, size);
    skip_instruction(&cursor);
    *instruction = (struct instruction){.length = cursor.at, .modrm = cursor.modrm, .operand_end = cursor.operand_end};
    if (cursor.failed) {
        return false;
    }
    bool small_operand = false, repeats = false;
    size_t at = 0;
    for (; one_byte[code[at]] == 'p'; at++) {
        small_operand |= code[at] == 0x66;
        repeats |= code[at] == 0xF3 || code[at] == 0xF2;
        instruction->is_odd |= code[at] == 0x67;
        instruction->is_locked |= code[at] == 0xF0;
        instruction->segment = code[at] == 0x64 || code[at] == 0x65 ? code[at] : instruction->segment;
    }
    instruction->prefixes = at;
    uint8_t rex = one_byte[code[at]] == 'r' ? code[at++] : 0;
    const uint8_t *opcode = code + at;
    instruction->is_locked |= (opcode[0] & 0xFE) == 0x86;
    instruction->changes_flow = changes_flow(opcode, cursor.at - at);
    instruction->is_odd |= is_odd(opcode, cursor.at - at);
    if (opcode[0] == 0xA4 || opcode[0] == 0xA5) {
        instruction->element = opcode[0] == 0xA4 ? 1 : rex & REX_W ? 8 : small_operand ? 2 : 4;
        instruction->repeats = repeats;
    }
    if (instruction->modrm) {
        decode_operand(code, opcode, rex, instruction);
    }
    return true;
}

static bool is_small_constant(const uint8_t *at)
{
    return (at[2] == 0 && at[3] == 0) || (at[2] == 0xFF && at[3] == 0xFF);
}

static bool operands_are_registers(uint8_t modrm)
{
    return modrm >> 6 == 3;
}

bool instruction_is_movable(const uint8_t *code, size_t length)
{
    size_t at = one_byte[code[0]] == 'r';
    bool wide = at && (code[0] & REX_W);
    uint8_t opcode = code[at];
    if (opcode >= 0xB8 && opcode <= 0xBF && !wide) { /* mov $imm32, %reg */
        return length == at + 5 && is_small_constant(code + at + 1);
    }
    if (length < at + 2) {
        return false;
    }
    uint8_t modrm = code[at + 1];
    unsigned mode = modrm >> 6, memory = modrm & 7;
    switch (opcode) {
    case 0xC7: /* mov $imm32, %reg, sign-extended */
        return length == at + 6 && modrm >> 3 == 0x18 && is_small_constant(code + at + 2);
    case 0x31: /* xor */
    case 0x33:
    case 0x63: /* movslq */
    case 0x89: /* mov */
        return operands_are_registers(modrm);
    case 0x8B: /* mov, from a register or from the stack */
        return operands_are_registers(modrm) ||
               ((mode == 1 || mode == 2) && memory == 4 && code[at + 2] == 0x24 && !(at && (code[0] & 3)));
    case 0x8D: /* lea, but not from RIP */
        return mode != 3 && !(mode == 0 && memory == 5);
    default:
        return false;
    }
}
