#include "json_edit.h"

#include <string.h>

enum json_result json_at(struct json document, struct json path, struct json *value)
{
    enum json_result found;
    struct json name;
    *value = document;
    while ((found = json_element(&path, &name)) == JSON_FOUND) {
        char *text = json_text(name);
        if (!text || value->at == value->end || *value->at != '{')
            return JSON_INVALID;
        found = json_spelled(*value, text, value);
        if (found != JSON_FOUND)
            return found;
    }
    return found == JSON_ABSENT ? JSON_FOUND : JSON_INVALID;
}

static void write_missing(struct text *out, struct json path, struct json value)
{
    struct json name;
    size_t depth = 0;
    for (; json_element(&path, &name) == JSON_FOUND; depth++) {
        text_add_word(out, "{");
        text_add_json(out, name);
        text_add_word(out, ":");
    }
    text_add_json(out, value);
    while (depth-- > 0)
        text_add_word(out, "}");
}

/* Write a member that an object does not have behind its `{`. */
static void write_first(struct text *out, struct json object, struct json name, struct json path, struct json value)
{
    struct json rest = object, key, entry;
    bool is_empty = json_entry(&rest, &key, &entry) != JSON_FOUND;
    text_add_word(out, "{");
    text_add_json(out, name);
    text_add_word(out, ":");
    write_missing(out, path, value);
    text_add_word(out, is_empty ? "" : ",");
    text_add(out, object.at + 1, (size_t)(object.end - object.at) - 1);
}

void json_write_with(struct text *out, struct json document, struct json path, struct json value)
{
    struct json here = document, name, inner;
    while (here.at < here.end && *here.at != '{') /* blanks before the outermost object */
        here.at++;
    for (;;) {
        char *text = json_element(&path, &name) == JSON_FOUND ? json_text(name) : NULL;
        if (!text) { /* the end of the path */
            text_add(out, document.at, (size_t)(here.at - document.at));
            text_add_json(out, value);
            text_add(out, here.end, (size_t)(document.end - here.end));
            return;
        }
        enum json_result found = json_key(here, text, &inner);
        if (found == JSON_FOUND && !json_is_null(inner)) {
            here = inner;
            continue;
        }
        text_add(out, document.at, (size_t)(here.at - document.at));
        if (found == JSON_FOUND) {
            text_add(out, here.at, (size_t)(inner.at - here.at));
            write_missing(out, path, value);
            text_add(out, inner.end, (size_t)(here.end - inner.end));
        } else {
            write_first(out, here, name, path, value);
        }
        text_add(out, here.end, (size_t)(document.end - here.end));
        return;
    }
}
