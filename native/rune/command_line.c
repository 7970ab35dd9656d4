#include "command_line.h"

#include <stddef.h>
#include <string.h>

/* Options of runc up to 1.3. Which of them take a value decides where the next option begins, so an unknown one is unclear. */
static const char *const global_values[] = {"log", "log-format", "root", "criu", "rootless", "config", "plan", "parent", "node-socket", NULL};
static const char *const global_switches[] = {"debug", "systemd-cgroup", "help", "h", "version", "v", "simulate", "kept-plan", NULL};
static const char *const command_values[] = {
    /* create, run */ "b", "bundle", "console-socket", "pid-file", "pidfd-socket", "preserve-fds",
    /* exec */ "additional-gids", "apparmor", "c", "cap", "cgroup", "cwd", "e", "env", "g", "p", "process", "process-label", "u", "user",
    /* checkpoint, restore */ "empty-ns", "image-path", "lsm-mount-context", "lsm-profile", "manage-cgroups-mode", "page-server",
    "parent-path", "status-fd", "work-path",
    /* attest, which is rune's own */ "target-info", "report-file", NULL};
static const char *const command_switches[] = {
    "help", "h", /* create, run */ "d", "detach", "keep", "no-new-keyring", "no-pivot", "no-subreaper",
    /* exec */ "ignore-paused", "no-new-privs", "t", "tty",
    /* checkpoint, restore */ "auto-dedup", "ext-unix-sk", "file-locks", "lazy-pages", "leave-running", "link-remap", "pre-dump",
    "shell-job", "tcp-established", "tcp-skip-in-flight", NULL};

/* events, update: others are runc's affair. */
static const char *const further_values[] = {
    "interval", /* update */ "blkio-weight", "cpu-burst", "cpu-idle", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-share", "cpuset-cpus",
    "cpuset-mems", "kernel-memory", "kernel-memory-tcp", "l3-cache-schema", "mem-bw-schema", "memory", "memory-reservation", "memory-swap",
    "pids-limit", "r", "resources", "sgx-epc", NULL};
static const char *const further_switches[] = {"help", "h", "stats", NULL};

struct option_names {
    const char *const *values, *const *switches;
    bool reordered; /* urfave/cli's reorderArgs() takes an argument that begins with a dash for an option, even where a value is due */
};

struct option {
    const char *name; /* without its one or two dashes */
    size_t length;
    const char *value; /* NULL for a switch */
};

bool is_judged(const char *command)
{
    static const char *const judged[] = {"create", "run", "start", "exec", "checkpoint", "restore", "attest"};
    for (size_t i = 0; i < sizeof(judged) / sizeof(*judged); i++) {
        if (strcmp(command, judged[i]) == 0)
            return true;
    }
    return false;
}

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != 0;
}

static bool option_is(struct option option, const char *name)
{
    return option.length == strlen(name) && memcmp(option.name, name, option.length) == 0;
}

static bool is_among(struct option option, const char *const *names)
{
    for (; *names; names++) {
        if (option_is(option, *names))
            return true;
    }
    return false;
}

/* Read the option at argv[*index], and step over its value where that is an argument of its own. */
static struct option take_option(struct command_line *line, char **argv, int argc, int *index, struct option_names names)
{
    const char *argument = argv[*index], *name = argument + 1;
    name += *name == '-';
    struct option option = {.name = name, .length = strcspn(name, "=")};
    if (name[option.length] == '=')
        option.value = name + option.length + 1;
    else if (!is_among(option, names.values))
        line->unclear = is_among(option, names.switches) ? line->unclear : argument;
    else if (*index + 1 < argc) {
        option.value = argv[++*index];
        if (names.reordered && option.value[0] == '-')
            line->unclear = argument;
    }
    return option;
}

/* Whether an option is rune's own, which runc does not know. `argument` is the option as it was given. */
static bool own_option(struct command_line *line, struct option option, const char *argument)
{
    const struct {
        const char *name;
        const char **value;
    } values[] = {{"config", &line->config}, {"plan", &line->plan}, {"parent", &line->parent}, {"node-socket", &line->node}};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        if (option_is(option, values[i].name)) {
            *values[i].value = option.value;
            line->unclear = option.value && *option.value ? line->unclear : argument;
            return true;
        }
    }
    const struct {
        const char *name;
        bool *is_given;
    } switches[] = {{"simulate", &line->simulate}, {"kept-plan", &line->kept_plan}};
    for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
        if (option_is(option, switches[i].name)) {
            *switches[i].is_given = true;
            line->unclear = option.value ? argument : line->unclear; /* --simulate=false says nothing */
            return true;
        }
    }
    return false;
}

static void global_option(struct command_line *line, struct option option, const char *argument)
{
    if (option_is(option, "root"))
        line->root = option.value;
    else if (option_is(option, "log"))
        line->log = option.value;
    else if (option_is(option, "log-format"))
        line->log_json = option.value && strcmp(option.value, "json") == 0;
    else if (option_is(option, "version") || option_is(option, "v")) {
        line->version = true;
        line->unclear = option.value ? argument : line->unclear; /* --version=false says nothing, and the command runs */
    }
}

/* An empty one is none to runc. Of several the last one counts, and of -p and --process together none: they are not for rune to understand. */
static void process_option(struct command_line *line, struct option option, const char *argument, int index)
{
    if (line->process)
        line->unclear = argument;
    line->process = option.value && *option.value ? option.value : NULL;
    line->process_index = index;
}

/* runc's parser (urfave/cli) takes the options of a command before and behind its arguments, exec's before them only. */
static void parse_command(struct command_line *line, int argc, char **argv, int i)
{
    bool is_exec = strcmp(line->command, "exec") == 0;
    struct option_names names = {command_values, command_switches, .reordered = !is_exec};
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_option(argv[i])) {
            const char *argument = argv[i];
            struct option option = take_option(line, argv, argc, &i, names);
            if (option_is(option, "bundle") || option_is(option, "b"))
                line->bundle = option.value && *option.value ? option.value : ".";
            else if (option_is(option, "target-info"))
                line->target_info = option.value;
            else if (option_is(option, "report-file"))
                line->report_file = option.value;
            else if (is_exec && (option_is(option, "process") || option_is(option, "p")))
                process_option(line, option, argument, i);
        } else if (!line->id) {
            line->id = argv[i];
            line->id_index = i;
            if (is_exec)
                return;
        }
    }
    if (!line->id && i + 1 < argc) {
        line->id = argv[i + 1];
        line->id_index = i + 1;
    }
}

/* Find the container of `events` and `update`, and --sgx-epc. Where an option is not understood, nothing is: runc says what it thinks of it. */
static void parse_further(struct command_line *line, int argc, char **argv, int i)
{
    struct command_line found = *line;
    const struct option_names names = {further_values, further_switches, .reordered = true};
    int options = 0, arguments = 0;
    bool is_update = strcmp(line->command, "update") == 0, no_more = false;
    for (; i < argc; i++) {
        if (!no_more && strcmp(argv[i], "--") == 0) {
            no_more = true;
        } else if (!no_more && is_option(argv[i])) {
            struct option option = take_option(&found, argv, argc, &i, names);
            options++;
            if (is_update && option_is(option, "sgx-epc"))
                found.epc_limit = option.value ? option.value : "";
        } else {
            found.id = arguments++ == 0 ? argv[i] : found.id;
        }
    }
    found.epc_alone = options == 1 && arguments == 1;
    if (!found.unclear)
        *line = found;
}

struct command_line parse_command_line(int argc, char **argv)
{
    struct command_line line = {.bundle = "."};
    struct option_names names = {global_values, global_switches, .reordered = false};
    int i = 1;
    for (; i < argc && is_option(argv[i]); i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        const char *argument = argv[i];
        int first = i;
        struct option option = take_option(&line, argv, argc, &i, names);
        if (own_option(&line, option, argument)) {
            memmove(argv + first, argv + i + 1, (size_t)(argc - i) * sizeof(*argv)); /* with the NULL at the end */
            argc -= i + 1 - first;
            i = first - 1;
        } else {
            global_option(&line, option, argument);
        }
    }
    if (i >= argc)
        return line;
    line.command = argv[i];
    line.command_index = i;
    if (is_judged(line.command))
        parse_command(&line, argc, argv, i + 1);
    else if (strcmp(line.command, "events") == 0 || strcmp(line.command, "update") == 0)
        parse_further(&line, argc, argv, i + 1);
    return line;
}
