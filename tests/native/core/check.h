/* For tests of the LibOS's pure parts as ordinary programs: base.h stands where a C library's headers
 * would. */
#ifndef CHECK_H
#define CHECK_H

#include "base/base.h"

int printf(const char *format, ...);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void free(void *pointer);
void exit(int status);
long atol(const char *text);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                           \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static uint64_t random_state = 1;

/* xorshift64*: the same sequence in every run */
static inline uint64_t random_number(uint64_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717ULL >> 16) % below;
}

#endif
