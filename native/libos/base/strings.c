#include "base/base.h"

bool strings_add(struct strings *strings, const char *text, size_t length)
{
    size_t needed = strings->size + length + 1;
    if (needed > strings->capacity) {
        size_t capacity = PAGE_UP(needed * 2);
        char *bytes = reallocate(strings->bytes, strings->capacity, capacity);
        if (!bytes) {
            return false;
        }
        strings->bytes = bytes;
        strings->capacity = capacity;
    }
    memcpy(strings->bytes + strings->size, text, length);
    strings->bytes[needed - 1] = 0;
    strings->size = needed;
    strings->count++;
    return true;
}

bool strings_add_all(struct strings *strings, const struct strings *others, uint32_t first)
{
    uint32_t index = 0;
    for (const char *text = strings_first(others); text; text = strings_next(others, text)) {
        if (index++ >= first && !strings_add(strings, text, strlen(text))) {
            return false;
        }
    }
    return true;
}

void strings_free(struct strings *strings)
{
    release(strings->bytes, strings->capacity);
    *strings = (struct strings){0};
}

const char *strings_first(const struct strings *strings)
{
    return strings->size ? strings->bytes : NULL;
}

const char *strings_next(const struct strings *strings, const char *text)
{
    const char *next = text + strlen(text) + 1;
    return next < strings->bytes + strings->size ? next : NULL;
}
