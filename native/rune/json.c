#include "json.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

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

enum json_result json_member(struct json object, const char *name, struct json *value)
{
    bool found = false;
    if (!take(&object, '{'))
        return JSON_INVALID;
    if (take(&object, '}'))
        return JSON_ABSENT;
    do {
        char member[NAME_SIZE];
        skip_space(&object);
        struct json key = object;
        if (!skip_string(&object) || !take(&object, ':'))
            return JSON_INVALID;
        skip_space(&object);
        struct json start = object;
        if (!skip_value(&object))
            return JSON_INVALID;
        if (json_string(key, member, sizeof(member)) && strcasecmp(member, name) == 0) {
            if (found)
                return JSON_INVALID;
            found = true;
            *value = (struct json){start.at, object.at};
        }
    } while (take(&object, ','));
    if (!take(&object, '}'))
        return JSON_INVALID;
    return found ? JSON_FOUND : JSON_ABSENT;
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

/* The code point behind "\u", which may need a second escape (UTF-16). A lone surrogate becomes U+FFFD, as in Go. */
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
    *point = 0xFFFD;
    return true;
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

bool json_string(struct json value, char *text, size_t size)
{
    size_t used = 0;
    if (!take(&value, '"'))
        return false;
    while (value.at < value.end) {
        char bytes[4];
        size_t length = 1;
        bytes[0] = *value.at++;
        if (bytes[0] == '"') {
            text[used] = 0;
            return true;
        }
        if (bytes[0] == '\\')
            length = take_escape(&value, bytes);
        if (length == 0 || bytes[0] == 0 || used + length >= size)
            return false;
        memcpy(text + used, bytes, length);
        used += length;
    }
    return false;
}
