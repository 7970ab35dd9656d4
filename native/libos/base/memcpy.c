/*
 * The four functions that a compiler may call on its own. REP MOVSB and STOSB are fast on every CPU that has SGX (ERMS), need no
 * vector registers, and leave exact addresses in RSI and RDI when a page fault interrupts them. They take some 30 cycles to begin:
 * what two loads can hold is copied by these.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define COPY_BY(type, to, from, size)                                                                                      \
    do {                                                                                                                   \
        typedef type unaligned __attribute__((aligned(1), may_alias));                                                     \
        const size_t last = (size) - sizeof(type);                                                                         \
        type first_part = *(const unaligned *)(from), last_part = *(const unaligned *)((const char *)(from) + last);       \
        *(unaligned *)(to) = first_part;                                                                                   \
        *(unaligned *)((char *)(to) + last) = last_part;                                                                   \
    } while (0)

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *start = to;
    if (size >= sizeof(uint64_t) && size <= 2 * sizeof(uint64_t)) {
        COPY_BY(uint64_t, to, from, size);
        return start;
    }
    if (size >= sizeof(uint32_t) && size < sizeof(uint64_t)) {
        COPY_BY(uint32_t, to, from, size);
        return start;
    }
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
