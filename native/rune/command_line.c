#include "command_line.h"

#include <stddef.h>
#include <string.h>

/* Options that take a value, of runc up to 1.3. All others are switches. */
static const char *const global_values[] = {"log", "log-format", "root", "criu", "rootless", NULL};
static const char *const command_values[] = {
    /* create, run */ "b", "bundle", "console-socket", "pid-file", "pidfd-socket", "preserve-fds",
    /* exec */ "additional-gids", "apparmor", "c", "cap", "cgroup", "cwd", "e", "env", "g", "p", "process", "process-label", "u", "user",
    /* checkpoint, restore */ "empty-ns", "image-path", "lsm-mount-context", "lsm-profile", "manage-cgroups-mode", "page-server",
    "parent-path", "status-fd", "work-path", NULL};

struct option {
    const char *name; /* without its one or two dashes */
    size_t length;
    const char *value; /* NULL for a switch */
};

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != 0;
}

/* Read the option at argv[*index], and step over its value where that is an argument of its own. */
static struct option take_option(char **argv, int argc, int *index, const char *const *with_value)
{
    const char *name = argv[*index] + 1;
    name += *name == '-';
    struct option option = {.name = name, .length = strcspn(name, "=")};
    if (name[option.length] == '=') {
        option.value = name + option.length + 1;
        return option;
    }
    for (; *with_value; with_value++) {
        if (strcmp(name, *with_value) == 0 && *index + 1 < argc) {
            option.value = argv[++*index];
            break;
        }
    }
    return option;
}

static bool option_is(struct option option, const char *name)
{
    return option.length == strlen(name) && memcmp(option.name, name, option.length) == 0;
}

static void global_option(struct command_line *line, struct option option)
{
    if (option_is(option, "root"))
        line->root = option.value;
    else if (option_is(option, "log"))
        line->log = option.value;
    else if (option_is(option, "log-format"))
        line->log_json = option.value && strcmp(option.value, "json") == 0;
    else if (option_is(option, "version") || option_is(option, "v"))
        line->version = true;
}

/* runc's parser (urfave/cli) takes the options of a command before and behind its arguments, exec's before them only. */
struct command_line parse_command_line(int argc, char **argv)
{
    struct command_line line = {.bundle = "."};
    int i = 1;
    for (; i < argc && is_option(argv[i]) && strcmp(argv[i], "--") != 0; i++)
        global_option(&line, take_option(argv, argc, &i, global_values));
    if (i == argc)
        return line;
    line.command = argv[i++];
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_option(argv[i])) {
            struct option option = take_option(argv, argc, &i, command_values);
            if ((option_is(option, "bundle") || option_is(option, "b")) && option.value && *option.value)
                line.bundle = option.value;
        } else if (!line.id) {
            line.id = argv[i];
            if (strcmp(line.command, "exec") == 0)
                break;
        }
    }
    if (!line.id && i + 1 < argc)
        line.id = argv[i + 1];
    return line;
}
