#include "json.h"

#include <stdint.h>
#include <string.h>

#define NAME_SIZE 256

static void skip_space(struct json *json)
{
    while (json->at < json->end && memchr(" \t\r\n", *json->at, 4))
        json->at++;
}

static bool take(struct json *json, char expected)
{
    skip_space(json);
    if (json->at == json->end || *json->at != expected)
        return false;
    json->at++;
    return true;
}

static bool skip_string(struct json *json)
{
    if (!take(json, '"'))
        return false;
    while (json->at < json->end) {
        char c = *json->at++;
        if (c == '"')
            return true;
        if (c == '\\' && json->at < json->end)
            json->at++;
    }
    return false;
}

/* Brackets are counted, not matched by kind: text with crossed brackets is refused by runc's own parser. */
static bool skip_value(struct json *json)
{
    size_t depth = 0;
    do {
        skip_space(json);
        if (json->at == json->end)
            return false;
        switch (*json->at) {
        case '"':
            if (!skip_string(json))
                return false;
            break;
        case '{':
        case '[':
            depth++;
            json->at++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return false;
            depth--;
            json->at++;
            break;
        case ',':
        case ':':
            if (depth == 0)
                return false;
            json->at++;
            break;
        default:
            while (json->at < json->end && !memchr(" \t\r\n,:]}[{\"", *json->at, 11))
                json->at++;
        }
    } while (depth > 0);
    return true;
}

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter;
}

/* How Go's encoding/json finds a member (fold.go): ASCII letters in any case, U+017F for s, U+212A for k. */
static bool same_folded(const char *member, const char *name)
{
    static const struct {
        const char *utf8;
        char letter;
    } others[] = {{"\xC5\xBF", 's'}, {"\xE2\x84\xAA", 'k'}};
    while (*member) {
        char letter = lower(*member);
        size_t length = 1;
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            if (strncmp(member, others[i].utf8, strlen(others[i].utf8)) == 0) {
                letter = others[i].letter;
                length = strlen(others[i].utf8);
            }
        }
        if (letter != lower(*name))
            return false;
        member += length;
        name++;
    }
    return *name == 0;
}

static bool same_exactly(const char *member, const char *name)
{
    return strcmp(member, name) == 0;
}

enum json_result json_entry(struct json *object, struct json *key, struct json *value)
{
    bool first = take(object, '{');
    if (take(object, '}'))
        return JSON_ABSENT;
    if (!first && !take(object, ','))
        return JSON_INVALID;
    skip_space(object);
    key->at = object->at;
    if (!skip_string(object))
        return JSON_INVALID;
    key->end = object->at;
    if (!take(object, ':'))
        return JSON_INVALID;
    skip_space(object);
    value->at = object->at;
    if (!skip_value(object))
        return JSON_INVALID;
    value->end = object->at;
    return JSON_FOUND;
}

static enum json_result find(struct json object, bool (*same)(const char *, const char *), const char *name, struct json *value)
{
    enum json_result result;
    struct json key, entry;
    bool found = false;
    while ((result = json_entry(&object, &key, &entry)) == JSON_FOUND) {
        char member[NAME_SIZE];
        if (json_string(key, member, sizeof(member)) && same(member, name)) {
            if (found)
                return JSON_INVALID;
            found = true;
            *value = entry;
        }
    }
    return result == JSON_INVALID ? JSON_INVALID : found ? JSON_FOUND : JSON_ABSENT;
}

enum json_result json_member(struct json object, const char *name, struct json *value)
{
    return find(object, same_folded, name, value);
}

enum json_result json_spelled(struct json object, const char *name, struct json *value)
{
    struct json exact;
    enum json_result folded = json_member(object, name, value);
    if (folded != JSON_FOUND)
        return folded;
    if (json_key(object, name, &exact) != JSON_FOUND)
        return JSON_INVALID;
    return json_is_null(*value) ? JSON_ABSENT : JSON_FOUND;
}

bool json_is_null(struct json value)
{
    return value.end - value.at == 4 && memcmp(value.at, "null", 4) == 0;
}

enum json_result json_key(struct json map, const char *key, struct json *value)
{
    return find(map, same_exactly, key, value);
}

enum json_result json_element(struct json *array, struct json *element)
{
    if (take(array, ']'))
        return JSON_ABSENT;
    if (!take(array, '[') && !take(array, ','))
        return JSON_INVALID;
    if (take(array, ']'))
        return JSON_ABSENT;
    skip_space(array);
    element->at = array->at;
    if (!skip_value(array))
        return JSON_INVALID;
    element->end = array->at;
    return JSON_FOUND;
}

static bool hex4(struct json *json, uint32_t *number)
{
    *number = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        if (json->at == json->end)
            return false;
        const char *digit = strchr(digits, *json->at | 0x20);
        if (!digit || !*digit)
            return false;
        *number = *number << 4 | (uint32_t)(digit - digits);
        json->at++;
    }
    return true;
}

/* The code point behind "\u", which may need a second escape (UTF-16). A lone surrogate is no text: Go replaces it, others do not. */
static bool unicode_escape(struct json *json, uint32_t *point)
{
    if (!hex4(json, point))
        return false;
    if (*point < 0xD800 || *point > 0xDFFF)
        return true;
    struct json next = *json;
    uint32_t low;
    if (*point <= 0xDBFF && next.end - next.at >= 6 && next.at[0] == '\\' && next.at[1] == 'u') {
        next.at += 2;
        if (!hex4(&next, &low))
            return false;
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *point = 0x10000 + ((*point - 0xD800) << 10) + (low - 0xDC00);
            *json = next;
            return true;
        }
    }
    return false;
}

static size_t encode_utf8(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[length] | point);
    return length;
}

static size_t take_escape(struct json *json, char out[4])
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    uint32_t point;
    if (json->at == json->end)
        return 0;
    char c = *json->at++;
    if (c == 'u')
        return unicode_escape(json, &point) && point != 0 ? encode_utf8(point, out) : 0;
    const char *name = strchr(names, c);
    if (!name || !*name)
        return 0;
    out[0] = values[name - names];
    return 1;
}

/* The bytes of the UTF-8 sequence at `at` (RFC 3629, 4), 0 if there is none: Go puts U+FFFD in its place. */
static size_t utf8_length(const uint8_t *at, const uint8_t *end)
{
    static const struct {
        uint8_t lead_first, lead_last, second_first, second_last, length;
    } sequences[] = {
        {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        size_t length = sequences[i].length;
        if (*at < sequences[i].lead_first || *at > sequences[i].lead_last || (size_t)(end - at) < length)
            continue;
        bool good = length == 1 || (at[1] >= sequences[i].second_first && at[1] <= sequences[i].second_last);
        for (size_t next = 2; next < length; next++)
            good = good && (at[next] & 0xC0) == 0x80;
        return good ? length : 0;
    }
    return 0;
}

/* Decode as much of a string as fits. */
static bool decode(struct json value, char *text, size_t size, bool *cut)
{
    size_t used = 0;
    *cut = false;
    if (!take(&value, '"'))
        return false;
    while (value.at < value.end) {
        char bytes[4] = {0};
        size_t length = utf8_length((const uint8_t *)value.at, (const uint8_t *)value.end);
        memcpy(bytes, value.at, length);
        value.at += length;
        if (bytes[0] == '"') {
            text[used] = 0;
            return true;
        }
        if (bytes[0] == '\\')
            length = take_escape(&value, bytes);
        if (length == 0 || bytes[0] == 0)
            return false;
        if (used + length >= size) {
            text[used] = 0;
            *cut = true;
            return true;
        }
        memcpy(text + used, bytes, length);
        used += length;
    }
    return false;
}

bool json_string(struct json value, char *text, size_t size)
{
    bool cut;
    return decode(value, text, size, &cut) && !cut;
}

bool json_string_start(struct json value, char *text, size_t size)
{
    bool cut;
    return decode(value, text, size, &cut);
}
