#include "plan.h"

#include <string.h>

#include "json_edit.h"
#include "operation.h"

#define FORMAT "2"

bool read_plan(struct json text, struct plan *plan)
{
    struct json version, folder;
    if (json_spelled(text, "version", &version) != JSON_FOUND || !json_equal(version, json_literal(FORMAT)) ||
        json_spelled(text, "folder", &folder) != JSON_FOUND)
        return false;
    plan->has_folder = json_equal(folder, json_literal("true"));
    return (plan->has_folder || json_equal(folder, json_literal("false"))) && json_key(text, "holds", &plan->holds) == JSON_FOUND &&
           json_spelled(text, "conditions", &plan->conditions) == JSON_FOUND && json_spelled(text, "changes", &plan->changes) == JSON_FOUND;
}

/* Take the next of those that were found, and compare. */
static bool is_next(struct json *found, struct json value)
{
    struct json next;
    return json_element(found, &next) == JSON_FOUND && json_equal(next, value);
}

static bool is_end(struct json *found)
{
    struct json next;
    return json_element(found, &next) == JSON_ABSENT;
}

/* ["is", at, value]: null stands for what is not there. */
static bool check_is(struct json config, const struct json *operand)
{
    struct json value;
    enum json_result found = json_at(config, operand[0], &value);
    return found == JSON_FOUND ? json_equal(value, operand[1]) : found == JSON_ABSENT && json_is_null(operand[1]);
}

/* ["begins", at, strings, more]: `more` true: others may follow. */
static bool check_begins(struct json config, const struct json *operand)
{
    struct json list, item, wanted = operand[1];
    enum json_result found = json_list_at(config, operand[0], &list);
    bool may_follow = json_equal(operand[2], json_literal("true"));
    if (found != JSON_FOUND)
        return false;
    while ((found = json_element(&list, &item)) == JSON_FOUND) {
        if (!json_text(item))
            return false;
        struct json next;
        if (json_element(&wanted, &next) != JSON_FOUND) {
            if (!may_follow)
                return false;
            wanted = json_literal("]"); /* stays at its end */
        } else if (!json_equal(next, item)) {
            return false;
        }
    }
    return found == JSON_ABSENT && is_end(&wanted);
}

/* ["strings", at, prefixes, found]: those of a list of strings that begin so. */
static bool check_strings(struct json config, const struct json *operand)
{
    struct json list, item, wanted = operand[2];
    enum json_result found = json_list_at(config, operand[0], &list);
    while (found == JSON_FOUND && (found = json_element(&list, &item)) == JSON_FOUND) {
        char *text = json_text(item);
        if (!text || (begins_with_one(text, operand[1]) && !is_next(&wanted, item)))
            return false;
    }
    return found == JSON_ABSENT && is_end(&wanted);
}

/* ["keys", at, prefixes, found]: those entries of a map whose keys begin so, as [key, value]. */
static bool check_keys(struct json config, const struct json *operand)
{
    struct json map, key, value, wanted = operand[2], pair;
    enum json_result found = json_at(config, operand[0], &map);
    while (found == JSON_FOUND && (found = json_entry(&map, &key, &value)) == JSON_FOUND) {
        char *text = json_text(key);
        if (!text)
            return false;
        if (begins_with_one(text, operand[1]) && !(json_element(&wanted, &pair) == JSON_FOUND && is_next(&pair, key) && is_next(&pair, value)))
            return false;
    }
    return found == JSON_ABSENT && is_end(&wanted);
}

static bool has_members(struct json object, struct json names, struct json values)
{
    struct json name, value;
    while (json_element(&names, &name) == JSON_FOUND) {
        char *text = json_text(name);
        enum json_result found = text ? json_spelled(object, text, &value) : JSON_INVALID;
        if (found == JSON_INVALID || !is_next(&values, found == JSON_FOUND ? value : json_literal("null")))
            return false;
    }
    return is_end(&values);
}

/* ["elements", at, names, found]: all objects of a list, each by the values of these members. */
static bool check_elements(struct json config, const struct json *operand)
{
    struct json list, item, values, wanted = operand[2];
    enum json_result found = json_list_at(config, operand[0], &list);
    while (found == JSON_FOUND && (found = json_element(&list, &item)) == JSON_FOUND) {
        if (json_element(&wanted, &values) != JSON_FOUND || !has_members(item, operand[1], values))
            return false;
    }
    return found == JSON_ABSENT && is_end(&wanted);
}

/* ["among", at, name, values, found]: those objects of a list whose member `name` is one of the values. */
static bool check_among(struct json config, const struct json *operand)
{
    struct json list, item, value, wanted = operand[3], candidate;
    char *name = json_text(operand[1]);
    enum json_result found = name ? json_list_at(config, operand[0], &list) : JSON_INVALID;
    while (found == JSON_FOUND && (found = json_element(&list, &item)) == JSON_FOUND) {
        enum json_result member = json_spelled(item, name, &value);
        if (member == JSON_INVALID)
            return false;
        for (struct json values = operand[2]; member == JSON_FOUND && json_element(&values, &candidate) == JSON_FOUND;) {
            if (json_equal(candidate, value) && !is_next(&wanted, value))
                return false;
        }
    }
    return found == JSON_ABSENT && is_end(&wanted);
}

bool plan_fits(const struct plan *plan, struct json config)
{
    static const struct {
        const char *name;
        size_t operands;
        bool (*check)(struct json config, const struct json *operand);
    } kinds[] = {
        {"is", 2, check_is},     {"begins", 3, check_begins},     {"strings", 3, check_strings},
        {"keys", 3, check_keys}, {"elements", 3, check_elements}, {"among", 4, check_among},
    };
    struct json list = plan->conditions, item;
    enum json_result found;
    while ((found = json_element(&list, &item)) == JSON_FOUND) {
        struct operation operation;
        bool is_met = false;
        if (!read_operation(item, &operation))
            return false;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
            if (strcmp(kinds[i].name, operation.name) == 0 && kinds[i].operands == operation.count)
                is_met = kinds[i].check(config, operation.operands);
        }
        if (!is_met)
            return false;
    }
    return found == JSON_ABSENT;
}
