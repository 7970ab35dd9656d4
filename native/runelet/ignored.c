#define _GNU_SOURCE
#include "ignored.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "message.h"
#include "volumes.h"

#define LIST_SIZE 2048

struct list {
    char text[LIST_SIZE];
    size_t used;
};

/* What does not fit is left out: one line is enough to tell. */
__attribute__((format(printf, 3, 4))) static void add(struct list *list, const char *separator, const char *format, ...)
{
    va_list arguments;
    size_t start = list->used;
    int length = snprintf(list->text + start, LIST_SIZE - start, "%s", start ? separator : "");
    va_start(arguments, format);
    int more = vsnprintf(list->text + start + length, LIST_SIZE - start - (size_t)length, format, arguments);
    va_end(arguments);
    if (more > 0 && start + (size_t)(length + more) + 4 < LIST_SIZE)
        list->used += (size_t)(length + more);
    list->text[list->used] = 0;
}

/* Root and "/" are what a container has whose image and user name none. */
static void add_place(struct list *list, const struct volumes *volumes)
{
    char folder[PATH_MAX], measured[PATH_MAX];
    uint32_t uid;
    if (!measured_place(volumes, &uid, measured, sizeof(measured)))
        return;
    if (getuid() != 0 && getuid() != uid)
        add(list, ", ", "user %u", (unsigned)getuid());
    if (getcwd(folder, sizeof(folder)) && strcmp(folder, "/") != 0 && strcmp(folder, measured) != 0)
        add(list, ", ", "working directory %s", folder);
}

static void add_variables(struct list *list, const struct volumes *volumes, char **environment)
{
    const char *lead = "variables ";
    for (; *environment; environment++) {
        if (has_variable(volumes, *environment))
            continue;
        add(list, *lead ? ", " : " ", "%s%.*s", lead, (int)strcspn(*environment, "="), *environment);
        lead = "";
    }
}

void warn_of_ignored_settings(char **environment, const char *instance, bool is_verbose)
{
    struct volumes volumes = read_volumes(instance);
    struct list chosen = {.used = 0}, usual = {.used = 0};
    struct utsname name;
    add_place(&chosen, &volumes);
    if (chosen.used > 0)
        warning_message("of this container the enclave does not use: %s; a build decides that", chosen.text);
    if (is_verbose) {
        if (uname(&name) == 0 && volumes.configuration)
            add(&usual, ", ", "host name %s", name.nodename);
        add_variables(&usual, &volumes, environment);
    }
    if (usual.used > 0)
        info_message("of this container the enclave does not use: %s; --allow-env of a build lets variables in", usual.text);
    free_volumes(&volumes);
}
