/* volumes.h for Gramine: what is in sgx.allowed_files of the manifest, and files in sgx.trusted_files, which the host may bring if they have
 * their hash. It only spares needless warnings: nothing is decided here. */
#define _GNU_SOURCE
#include "volumes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_SIZE_MAX (256 << 20)
#define LIST "\nallowed_files = [\n"
#define ENTRY "    \"file:"
#define FILE_ENTRY "\n[[sgx.trusted_files]]\nuri = \"file:%s\"\n"

static bool read_manifest(int file, struct volumes *volumes)
{
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MANIFEST_SIZE_MAX)
        return false;
    volumes->size = (size_t)status.st_size;
    volumes->configuration = malloc(volumes->size + 1);
    if (!volumes->configuration || read(file, volumes->configuration, volumes->size) != (ssize_t)volumes->size)
        return false;
    volumes->configuration[volumes->size] = '\0';
    return true;
}

struct volumes read_volumes(const char *instance)
{
    struct volumes volumes = {NULL, 0};
    char *path;
    if (asprintf(&path, "%s/app.manifest.sgx", instance) < 0)
        return volumes;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    free(path);
    if (file < 0)
        return volumes;
    if (!read_manifest(file, &volumes))
        free_volumes(&volumes);
    close(file);
    return volumes;
}

static bool is_listed_file(const struct volumes *volumes, const char *path)
{
    char *entry;
    if (!volumes->configuration || asprintf(&entry, FILE_ENTRY, path) < 0)
        return false;
    bool found = strstr(volumes->configuration, entry) != NULL;
    free(entry);
    return found;
}

/* One entry a line, as the manifest's writer has it; names with characters that TOML escapes are not found. */
bool is_volume(const struct volumes *volumes, const char *path)
{
    const char *line = volumes->configuration ? strstr(volumes->configuration, LIST) : NULL;
    for (line = line ? line + sizeof(LIST) - 1 : NULL; line && strncmp(line, ENTRY, sizeof(ENTRY) - 1) == 0;) {
        const char *volume = line + sizeof(ENTRY) - 1;
        size_t length = strcspn(volume, "\"\n");
        if (length > 0 && volume[length - 1] == '/')
            length--;
        if (strncmp(path, volume, length) == 0 && (path[length] == '\0' || path[length] == '/'))
            return true;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return is_listed_file(volumes, path);
}

/* The manifest has them in ways that the runelet does not read. */
bool measured_place(const struct volumes *volumes, uint32_t *uid, char *folder, size_t size)
{
    (void)volumes, (void)uid, (void)folder, (void)size;
    return false;
}

bool has_variable(const struct volumes *volumes, const char *variable)
{
    (void)volumes, (void)variable;
    return true;
}

void free_volumes(struct volumes *volumes)
{
    free(volumes->configuration);
    *volumes = (struct volumes){NULL, 0};
}
