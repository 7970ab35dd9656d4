/*
 * The four functions that a compiler may call on its own. REP MOVSB and STOSB are fast on every CPU that has SGX (ERMS), need no
 * vector registers, and leave exact addresses in RSI and RDI when a page fault interrupts them.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return start;
}

void *memset(void *to, int byte, size_t size)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *destination = to;
    const uint8_t *source = from;
    if ((uintptr_t)destination - (uintptr_t)source >= size) {
        return memcpy(to, from, size);
    }
    for (size_t index = size; index-- > 0;) {
        destination[index] = source[index];
    }
    return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
    const uint8_t *left = one;
    const uint8_t *right = other;
    for (size_t index = 0; index < size; index++) {
        if (left[index] != right[index]) {
            return left[index] - right[index];
        }
    }
    return 0;
}
