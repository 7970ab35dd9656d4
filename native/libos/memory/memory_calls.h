/* What memory.c gives to the calls of memory_calls.c. */
#ifndef ENCLAVIZE_MEMORY_CALLS_H
#define ENCLAVIZE_MEMORY_CALLS_H

#include "memory/memory.h"

#define MMAP_LOW 0x10000000ULL
#define MMAP_HIGH (STACK_TOP - STACK_SIZE - STACK_GUARD)

enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2 };

int64_t memory_remap(user_address address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                     user_address target);
int64_t memory_discard(user_address start, user_address end);
int64_t memory_synchronise(user_address start, user_address end);
bool memory_is_mapped(user_address start, user_address end, uint8_t *resident);

#endif
