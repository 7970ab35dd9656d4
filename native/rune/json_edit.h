/* Changes of a JSON document: a new text each time, in which all else is as it was written. */
#ifndef RUNE_JSON_EDIT_H
#define RUNE_JSON_EDIT_H

#include "json.h"
#include "text.h"

/*
 * Find the value at `path`, an array of names of members, spelled as the format has it. JSON_ABSENT if it, or what it is in, is not there
 * or null; JSON_INVALID if that is no object, or a name stands twice or is spelled otherwise.
 */
enum json_result json_at(struct json document, struct json path, struct json *value);

/* Write the document with `value` at `path`; objects on the way are made. Only for paths that json_at() has found, or found absent. */
void json_write_with(struct text *out, struct json document, struct json path, struct json value);

#endif
