/* What programs share that make random operations and tell of them: a digest for each hundred, or all that was said. */
#ifndef MIX_H
#define MIX_H

#include "check.h"

#include <stdarg.h>
#include <stdint.h>

static struct {
    uint64_t state, digest;
    int is_verbose;
} mix = {.digest = 14695981039346656037ULL};

static inline unsigned draw(unsigned below)
{
    mix.state = mix.state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(mix.state >> 33) % below;
}

static inline void mix_in(const void *bytes, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        mix.digest = (mix.digest ^ ((const unsigned char *)bytes)[at]) * 1099511628211ULL;
    }
}

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    mix_in(line, strlen(line));
    if (mix.is_verbose) {
        fputs(line, stdout);
    }
}

static inline void result(long value)
{
    if (value < 0) {
        say(" -> errno %d\n", errno);
    } else {
        say(" -> %ld\n", value);
    }
}

/* After each operation, counted from 1. */
static inline void tell_digest(long operation)
{
    if (operation % 100 == 0) {
        printf("%ld %016llx\n", operation, (unsigned long long)mix.digest);
    }
}

#endif
