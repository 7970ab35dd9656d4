#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define JSON_LIMIT (16 << 20)

bool map_descriptor(int file, struct json *text)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return false;
    if (!S_ISREG(status.st_mode) || status.st_size > JSON_LIMIT) {
        errno = EFBIG;
        return false;
    }
    if (status.st_size == 0) {
        errno = 0;
        return false;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED)
        return false;
    *text = (struct json){bytes, (const char *)bytes + status.st_size};
    return true;
}

bool map_file(int directory, const char *path, struct json *text)
{
    int file = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        errno = errno == ENOENT || errno == ENOTDIR ? 0 : errno;
        return false;
    }
    bool mapped = map_descriptor(file, text);
    int error = errno;
    close(file);
    errno = error;
    return mapped;
}

bool write_file(int directory, const char *name, struct json text, unsigned mode)
{
    unlinkat(directory, name, 0);
    int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    while (text.at < text.end) {
        ssize_t written = write(file, text.at, (size_t)(text.end - text.at));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        text.at += written;
    }
    bool done = text.at == text.end && fchmod(file, mode) == 0;
    int error = errno;
    close(file);
    errno = error;
    return done;
}
