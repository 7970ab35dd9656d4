/*
 * Opening files below the container's root. openat2 does it in one step (Linux 5.6); where it is missing or forbidden, every component is opened by itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ocall_files.h"
#include "process.h"

static bool openat2_is_missing;

static int open_resolved(const char *path, int flags, unsigned mode, uint64_t resolve)
{
    const struct open_how how = {
        .flags = (uint64_t)(uint32_t)flags,
        .mode = (flags & O_CREAT) ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
    };
    for (int attempt = 0;; attempt++) {
        long fd = syscall(SYS_openat2, process.root, path, &how, sizeof(how));
        if (fd >= 0) {
            return (int)fd;
        }
        if (errno != EAGAIN || attempt == 16) { /* EAGAIN: something was renamed meanwhile */
            return -errno;
        }
    }
}

/* Without openat2: component after component, no links anywhere. */
static int open_stepwise(const char *path, int flags, unsigned mode)
{
    int directory = fcntl(process.root, F_DUPFD_CLOEXEC, 0);
    const char *rest = path;
    while (directory >= 0) {
        char name[256];
        size_t length = strcspn(rest, "/");
        bool last = rest[length] == '\0';
        if (length >= sizeof(name)) {
            close(directory);
            return -ENAMETOOLONG;
        }
        memcpy(name, rest, length);
        name[length] = '\0';
        int next = last ? openat(directory, length ? name : ".", flags | O_NOFOLLOW, mode)
                        : openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(directory);
        if (next < 0) {
            return -error;
        }
        if (last) {
            return next;
        }
        directory = next;
        rest += length + 1;
    }
    return -errno;
}

static bool is_plain(const char *path)
{
    for (const char *rest = path;;) {
        size_t length = strcspn(rest, "/");
        if ((length == 1 && rest[0] == '.') || (length == 2 && rest[0] == '.' && rest[1] == '.')) {
            return false;
        }
        if (rest[length] == '\0') {
            return path[0] != '/';
        }
        rest += length + 1;
    }
}

int open_below_root(const char *path, int flags, unsigned mode)
{
    flags |= O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY); /* openat2 refuses flags that O_PATH would ignore */
    if (!is_plain(path)) {
        return -EINVAL;
    }
    if (!openat2_is_missing) {
        int fd = open_resolved(*path ? path : ".", flags, mode, RESOLVE_NO_SYMLINKS);
        if (fd != -ENOSYS && fd != -EPERM) {
            return fd;
        }
        openat2_is_missing = fd == -ENOSYS;
    }
    return open_stepwise(path, flags, mode);
}

int open_in_root(const char *path, int flags)
{
    int fd = openat2_is_missing ? -ENOSYS : open_resolved(path, flags | O_CLOEXEC | O_NOCTTY, 0, 0);
    return fd == -ENOSYS || fd == -EPERM ? open_below_root(path, flags, 0) : fd;
}
