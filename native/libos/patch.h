/*
 * Load-time patching of `syscall` sites. A trapped `syscall` costs an exception; a patched site jumps to the LibOS.
 *
 * Patched is the single instruction before a `syscall`, if it is at least 5 bytes long and movable (instruction.h): it is moved to a
 * trampoline and replaced by a jump there. The `syscall` itself stays, so code that jumps to it directly still works by trapping; nothing can jump
 * into the middle of a single instruction. Patching happens before any thread can run the bytes, never later.
 *
 * Bytes that only look like such a pair are left alone: decoding must reach the `syscall` and the instruction before it from most of many starting
 * points in front of them. x86 decoding falls into step with the true instruction stream within a few instructions, so where the points do not
 * agree, there is data or the middle of an instruction. In data, a match would further need one of few encodings with a small constant.
 */
#ifndef ENCLAVIZE_PATCH_H
#define ENCLAVIZE_PATCH_H

#include "libos.h"

/* Sites in code that lies at `text` and is writable; 0 when patching is off. */
size_t patch_count(const uint8_t *text, size_t size);
/* Pages of trampolines for so many sites. */
size_t patch_trampoline_pages(size_t sites);
/* Patch at most `sites` of them. `trampolines` is writable and lies within 2 GiB of the text; what is left of it traps (int3). */
void patch_apply(uint8_t *text, size_t size, uint8_t *trampolines, size_t sites);

void patch_disable(void);

#endif
