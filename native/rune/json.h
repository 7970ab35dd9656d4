/*
 * A reader of JSON text (RFC 8259) that finds single values in place: no tree, no allocation, no recursion.
 *
 * It accepts more than runc's parser does (literals and numbers are not checked), never less: what it cannot read, runc
 * refuses too. Names match without regard to case, as in Go's encoding/json.
 */
#ifndef RUNE_JSON_H
#define RUNE_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct json {
    const char *at;
    const char *end;
};

enum json_result { JSON_FOUND, JSON_ABSENT, JSON_INVALID };

/* Find the member `name` of an object. A name that stands twice is JSON_INVALID: readers differ on which one counts. */
enum json_result json_member(struct json object, const char *name, struct json *value);

/* Take the next element of an array: `array` stands at its `[` before the first call, behind the element after it. */
enum json_result json_element(struct json *array, struct json *element);

/* Decode a string into `text`, with its NUL. False if it is not a string, contains a NUL, or does not fit. */
bool json_string(struct json value, char *text, size_t size);

#endif
