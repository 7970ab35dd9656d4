#include "operation.h"

#include <string.h>

#include "json_edit.h"

bool read_operation(struct json array, struct operation *operation)
{
    struct json name;
    enum json_result found;
    operation->count = 0;
    if (array.at == array.end || *array.at != '[' || json_element(&array, &name) != JSON_FOUND ||
        !json_string(name, operation->name, sizeof(operation->name)))
        return false;
    for (;; operation->count++) {
        struct json operand;
        found = json_element(&array, &operand);
        if (found != JSON_FOUND)
            return found == JSON_ABSENT;
        if (operation->count == MAX_OPERANDS)
            return false;
        operation->operands[operation->count] = operand;
    }
}

bool begins_with_one(const char *text, struct json prefixes)
{
    struct json item;
    while (json_element(&prefixes, &item) == JSON_FOUND) {
        char *prefix = json_text(item);
        if (!prefix || strncmp(text, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

enum json_result json_list_at(struct json document, struct json path, struct json *list)
{
    enum json_result found = json_at(document, path, list);
    return found == JSON_FOUND && *list->at != '[' ? JSON_INVALID : found;
}
