/* Text that grows. Its memory is never given back: rune lives for some milliseconds. */
#ifndef RUNE_TEXT_H
#define RUNE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

struct text {
    char *at;
    size_t used, room;
    bool failed; /* there was no memory, or what was added is no Unicode */
};

void text_add(struct text *text, const char *bytes, size_t size);
void text_add_word(struct text *text, const char *word);

/* Add a value as it is written. */
void text_add_json(struct text *text, struct json value);

/* Add a string as JSON. Fails if it is no UTF-8. */
void text_add_string(struct text *text, const char *string);

struct json text_json(const struct text *text);

#endif
