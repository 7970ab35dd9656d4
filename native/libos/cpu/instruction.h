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

/*
 * May this whole instruction be moved? Only kinds that compilers use to set up a `syscall`: constants and
 * registers into registers, an address, a load from the stack. None depends on its own address, changes the
 * flow or writes memory.
 */
bool instruction_is_movable(const uint8_t *code, size_t length);

#endif
