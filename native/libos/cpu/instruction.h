/* Lengths of x86-64 instructions (SDM volume 2, chapter 2 and appendix A), and which of them may run
 * elsewhere. Pure. */
#ifndef ENCLAVIZE_INSTRUCTION_H
#define ENCLAVIZE_INSTRUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_MAX 15U

/* The instruction's length, or 0: not valid in 64-bit mode, or longer than `size`. */
size_t instruction_length(const uint8_t *code, size_t size);

struct instruction {
    size_t length;
    size_t prefixes;    /* bytes of legacy prefixes */
    size_t modrm;       /* where it is; 0: no operand in memory is named by it */
    size_t operand_end; /* behind ModRM, SIB and displacement */
    int32_t displacement;
    bool is_relative;   /* to RIP, behind the instruction */
    uint8_t base, index, scale; /* register numbers, NO_REGISTER; a power of two */
    uint8_t segment;    /* prefix of FS or GS, or 0 */
    uint8_t element;    /* of movs: bytes; else 0 */
    bool repeats;       /* rep */
    bool is_locked;     /* lock, or xchg, which is */
    bool changes_flow;  /* it goes on elsewhere than behind it, or may */
    bool is_odd;        /* its address is not what ModRM says alone: bit strings, vectors of addresses, pop, short addresses, saved states */
};
#define NO_REGISTER 0xFFU

/* False: not valid in 64-bit mode, or longer than `size`. */
bool instruction_decode(const uint8_t *code, size_t size, struct instruction *instruction);

/*
 * May this whole instruction be moved? Only kinds that compilers use to set up a `syscall`: constants and
 * registers into registers, an address, a load from the stack. None depends on its own address, changes the
 * flow or writes memory.
 */
bool instruction_is_movable(const uint8_t *code, size_t length);

#endif
