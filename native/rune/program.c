#define _GNU_SOURCE
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool find_program(const char *list, const char *name, char path[PATH_MAX])
{
    struct stat self, found;
    if (stat("/proc/self/exe", &self) != 0)
        memset(&self, 0, sizeof(self));
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length > 0 && snprintf(path, PATH_MAX, "%.*s/%s", (int)length, list, name) < PATH_MAX && access(path, X_OK) == 0 &&
            stat(path, &found) == 0 && S_ISREG(found.st_mode) && !(found.st_dev == self.st_dev && found.st_ino == self.st_ino))
            return true;
        list += length + (list[length] == ':');
    }
    return false;
}

bool own_path(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

bool find_runc(char path[PATH_MAX])
{
    const char *chosen = getenv("ENCLAVIZE_RUNC");
    if (chosen && *chosen)
        return snprintf(path, PATH_MAX, "%s", chosen) < PATH_MAX;
    return find_program(SAFE_PATH, "runc", path);
}
