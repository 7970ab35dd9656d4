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

/* Where the 32-bit displacement from RIP is in this whole instruction, or 0: it has none. */
size_t instruction_relative(const uint8_t *code, size_t length);

/* Does this whole instruction go on elsewhere than behind it, or may it? */
bool instruction_changes_flow(const uint8_t *code, size_t length);

/*
 * May this whole instruction be moved? Only kinds that compilers use to set up a `syscall`: constants and
 * registers into registers, an address, a load from the stack. None depends on its own address, changes the
 * flow or writes memory.
 */
bool instruction_is_movable(const uint8_t *code, size_t length);

#endif
