/* Volumes: paths below volume_root, by plain system calls. */
#include "shim_host.h"

static void volume_path(char to[8192], const char *path, size_t length)
{
    join_path(to, volume_root, path, length);
}

int host_volume_open(const char *path, size_t path_length, uint32_t flags, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(open(full, (int)flags, mode));
}

int host_volume_stat(const char *path, size_t path_length, struct host_stat *stat)
{
    char full[8192];
    volume_path(full, path, path_length);
    return stat_at(-100, full, stat, AT_SYMLINK_NOFOLLOW);
}

int64_t host_volume_readlink(const char *path, size_t path_length, char *to, size_t length)
{
    char full[8192];
    volume_path(full, path, path_length);
    return from_errno(syscall(89, full, to, length));
}

int64_t host_volume_list(int fd, void *records, size_t length)
{
    return from_errno(syscall(217, fd, records, length));
}

int host_volume_mkdir(const char *path, size_t path_length, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(83, full, mode));
}

int host_volume_mknod(const char *path, size_t path_length, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(133, full, mode, 0));
}

int host_volume_unlink(const char *path, size_t path_length, uint32_t flags)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(263, -100, full, flags));
}

int host_volume_rename(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    char old_full[8192], new_full[8192];
    volume_path(old_full, old_path, old_length);
    volume_path(new_full, new_path, new_length);
    return (int)from_errno(syscall(82, old_full, new_full));
}

int host_volume_link(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    char old_full[8192], new_full[8192];
    volume_path(old_full, old_path, old_length);
    volume_path(new_full, new_path, new_length);
    return (int)from_errno(syscall(86, old_full, new_full));
}

int host_volume_symlink(const char *target, size_t target_length, const char *path, size_t path_length)
{
    char full[8192], text[8192];
    volume_path(full, path, path_length);
    snprintf(text, sizeof(text), "%.*s", (int)target_length, target);
    return (int)from_errno(syscall(88, text, full));
}

int host_volume_chmod(const char *path, size_t path_length, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(90, full, mode));
}

int host_volume_chown(const char *path, size_t path_length, uint32_t user, uint32_t group)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(94, full, user, group));
}

int host_volume_utime(const char *path, size_t path_length, int64_t atime_ns, int64_t mtime_ns)
{
    (void)path, (void)path_length, (void)atime_ns, (void)mtime_ns;
    return 0;
}

int64_t host_xattr_list(const char *path, size_t path_length, char *to, size_t room)
{
    char full[8192];
    volume_path(full, path, path_length);
    return from_errno(syscall(195, full, to, room));
}

int64_t host_xattr_get(const char *path, size_t path_length, const char *name, void *to, size_t room)
{
    char full[8192];
    volume_path(full, path, path_length);
    return from_errno(syscall(192, full, name, to, room));
}

int host_xattr_set(const char *path, size_t path_length, const char *name, const void *value, size_t size, uint32_t flags)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(189, full, name, value, size, flags));
}

int host_xattr_remove(const char *path, size_t path_length, const char *name)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(198, full, name));
}
