/*
 * A reader of JSON text (RFC 8259) that finds single values in place: no tree, no allocation, no recursion.
 *
 * It accepts more than runc's parser, Go's encoding/json, does (literals and numbers are not checked). What both accept
 * they read alike; text that Go changes while it reads, because it is no Unicode, is refused here.
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

/*
 * Find the member `name`, in lower case, of an object whose members a format defines: in any case, as Go does.
 * One that stands twice is JSON_INVALID: readers differ on which one counts.
 */
enum json_result json_member(struct json object, const char *name, struct json *value);

/* Take the next member of an object: `object` stands at its `{` before the first call, behind the member after it. */
enum json_result json_entry(struct json *object, struct json *key, struct json *value);

/* Find a key of a map, whose keys are data and compared exactly. */
enum json_result json_key(struct json map, const char *key, struct json *value);

/* Take the next element of an array: `array` stands at its `[` before the first call, behind the element after it. */
enum json_result json_element(struct json *array, struct json *element);

/* Decode a string into `text`, with its NUL. False if it is no string, no Unicode, contains a NUL, or does not fit. */
bool json_string(struct json value, char *text, size_t size);

/* The same, but of a string that does not fit its start. */
bool json_string_start(struct json value, char *text, size_t size);

#endif
