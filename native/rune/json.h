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
 * Find the member `name` of an object whose members a format defines: in any case, as Go does.
 * One that stands twice is JSON_INVALID: readers differ on which one counts.
 */
enum json_result json_member(struct json object, const char *name, struct json *value);

/* The same, but one that is spelled in another case is JSON_INVALID, and one that is null JSON_ABSENT: what is changed has one name. */
enum json_result json_spelled(struct json object, const char *name, struct json *value);

bool json_is_null(struct json value);

/* JSON that this program writes itself. */
struct json json_literal(const char *text);

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

/* The same, of any length, in memory that is never given back. NULL if it is no such string. */
char *json_text(struct json value);

/* A whole number that is not negative, as decimal digits; -1 if it is none, or too large. */
long long json_number(struct json value);

/* Whether two values are the same: strings as they read, numbers as they are written, members in the same order. */
bool json_equal(struct json one, struct json other);

#endif
