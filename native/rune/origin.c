#include "origin.h"

#include <stdio.h>
#include <string.h>

/* As the kernel writes paths: mangle_path(), fs/seq_file.c. */
static bool escape(const char *path, char *escaped, size_t size)
{
    size_t used = 0;
    for (; *path; path++) {
        bool plain = !strchr(" \t\n\\", *path);
        int length = snprintf(escaped + used, size - used, plain ? "%c" : "\\%03o", (unsigned char)*path);
        used += (size_t)length;
        if (used >= size)
            return false;
    }
    return used > 0;
}

static size_t without_slash(const char *path)
{
    size_t length = strlen(path);
    return length - (length > 0 && path[length - 1] == '/');
}

bool find_origin(int folder, const char *path, struct mount *mount, char *below, size_t size)
{
    char escaped[4 * 4096];
    long number = mount_number(folder);
    if (number < 0 || !find_mount(number, mount) || !escape(path, escaped, sizeof(escaped)))
        return false;
    size_t point = without_slash(mount->point);
    if (strncmp(escaped, mount->point, point) != 0 || (escaped[point] != '/' && escaped[point] != 0))
        return false; /* mounted elsewhere */
    int length = snprintf(below, size, "%.*s%s", (int)without_slash(mount->path), mount->path, escaped + point);
    if (length == 0)
        length = snprintf(below, size, "/");
    return (size_t)length < size;
}
