#define _GNU_SOURCE
#include "state_root.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALL_IDS 4294967295UL

/* libcontainer/userns: the initial namespace is the one whose only range is all ids, each mapped to itself. user_namespaces(7) */
static bool in_user_namespace(void)
{
    char text[512];
    unsigned long inside, outside, count;
    int length = 0;
    int file = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false; /* this kernel has no user namespaces */
    ssize_t size = read(file, text, sizeof(text) - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    return sscanf(text, "%lu %lu %lu %n", &inside, &outside, &count, &length) != 3 || text[length] || inside || outside || count != ALL_IDS;
}

/* runc, rootless_linux.go: shouldHonorXDGRuntimeDir(). */
static bool honours_runtime_dir(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *user = getenv("USER");
    if (!runtime || !*runtime)
        return false;
    if (geteuid() != 0)
        return true;
    return in_user_namespace() && (!user || strcmp(user, "root") != 0);
}

const char *runtime_base(void)
{
    if (honours_runtime_dir())
        return *getenv("XDG_RUNTIME_DIR") == '/' ? getenv("XDG_RUNTIME_DIR") : NULL;
    return geteuid() == 0 ? "/run" : NULL;
}

bool default_state_root(char *path, size_t size)
{
    int length = honours_runtime_dir() ? snprintf(path, size, "%s/runc", getenv("XDG_RUNTIME_DIR")) : snprintf(path, size, "/run/runc");
    return length > 0 && (size_t)length < size;
}
