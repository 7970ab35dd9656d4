#include "json.h"

#include <stdlib.h>
#include <string.h>

#define SPACE " \t\r\n"
#define PUNCTUATION "{}[],:"

char *json_text(struct json value)
{
    size_t size = (size_t)(value.end - value.at) + 1; /* no escape is shorter than what it stands for */
    char *text = malloc(size);
    return text && json_string(value, text, size) ? text : NULL;
}

struct json json_literal(const char *text)
{
    return (struct json){text, text + strlen(text)};
}

long long json_number(struct json value)
{
    long long number = 0;
    if (value.at == value.end || value.end - value.at > 18)
        return -1;
    for (; value.at < value.end; value.at++) {
        if (*value.at < '0' || *value.at > '9')
            return -1;
        number = 10 * number + (*value.at - '0');
    }
    return number;
}

/* Take a string, a sign, or a number or literal. False at the end, and where a string has none. */
static bool take_token(struct json *json, struct json *token)
{
    while (json->at < json->end && memchr(SPACE, *json->at, sizeof(SPACE) - 1))
        json->at++;
    if (json->at == json->end)
        return false;
    const char *at = json->at, *end = json->end;
    token->at = at;
    if (*at == '"') {
        for (at++; at < end && *at != '"'; at++)
            at += *at == '\\' && end - at > 1;
        if (at == end)
            return false;
        at++;
    } else if (memchr(PUNCTUATION, *at, sizeof(PUNCTUATION) - 1)) {
        at++;
    } else {
        while (at < end && !memchr(SPACE PUNCTUATION "\"", *at, sizeof(SPACE PUNCTUATION "\"") - 1))
            at++;
    }
    token->end = json->at = at;
    return true;
}

static bool same_bytes(struct json one, struct json other)
{
    return one.end - one.at == other.end - other.at && memcmp(one.at, other.at, (size_t)(one.end - one.at)) == 0;
}

static bool same_token(struct json one, struct json other)
{
    if (same_bytes(one, other))
        return true;
    if (*one.at != '"' || *other.at != '"')
        return false;
    char *text = json_text(one), *other_text = json_text(other);
    bool same = text && other_text && strcmp(text, other_text) == 0;
    free(text);
    free(other_text);
    return same;
}

bool json_equal(struct json one, struct json other)
{
    struct json token, other_token;
    for (;;) {
        bool found = take_token(&one, &token);
        if (found != take_token(&other, &other_token))
            return false;
        if (!found)
            return true;
        if (!same_token(token, other_token))
            return false;
    }
}
