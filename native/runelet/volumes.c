#define _GNU_SOURCE
#include "volumes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi.h"

#define ENCLAVE_FILE_PAGES 0x4000U /* 64 MiB: a search has to end somewhere */

/* The configuration lies in a segment of its own, thus at the start of a page of the file. */
static bool read_configuration(int file, struct volumes *volumes)
{
    struct configuration_header header;
    for (unsigned page = 0; page < ENCLAVE_FILE_PAGES; page++) {
        off_t offset = (off_t)(page * PAGE_SIZE);
        if (pread(file, &header, sizeof(header), offset) != (ssize_t)sizeof(header))
            return false;
        if (memcmp(header.magic, CONFIGURATION_MAGIC, sizeof(header.magic)) != 0 || header.version != CONFIGURATION_VERSION ||
            header.size < sizeof(header) || header.size > CONFIGURATION_SIZE)
            continue;
        volumes->size = header.size - sizeof(header);
        volumes->configuration = malloc(volumes->size + 1);
        return volumes->configuration && pread(file, volumes->configuration, volumes->size, offset + (off_t)sizeof(header)) ==
                                             (ssize_t)volumes->size;
    }
    return false;
}

struct volumes read_volumes(const char *instance)
{
    struct volumes volumes = {NULL, 0};
    char *path;
    if (asprintf(&path, "%s/enclave.signed.so", instance) < 0)
        return volumes;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (file < 0)
        return volumes;
    if (!read_configuration(file, &volumes))
        free_volumes(&volumes);
    close(file);
    return volumes;
}

/* Take the record at `*at`. False at the end, and where the records end badly. */
static bool next_record(const struct volumes *volumes, size_t *at, struct configuration_entry *entry, const char **value)
{
    if (volumes->size - *at < sizeof(*entry))
        return false;
    memcpy(entry, volumes->configuration + *at, sizeof(*entry));
    *at += sizeof(*entry);
    if (entry->size > volumes->size - *at)
        return false;
    *value = volumes->configuration + *at;
    size_t padded = ((size_t)entry->size + 7) & ~(size_t)7;
    *at = padded > volumes->size - *at ? volumes->size : *at + padded;
    return true;
}

bool is_volume(const struct volumes *volumes, const char *path)
{
    struct configuration_entry entry;
    const char *volume;
    for (size_t at = 0; next_record(volumes, &at, &entry, &volume);) {
        if (entry.type == CONFIGURATION_VOLUME && strncmp(path, volume, entry.size) == 0 && strlen(path) >= entry.size &&
            (path[entry.size] == 0 || path[entry.size] == '/'))
            return true;
    }
    return false;
}

bool measured_place(const struct volumes *volumes, uint32_t *uid, char *folder, size_t size)
{
    struct configuration_entry entry;
    const char *value;
    *uid = 0;
    snprintf(folder, size, "/");
    for (size_t at = 0; next_record(volumes, &at, &entry, &value);) {
        if (entry.type == CONFIGURATION_USER && entry.size >= sizeof(*uid))
            memcpy(uid, value, sizeof(*uid));
        else if (entry.type == CONFIGURATION_WORKING_DIRECTORY)
            snprintf(folder, size, "%.*s", (int)entry.size, value);
    }
    return volumes->configuration != NULL;
}

bool has_variable(const struct volumes *volumes, const char *variable)
{
    struct configuration_entry entry;
    const char *value;
    size_t whole = strlen(variable), name = strcspn(variable, "=");
    for (size_t at = 0; next_record(volumes, &at, &entry, &value);) {
        size_t wanted = entry.type == CONFIGURATION_ENVIRONMENT ? whole : entry.type == CONFIGURATION_ALLOWED_ENVIRONMENT ? name : 0;
        if (wanted > 0 && entry.size == wanted && memcmp(value, variable, wanted) == 0)
            return true;
    }
    return !volumes->configuration;
}

void free_volumes(struct volumes *volumes)
{
    free(volumes->configuration);
    *volumes = (struct volumes){NULL, 0};
}
