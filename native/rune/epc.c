#define _GNU_SOURCE
#include "epc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT "max"
#define FILE_SIZE 4096 /* a line for each resource that the kernel counts, of which there are few */

static bool read_whole(int folder, const char *name, char text[FILE_SIZE])
{
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, FILE_SIZE - 1);
    if (file >= 0)
        close(file);
    text[size > 0 ? size : 0] = 0;
    return size >= 0;
}

static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

static bool read_limit(const char *text, uint64_t *number)
{
    if (strcmp(text, NO_LIMIT) != 0)
        return read_number(text, number);
    *number = UINT64_MAX;
    return true;
}

/* The value of the line "KEY VALUE". */
static bool find_value(int folder, const char *file, const char *key, bool (*read)(const char *text, uint64_t *number), uint64_t *value)
{
    char text[FILE_SIZE], *rest = text, *line;
    if (!read_whole(folder, file, text))
        return false;
    while ((line = strsep(&rest, "\n"))) {
        char *name = strsep(&line, " ");
        if (line && strcmp(name, key) == 0)
            return read(line, value);
    }
    return false;
}

bool read_epc(const char *group, struct epc *epc)
{
    *epc = (struct epc){.limit = UINT64_MAX};
    int folder = *group ? open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder < 0)
        return false;
    bool done = find_value(folder, "misc.current", EPC_KEY, read_number, &epc->usage) && find_value(folder, "misc.max", EPC_KEY, read_limit, &epc->limit);
    if (done && !find_value(folder, "misc.events", EPC_KEY ".max", read_number, &epc->failures))
        epc->failures = 0; /* kernels before 5.16 do not tell */
    close(folder);
    return done;
}

bool is_epc_limit(const char *text)
{
    uint64_t number;
    return read_limit(text, &number);
}
