/* A growing list of NUL-terminated strings, one after the other: argument vectors and environments. */
#ifndef ENCLAVIZE_STRINGS_H
#define ENCLAVIZE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strings {
    char *bytes;
    size_t size;     /* used, NULs included */
    size_t capacity; /* allocated */
    uint32_t count;
};

/* False: out of memory. */
bool strings_add(struct strings *strings, const char *text, size_t length);
bool strings_add_all(struct strings *strings, const struct strings *others, uint32_t first);
void strings_free(struct strings *strings);

/* for (const char *s = strings_first(&list); s; s = strings_next(&list, s)) */
const char *strings_first(const struct strings *strings);
const char *strings_next(const struct strings *strings, const char *text);

#endif
