/* A condition or a change of a plan: an array of a word and what that is about. */
#ifndef RUNE_OPERATION_H
#define RUNE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

#define MAX_OPERANDS 4

struct operation {
    char name[16];
    size_t count;
    struct json operands[MAX_OPERANDS];
};

bool read_operation(struct json array, struct operation *operation);

/* Whether a text begins with one of these strings. */
bool begins_with_one(const char *text, struct json prefixes);

/* As json_at(), of an array: all else that is there is JSON_INVALID. */
enum json_result json_list_at(struct json document, struct json path, struct json *list);

#endif
