#define _GNU_SOURCE
#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

#define PREFIX "ENCLAVIZE_"
#define DEFAULT_INSTANCE "/.enclave/instance"
#define DEFAULT_ROOT "/"
#define DEFAULT_LOG_LEVEL "warning"

enum name { SIMULATE, LOG_LEVEL, ENCLU, SYSCALL_TRAP, TRACE, PROFILE, REPORT_FD, INSTANCE, ROOT, LAYERS, NAME_COUNT };

static const struct {
    const char *name;
    const char *choices[6]; /* empty: a path */
} names[NAME_COUNT] = {
    [SIMULATE] = {"SIMULATE", {"0", "1"}},
    [LOG_LEVEL] = {"LOG_LEVEL", {"error", "warning", "info", "debug", "trace"}},
    [ENCLU] = {"ENCLU", {"gate", "trap", "step"}},
    [SYSCALL_TRAP] = {"SYSCALL_TRAP", {"sud", "seccomp"}},
    [TRACE] = {"TRACE", {"0", "1"}},
    [PROFILE] = {"PROFILE", {"text", "json"}},
    [REPORT_FD] = {"REPORT_FD", {"2", "3"}},
    [INSTANCE] = {"INSTANCE", {NULL}},
    [ROOT] = {"ROOT", {NULL}},
    [LAYERS] = {"LAYERS", {NULL}},
};

/* Take all ENCLAVIZE_* out, also those without a meaning here: none is the application's. */
static void take(char **environment, const char *values[NAME_COUNT])
{
    char **kept = environment;
    for (char **variable = environment; *variable; variable++) {
        if (strncmp(*variable, PREFIX, strlen(PREFIX)) != 0) {
            *kept++ = *variable;
            continue;
        }
        const char *name = *variable + strlen(PREFIX);
        for (int i = 0; i < NAME_COUNT; i++) {
            size_t length = strlen(names[i].name);
            if (strncmp(name, names[i].name, length) == 0 && name[length] == '=' && name[length + 1] != 0)
                values[i] = name + length + 1;
        }
    }
    *kept = NULL;
}

static bool valid(enum name name, const char *value)
{
    const char *const *choices = names[name].choices;
    if (!choices[0]) {
        if (value[0] == '/' && strlen(value) < PATH_MAX && !strpbrk(value, " \t\n"))
            return true;
        error_message(PREFIX "%s: not an absolute path without blanks", names[name].name);
        return false;
    }
    for (size_t i = 0; i < sizeof(names[name].choices) / sizeof(*choices) && choices[i]; i++) {
        if (strcmp(value, choices[i]) == 0)
            return true;
    }
    char list[64] = "";
    for (size_t i = 0; i < sizeof(names[name].choices) / sizeof(*choices) && choices[i]; i++)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", choices[i]);
    error_message(PREFIX "%s: unknown value; it must be one of %s", names[name].name, list);
    return false;
}

void drop_options(char **environment)
{
    const char *unused[NAME_COUNT];
    take(environment, unused);
}

bool take_options(char **environment, struct options *options)
{
    const char *values[NAME_COUNT] = {NULL};
    take(environment, values);
    for (int i = 0; i < NAME_COUNT; i++) {
        if (values[i] && !valid((enum name)i, values[i]))
            return false;
    }
    options->simulate = values[SIMULATE] && strcmp(values[SIMULATE], "1") == 0;
    options->log_level = values[LOG_LEVEL] ? values[LOG_LEVEL] : DEFAULT_LOG_LEVEL;
    options->instance = values[INSTANCE] ? values[INSTANCE] : DEFAULT_INSTANCE;
    options->root = values[ROOT] ? values[ROOT] : DEFAULT_ROOT;
    const struct {
        const char *word, *value;
    } words[] = {
        {"instance=", options->instance},
        {"root=", options->root},
        {"layers=", values[LAYERS]},
        {"mode=sim", options->simulate ? "" : NULL},
        {"enclu=", values[ENCLU]},
        {"syscall-trap=", values[SYSCALL_TRAP]},
        {"trace", values[TRACE] && strcmp(values[TRACE], "1") == 0 ? "" : NULL},
        {"profile=", values[PROFILE]},
        {"report-fd=", values[REPORT_FD]},
    };
    size_t used = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (words[i].value)
            used += (size_t)snprintf(options->pal_arguments + used, sizeof(options->pal_arguments) - used, "%s%s%s",
                                     used ? " " : "", words[i].word, words[i].value);
    }
    return true;
}

bool says_info(const struct options *options)
{
    return strcmp(options->log_level, "error") != 0 && strcmp(options->log_level, "warning") != 0;
}
