#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_edit.h"
#include "mountinfo.h"
#include "operation.h"
#include "origin.h"
#include "plan.h"

/* Strings of a plan that stand for what differs between containers. */
struct placeholder {
    const char *name, *value;
};
#define PLACEHOLDERS 5

struct change {
    struct json config;
    const struct placeholder *placeholders;
};

static void separate(struct text *out, size_t *count)
{
    if ((*count)++ > 0)
        text_add_word(out, ",");
}

static void write_elements(struct text *out, struct json list, size_t *count)
{
    struct json item;
    while (json_element(&list, &item) == JSON_FOUND) {
        separate(out, count);
        text_add_json(out, item);
    }
}

static void write_filled_string(struct text *out, struct json string, const struct placeholder *placeholders)
{
    char *text = json_text(string), *whole;
    for (size_t i = 0; text && i < PLACEHOLDERS; i++) {
        size_t length = strlen(placeholders[i].name);
        if (strncmp(text, placeholders[i].name, length) != 0 || (text[length] != 0 && text[length] != '/'))
            continue;
        if (asprintf(&whole, "%s%s", placeholders[i].value, text + length) < 0)
            break; /* runc refuses the text as it is: there is no such path */
        text_add_string(out, whole);
        return;
    }
    text_add_json(out, string);
}

/* Write a value with its placeholders filled. */
static struct json filled(struct json value, const struct placeholder *placeholders)
{
    struct text *out = calloc(1, sizeof(*out));
    if (!out)
        return value; /* runc refuses it: there is no such path */
    while (value.at < value.end) {
        struct json string = value;
        if (*value.at++ != '"') {
            text_add(out, string.at, 1);
            continue;
        }
        while (value.at < value.end && *value.at++ != '"')
            value.at += value.at[-1] == '\\' && value.at < value.end;
        string.end = value.at;
        write_filled_string(out, string, placeholders);
    }
    return out->failed ? json_literal("!") : text_json(out);
}

/* ["head", at, count, strings]: these in place of the first ones. */
static bool change_head(const struct change *change, const struct json *operand, struct json list, struct text *out)
{
    struct json item;
    size_t count = 0;
    (void)change;
    for (long long left = json_number(operand[1]); left > 0; left--) {
        if (json_element(&list, &item) != JSON_FOUND)
            return false;
    }
    write_elements(out, operand[2], &count);
    while (json_element(&list, &item) == JSON_FOUND) {
        separate(out, &count);
        text_add_json(out, item);
    }
    return true;
}

/* ["strings", at, prefixes, strings]: those that begin so give way to these, behind the others. */
static bool change_strings(const struct change *change, const struct json *operand, struct json list, struct text *out)
{
    struct json item;
    size_t count = 0;
    (void)change;
    while (json_element(&list, &item) == JSON_FOUND) {
        char *text = json_text(item);
        if (!text)
            return false;
        if (begins_with_one(text, operand[1]))
            continue;
        separate(out, &count);
        text_add_json(out, item);
    }
    write_elements(out, operand[2], &count);
    return true;
}

static bool is_among(struct json value, struct json list)
{
    struct json item;
    while (json_element(&list, &item) == JSON_FOUND) {
        if (json_equal(value, item))
            return true;
    }
    return false;
}

/* ["append", at, elements]: behind the others; those that are there already move. */
static bool change_append(const struct change *change, const struct json *operand, struct json list, struct text *out)
{
    struct json item, added = filled(operand[1], change->placeholders);
    size_t count = 0;
    while (json_element(&list, &item) == JSON_FOUND) {
        if (is_among(item, added))
            continue;
        separate(out, &count);
        text_add_json(out, item);
    }
    write_elements(out, added, &count);
    return *added.at == '[';
}

/* ["put", at, key, value]: an entry of a map. */
static bool change_put(const struct change *change, const struct json *operand, struct json map, struct text *out)
{
    struct json key, value;
    char *name = json_text(operand[1]);
    size_t count = 0;
    (void)change;
    while (name && json_entry(&map, &key, &value) == JSON_FOUND) {
        char *text = json_text(key);
        if (!text)
            return false;
        if (strcmp(text, name) == 0)
            continue;
        separate(out, &count);
        text_add(out, key.at, (size_t)(value.end - key.at));
    }
    separate(out, &count);
    text_add_json(out, operand[1]);
    text_add_word(out, ":");
    text_add_json(out, operand[2]);
    return name;
}

static bool apply_change(struct change *change, const struct operation *operation)
{
    static const struct {
        const char *name;
        size_t operands;
        char opening, closing;
        bool (*change)(const struct change *change, const struct json *operand, struct json old, struct text *out);
    } kinds[] = {
        {"head", 3, '[', ']', change_head},
        {"strings", 3, '[', ']', change_strings},
        {"append", 2, '[', ']', change_append},
        {"put", 3, '{', '}', change_put},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].name, operation->name) != 0 || kinds[i].operands != operation->count)
            continue;
        struct json old;
        struct text value = {0}, config = {0};
        const char brackets[2] = {kinds[i].opening, kinds[i].closing};
        enum json_result found = json_at(change->config, operation->operands[0], &old);
        if (found == JSON_ABSENT)
            old = (struct json){brackets, brackets + 2};
        if (found == JSON_INVALID || *old.at != kinds[i].opening)
            return false;
        text_add(&value, brackets, 1);
        if (!kinds[i].change(change, operation->operands, old, &value))
            return false;
        text_add(&value, brackets + 1, 1);
        json_write_with(&config, change->config, operation->operands[0], text_json(&value));
        change->config = text_json(&config);
        return !value.failed && !config.failed;
    }
    return false;
}

bool apply_plan(const struct plan *plan, const struct place *place, struct text *changed)
{
    struct mount mount;
    char origin[4 * 4096];
    if (!find_origin(place->folder, place->enclave, &mount, origin, sizeof(origin)))
        return false;
    const struct placeholder placeholders[PLACEHOLDERS] = {
        {"{bundle}", place->bundle}, {"{rootfs}", place->rootfs}, {"{enclave}", place->enclave},
        {"{device}", mount.device},  {"{origin}", origin},
    };
    struct change change = {place->config, placeholders};
    struct json list = plan->changes, item;
    enum json_result found;
    while ((found = json_element(&list, &item)) == JSON_FOUND) {
        struct operation operation;
        if (!read_operation(item, &operation) || !apply_change(&change, &operation))
            return false;
    }
    text_add_json(changed, change.config);
    return found == JSON_ABSENT && !changed->failed;
}
