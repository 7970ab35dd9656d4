#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_add(struct text *text, const char *bytes, size_t size)
{
    if (text->room - text->used < size) {
        size_t room = 2 * (text->used + size) + 4096;
        char *at = realloc(text->at, room);
        if (!at) {
            text->failed = true;
            return;
        }
        text->at = at;
        text->room = room;
    }
    if (size > 0)
        memcpy(text->at + text->used, bytes, size);
    text->used += size;
}

void text_add_word(struct text *text, const char *word)
{
    text_add(text, word, strlen(word));
}

void text_add_json(struct text *text, struct json value)
{
    text_add(text, value.at, (size_t)(value.end - value.at));
}

void text_add_string(struct text *text, const char *string)
{
    size_t start = text->used;
    text_add_word(text, "\"");
    for (; *string; string++) {
        char escape[8];
        if ((unsigned char)*string < ' ' || *string == '"' || *string == '\\')
            text_add(text, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*string));
        else
            text_add(text, string, 1);
    }
    text_add_word(text, "\"");
    /* What cannot be read back would be changed by Go. */
    if (!text->failed && !json_text((struct json){text->at + start, text->at + text->used}))
        text->failed = true;
}

struct json text_json(const struct text *text)
{
    return (struct json){text->at, text->at + text->used};
}
