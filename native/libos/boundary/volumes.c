/* Names in volumes. */
#include "boundary/ocall.h"

int host_volume_open(const char *path, size_t path_length, uint32_t flags, uint32_t mode)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_OPEN, path, path_length, flags, mode);
}

int host_volume_stat(const char *path, size_t path_length, struct host_stat *stat)
{
    return (int)ocall_with_path(stat, OCALL_VOLUME_STAT, path, path_length, 0, 0);
}

int64_t host_volume_readlink(const char *path, size_t path_length, char *to, size_t length)
{
    return ocall_with_path(to, OCALL_VOLUME_READLINK, path, path_length, at_most_data(length), 0);
}

int64_t host_volume_list(int fd, void *records, size_t length)
{
    return ocall_make(records, OCALL_VOLUME_LIST, (uint64_t)fd, at_most_data(length), 0, 0);
}

int host_volume_mkdir(const char *path, size_t path_length, uint32_t mode)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_MKDIR, path, path_length, mode, 0);
}

int host_volume_mknod(const char *path, size_t path_length, uint32_t mode)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_MKNOD, path, path_length, mode, 0);
}

int host_volume_unlink(const char *path, size_t path_length, uint32_t flags)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_UNLINK, path, path_length, flags, 0);
}

int host_volume_chmod(const char *path, size_t path_length, uint32_t mode)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_CHMOD, path, path_length, mode, 0);
}

int host_volume_chown(const char *path, size_t path_length, uint32_t user, uint32_t group)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_CHOWN, path, path_length, user, group);
}

int host_volume_utime(const char *path, size_t path_length, int64_t atime_ns, int64_t mtime_ns)
{
    return (int)ocall_with_path(NULL, OCALL_VOLUME_UTIME, path, path_length, (uint64_t)atime_ns, (uint64_t)mtime_ns);
}

static bool put_two(const char *first, size_t first_length, const void *second, size_t second_length)
{
    bool fits = first_length <= EXCHANGE_DATA_SIZE && second_length <= EXCHANGE_DATA_SIZE - first_length;
    if (fits) {
        exchange_put(0, first, first_length);
        exchange_put(first_length, second, second_length);
    }
    return fits;
}

static int call_two_paths(enum ocall number, const char *first, size_t first_length, const char *second, size_t second_length)
{
    return put_two(first, first_length, second, second_length) ? (int)ocall_make(NULL, number, first_length, second_length, 0, 0) : -ENAMETOOLONG;
}

int host_volume_rename(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    return call_two_paths(OCALL_VOLUME_RENAME, old_path, old_length, new_path, new_length);
}

int host_volume_link(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    return call_two_paths(OCALL_VOLUME_LINK, old_path, old_length, new_path, new_length);
}

int host_volume_symlink(const char *target, size_t target_length, const char *path, size_t path_length)
{
    return call_two_paths(OCALL_VOLUME_SYMLINK, target, target_length, path, path_length);
}

int64_t host_xattr_list(const char *path, size_t path_length, char *to, size_t room)
{
    return ocall_with_path(to, OCALL_XATTR_LIST, path, path_length, at_most_data(room), 0);
}

int64_t host_xattr_get(const char *path, size_t path_length, const char *name, void *to, size_t room)
{
    size_t length = strlen(name);
    return put_two(path, path_length, name, length) ? ocall_make(to, OCALL_XATTR_GET, path_length, length, at_most_data(room), 0) : -ENAMETOOLONG;
}

int host_xattr_set(const char *path, size_t path_length, const char *name, const void *value, size_t size, uint32_t flags)
{
    size_t length = strlen(name);
    if (!put_two(path, path_length, name, length) || size > EXCHANGE_DATA_SIZE - path_length - length) {
        return -E2BIG;
    }
    exchange_put(path_length + length, value, size);
    return (int)ocall_make(NULL, OCALL_XATTR_SET, path_length, length + size, length, flags);
}

int host_xattr_remove(const char *path, size_t path_length, const char *name)
{
    return call_two_paths(OCALL_XATTR_REMOVE, path, path_length, name, strlen(name));
}
