#define _GNU_SOURCE
#include "exec.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "json.h"

#define PREFIX_COUNT 3
static char *const prefix[PREFIX_COUNT] = {RUNELET, "exec", "--"};
static const char prefix_json[] = "\"" RUNELET "\",\"exec\",\"--\",";

static bool write_all(int file, const char *at, const char *end)
{
    while (at < end) {
        ssize_t written = write(file, at, (size_t)(end - at));
        if (written <= 0)
            return false;
        at += written;
    }
    return true;
}

static bool is_word(struct json value, const char *word)
{
    char text[sizeof(RUNELET)];
    return json_string(value, text, sizeof(text)) && strcmp(text, word) == 0;
}

/* Health checks of TEE images name the runelet already. */
static bool is_for_enclave(struct json list)
{
    struct json word;
    return json_element(&list, &word) == JSON_FOUND && is_word(word, prefix[0]) && json_element(&list, &word) == JSON_FOUND &&
           is_word(word, prefix[1]);
}

static bool is_empty(struct json list)
{
    struct json word;
    return json_element(&list, &word) != JSON_FOUND;
}

/* A copy of the process with another command, in a file without a name: the path that runc gets; NULL: not understood. */
static char *change_process(const char *path)
{
    struct json process, list;
    char *name;
    if (!map_file(AT_FDCWD, path, &process) || json_member(process, "args", &list) != JSON_FOUND || *list.at != '[')
        return NULL;
    int file = memfd_create("process", 0);
    const char *first = list.at + 1;
    bool keeps = is_empty(list) || is_for_enclave(list);
    bool done = file >= 0 && write_all(file, process.at, first) &&
                (keeps || write_all(file, prefix_json, prefix_json + sizeof(prefix_json) - 1)) && write_all(file, first, process.end);
    return done && asprintf(&name, "/proc/self/fd/%d", file) > 0 ? name : NULL;
}

static char **change_file(const struct command_line *line, char **argv)
{
    char *path = change_process(line->process), *argument = argv[line->process_index];
    size_t option = (size_t)(line->process - argument); /* 0: the value stands alone */
    if (!path || (option > 0 && asprintf(&path, "%.*s%s", (int)option, argument, path) < 0))
        return NULL;
    argv[line->process_index] = path;
    return argv;
}

static char **change_words(const struct command_line *line, char **argv)
{
    int count = 0, command = line->id_index + 1;
    while (argv[count])
        count++;
    bool is_missing = !line->id || !argv[command];
    if (is_missing || (strcmp(argv[command], prefix[0]) == 0 && argv[command + 1] && strcmp(argv[command + 1], prefix[1]) == 0))
        return argv;
    char **changed = calloc((size_t)count + PREFIX_COUNT + 1, sizeof(*changed));
    if (changed) {
        memcpy(changed, argv, (size_t)command * sizeof(*argv));
        memcpy(changed + command, prefix, sizeof(prefix));
        memcpy(changed + command + PREFIX_COUNT, argv + command, (size_t)(count - command) * sizeof(*argv));
    }
    return changed;
}

char **enclave_exec(const struct command_line *line, char **argv, const char **reason)
{
    *reason = line->process ? "the file of --process" : "the command line";
    return line->process ? change_file(line, argv) : change_words(line, argv);
}
