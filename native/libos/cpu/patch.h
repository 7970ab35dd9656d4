/*
 * Load-time patching of `syscall` sites. A trapped `syscall` costs an exception; a patched site jumps to the
 * LibOS.
 *
 * What is patched is the block before a `syscall`: as few whole instructions as make up 5 bytes, all movable
 * (instruction.h). They are moved to a trampoline and replaced by a jump there. The `syscall` itself stays,
 * so code that jumps to it directly still works, by trapping. Patching happens before any thread can run the
 * bytes, never later. Why it is safe:
 *
 * Nothing can jump into the middle of a block that is one instruction. A block of several is left alone if
 * any bytes of the text, read as a direct branch, lead into its middle: compilers reach a place in
 * straight-line code by direct branches, and a place that a jump table reaches is also the target of the
 * table's range check or of another case. A return address is no such place, since no instruction of a block
 * is a call.
 *
 * Bytes that only look like a block are left alone: decoding must see the same instructions from most of many
 * starting points in front of them. x86 decoding falls into step with the true instruction stream within a
 * few instructions; where the starting points do not agree, there is data or the middle of an instruction.
 */
#ifndef ENCLAVIZE_PATCH_H
#define ENCLAVIZE_PATCH_H

#include "base/base.h"

/* Offsets in the text: the block is [start, end), the `syscall` is at `end`. */
struct patch_site {
    uint32_t start;
    uint32_t end;
};

/* An upper bound of the sites; 0 when patching is off. */
size_t patch_candidates(const uint8_t *text, size_t size);
/* Fills `sites`, which has room for all candidates, in ascending order -> how many there are. size < 2
 * GiB. */
size_t patch_find(const uint8_t *text, size_t size, struct patch_site *sites);

size_t patch_trampoline_pages(size_t count);
/* Text and trampolines are writable and lie within 2 GiB of each other. What is left of the trampolines traps
 * (int3). */
void patch_apply(uint8_t *text, const struct patch_site *sites, size_t count, uint8_t *trampolines);

void patch_disable(void);

#endif
