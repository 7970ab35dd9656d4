#define _GNU_SOURCE
#include "update.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "container.h"
#include "epc.h"
#include "report.h"

static char **refuse(const struct command_line *line, const char *reason)
{
    report_error(line, reason);
    return NULL;
}

/* OCI runtime-spec, config-linux.md, "Unified": runc writes it to the group, and knows it when it writes others. */
static char *write_resources(const char *limit)
{
    char text[256], *path;
    int size = snprintf(text, sizeof(text), "{\"unified\":{\"misc.max\":\"" EPC_KEY " %s\"}}", limit);
    int file = memfd_create("resources", 0); /* runc opens it */
    bool done = file >= 0 && size > 0 && (size_t)size < sizeof(text) && write(file, text, (size_t)size) == size;
    return done && asprintf(&path, "--resources=/proc/self/fd/%d", file) > 0 ? path : NULL;
}

char **epc_update(const struct command_line *line, char **argv)
{
    struct container_place place;
    struct epc epc;
    if (!is_epc_limit(line->epc_limit))
        return refuse(line, "update: the limit of --sgx-epc is a number of bytes, or max");
    if (!line->epc_alone)
        return refuse(line, "update: --sgx-epc stands alone, once and with one container; of other limits runc is told by another update");
    if (!find_container(line, &place))
        return refuse(line, "update: there is no such container");
    if (!read_epc(place.misc_group, &epc))
        return refuse(line, "update: the kernel does not count the enclave page cache of this container, so it cannot be limited; "
                            "enclavize doctor tells what it lacks");
    int command = line->command_index, count = command + 1;
    char **changed = calloc((size_t)count + 4, sizeof(*changed)), *resources = write_resources(line->epc_limit);
    if (!changed || !resources)
        return refuse(line, "update: the limit cannot be given to runc");
    memcpy(changed, argv, (size_t)count * sizeof(*argv));
    changed[count++] = resources;
    changed[count++] = "--";
    changed[count++] = (char *)line->id;
    return changed;
}
