#include "process/policy.h"

#define ALLOWED_AS_UNSAFE 1U /* flag of ALLOWED_ENVIRONMENT records */

static const char out_of_memory[] = "out of memory";

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static bool is_same(const char *one, const char *other, size_t size, bool any_case)
{
    for (size_t i = 0; i < size; i++) {
        if (any_case ? lower(one[i]) != lower(other[i]) : one[i] != other[i]) {
            return false;
        }
    }
    return true;
}

/* One '*' in the pattern stands for any characters, or none. */
static bool matches(const char *pattern, bool any_case, const char *name, size_t length)
{
    size_t size = strlen(pattern);
    const char *star = memchr(pattern, '*', size);
    size_t start = star ? (size_t)(star - pattern) : size, end = star ? size - start - 1 : 0;
    return (star ? length >= start + end : length == size) && is_same(name, pattern, start, any_case) &&
           is_same(name + length - end, pattern + size - end, end, any_case);
}

bool policy_is_loader_name(const char *name, size_t length)
{
    static const struct {
        const char *pattern;
        bool any_case;
    } rows[] = {
#define LOADER_NAME(pattern, any_case) {pattern, any_case},
#include "process/loader_names.def"
#undef LOADER_NAME
    };
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        if (matches(rows[i].pattern, rows[i].any_case, name, length)) {
            return true;
        }
    }
    return false;
}

static bool add_spans(struct strings *to, const struct span_list *list)
{
    for (struct span span = span_first(list); span.start; span = span_next(list, span)) {
        if (!strings_add(to, span.start, span.size)) {
            return false;
        }
    }
    return true;
}

static bool equals_command(const struct configuration *measured, const struct strings *arguments)
{
    if (arguments->count != measured->command.count) {
        return false;
    }
    const char *given = strings_first(arguments);
    for (struct span span = span_first(&measured->command); span.start;
         span = span_next(&measured->command, span)) {
        if (!span_equals(span, given, strlen(given))) {
            return false;
        }
        given = strings_next(arguments, given);
    }
    return true;
}

static const char *apply_arguments(const struct configuration *measured, const struct strings *arguments,
                                   struct strings *to)
{
    bool replaces = arguments->count && !equals_command(measured, arguments);
    if (replaces && !(measured->policy & POLICY_ALLOW_ARGUMENTS)) {
        return "arguments are not allowed by the measured policy (build with --allow-args)";
    }
    bool done = add_spans(to, &measured->entrypoint) &&
                (replaces ? strings_add_all(to, arguments, 0) : add_spans(to, &measured->command));
    return !done ? out_of_memory : to->count ? NULL : "no command";
}

/* The value's start behind "NAME=", or NULL when it is no variable. */
static size_t name_length(const char *variable, size_t length)
{
    const char *equals = memchr(variable, '=', length);
    return equals ? (size_t)(equals - variable) : 0;
}

static bool host_may_set(const struct configuration *measured, const char *name, size_t length)
{
    bool unsafe = policy_is_loader_name(name, length);
    const struct span_list *list = &measured->allowed_environment;
    for (struct span span = span_first(list); span.start; span = span_next(list, span)) {
        if (span_equals(span, name, length) && (!unsafe || (span.flags & ALLOWED_AS_UNSAFE))) {
            return true;
        }
    }
    return false;
}

/* The last variable of that name that the host gave, or NULL. */
static const char *host_value(const struct strings *environment, const char *name, size_t length)
{
    const char *found = NULL;
    for (const char *variable = strings_first(environment); variable;
         variable = strings_next(environment, variable)) {
        if (name_length(variable, strlen(variable)) == length && memcmp(variable, name, length) == 0) {
            found = variable;
        }
    }
    return found;
}

static bool is_measured(const struct configuration *measured, const char *name, size_t length)
{
    for (struct span span = span_first(&measured->environment); span.start;
         span = span_next(&measured->environment, span)) {
        if (name_length(span.start, span.size) == length && memcmp(span.start, name, length) == 0) {
            return true;
        }
    }
    return false;
}

static const char *apply_environment(const struct configuration *measured, const struct strings *environment,
                                     struct strings *to)
{
    for (struct span span = span_first(&measured->environment); span.start;
         span = span_next(&measured->environment, span)) {
        size_t length = name_length(span.start, span.size);
        const char *other = host_may_set(measured, span.start, length)
                                ? host_value(environment, span.start, length)
                                : NULL;
        bool done = other ? strings_add(to, other, strlen(other)) : strings_add(to, span.start, span.size);
        if (!done) {
            return out_of_memory;
        }
    }
    for (const char *variable = strings_first(environment); variable;
         variable = strings_next(environment, variable)) {
        size_t length = name_length(variable, strlen(variable));
        if (length && host_may_set(measured, variable, length)) {
            bool is_last = host_value(environment, variable, length) == variable;
            if (is_last && !is_measured(measured, variable, length) &&
                !strings_add(to, variable, strlen(variable))) {
                return out_of_memory;
            }
        } else if (log_enabled(LOG_DEBUG)) {
            log_line(LOG_DEBUG, "environment variable %.*s is not allowed by the measured policy: dropped",
                     (int)length, variable);
        }
    }
    return NULL;
}

const char *policy_apply(const struct configuration *measured, const struct strings *arguments,
                         const struct strings *environment, struct strings *to_arguments,
                         struct strings *to_environment)
{
    const char *error = apply_arguments(measured, arguments, to_arguments);
    return error ? error : apply_environment(measured, environment, to_environment);
}

/* A measured command is a record's value: arguments, each ended by NUL, as a list of strings has them. */
static bool is_command(struct span span, const struct strings *arguments)
{
    return span.start && span_equals(span, arguments->bytes, arguments->size);
}

static bool command_is_allowed(const struct configuration *measured, const struct strings *arguments)
{
    if ((measured->policy & POLICY_ALLOW_ANY_EXEC) || is_command(measured->healthcheck, arguments)) {
        return true;
    }
    const struct span_list *list = &measured->allowed_exec;
    struct span span = span_first(list);
    while (span.start && !is_command(span, arguments)) {
        span = span_next(list, span);
    }
    return span.start != NULL;
}

static const char *apply_health_check(const struct configuration *measured, struct strings *to)
{
    if (!measured->healthcheck.start) {
        return "the image has none";
    }
    const char *at = measured->healthcheck.start, *end = at + measured->healthcheck.size;
    for (size_t length; at < end; at += length + 1) {
        length = strlen(at);
        if (!strings_add(to, at, length)) {
            return out_of_memory;
        }
    }
    return NULL;
}

static const char *apply_command(const struct configuration *measured, const struct strings *arguments,
                                 struct strings *to)
{
    if (!arguments->count) {
        return apply_health_check(measured, to);
    }
    if (!command_is_allowed(measured, arguments)) {
        return "the measured policy does not allow this command (build with --allow-exec)";
    }
    return strings_add_all(to, arguments, 0) ? NULL : out_of_memory;
}

const char *policy_apply_to_command(const struct configuration *measured, const struct strings *arguments,
                                    const struct strings *environment, struct strings *to_arguments,
                                    struct strings *to_environment)
{
    const char *error = apply_command(measured, arguments, to_arguments);
    return error ? error : apply_environment(measured, environment, to_environment);
}
