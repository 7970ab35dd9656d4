#include "process/policy.h"

#define ALLOWED_AS_UNSAFE 1U /* flag of ALLOWED_ENVIRONMENT records */

static const char out_of_memory[] = "out of memory";

bool policy_is_loader_name(const char *name, size_t length)
{
    static const char *const prefixes[] = {
        "LD_", "MALLOC_", "GLIBC_", "PYTHON", "PERL5", "RUBY", "NODE_", "LUA_",
    };
    static const char *const names[] = {
        "BASH_ENV",
        "ENV",
        "IFS",
        "GCONV_PATH",
        "LOCPATH",
        "NLSPATH",
        "HOSTALIASES",
        "RES_OPTIONS",
        "LOCALDOMAIN",
        "PERLLIB",
        "CLASSPATH",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "GODEBUG",
        "PHPRC",
        "PHP_INI_SCAN_DIR",
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "OPENSSL_ENGINES",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++) {
        size_t size = strlen(prefixes[i]);
        if (length >= size && memcmp(name, prefixes[i], size) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (strlen(names[i]) == length && memcmp(name, names[i], length) == 0) {
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
