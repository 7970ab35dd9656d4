/*
 * Volumes: files of the host, unprotected. The enclave has checked the path against its measured configuration; here it is only made sure that it stays
 * below the container's root, and never leads through a symbolic link.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ocall.h"
#include "ocall_files.h"
#include "process.h"

#define OPEN_FLAGS_ALLOWED                                                                                                 \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_NOFOLLOW | O_SYNC | O_DSYNC)
#define MODE_ALLOWED 07777U
#define NS_PER_SECOND 1000000000

/* A path's parent directory, opened, and its last component. */
struct place {
    int parent;
    char path[PATH_MAX];
    const char *name;
};

static int64_t find_place(const struct request *call, uint64_t offset, uint64_t length, struct place *place)
{
    int error = take_path(call, offset, length, place->path);
    if (error) {
        return error;
    }
    char *slash = strrchr(place->path, '/');
    place->name = slash ? slash + 1 : place->path;
    if (place->name[0] == '\0' || strcmp(place->name, ".") == 0 || strcmp(place->name, "..") == 0) {
        return -EINVAL;
    }
    if (slash) {
        *slash = '\0';
    }
    place->parent = open_below_root(slash ? place->path : "", O_PATH | O_DIRECTORY, 0);
    return place->parent < 0 ? place->parent : 0;
}

static int64_t finish(int result, const struct place *place)
{
    int64_t answer = result < 0 ? -errno : result;
    close(place->parent);
    return answer;
}

int64_t ocall_volume_open(struct request *call)
{
    char path[PATH_MAX];
    int error = take_path(call, 0, call->arguments[0], path);
    if (error) {
        return error;
    }
    int flags = (int)call->arguments[1];
    if (flags & ~OPEN_FLAGS_ALLOWED & ~(O_CLOEXEC | O_LARGEFILE | O_NOCTTY)) {
        return -EINVAL;
    }
    int descriptor = open_below_root(path, (flags & OPEN_FLAGS_ALLOWED) | O_NOFOLLOW, (unsigned)call->arguments[2] & MODE_ALLOWED);
    return descriptor < 0 ? descriptor : host_descriptor_add(descriptor);
}

int64_t ocall_volume_stat(struct request *call)
{
    struct place place;
    struct stat status;
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    if (error) {
        return error;
    }
    error = finish(fstatat(place.parent, place.name, &status, AT_SYMLINK_NOFOLLOW), &place);
    if (error) {
        return error;
    }
    put_stat(call, &status);
    return 0;
}

int64_t ocall_volume_readlink(struct request *call)
{
    struct place place;
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    return error ? error : finish((int)readlinkat(place.parent, place.name, (char *)call->data, call->arguments[1]), &place);
}

int64_t ocall_volume_list(struct request *call)
{
    int64_t handle = (int64_t)call->arguments[0];
    if (handle <= STDERR_FILENO) {
        return -EINVAL;
    }
    long result = syscall(SYS_getdents64, host_descriptor(handle), call->data, call->arguments[1]);
    return result < 0 ? -errno : result;
}

int64_t ocall_volume_mkdir(struct request *call)
{
    struct place place;
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    return error ? error : finish(mkdirat(place.parent, place.name, (mode_t)call->arguments[1] & MODE_ALLOWED), &place);
}

/* Neither opens anything of the host's: devices are not made. */
int64_t ocall_volume_mknod(struct request *call)
{
    struct place place;
    mode_t mode = (mode_t)call->arguments[1];
    if (!S_ISFIFO(mode) && !S_ISSOCK(mode)) {
        return -EPERM;
    }
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    return error ? error : finish(mknodat(place.parent, place.name, mode & (S_IFMT | MODE_ALLOWED), 0), &place);
}

int64_t ocall_volume_unlink(struct request *call)
{
    struct place place;
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    return error ? error : finish(unlinkat(place.parent, place.name, (int)call->arguments[1] & AT_REMOVEDIR), &place);
}

static int64_t find_two_places(const struct request *call, struct place *from, struct place *to)
{
    int64_t error = find_place(call, 0, call->arguments[0], from);
    if (error) {
        return error;
    }
    error = find_place(call, call->arguments[0], call->arguments[1], to);
    if (error) {
        close(from->parent);
    }
    return error;
}

int64_t ocall_volume_rename(struct request *call)
{
    struct place from, to;
    int64_t error = find_two_places(call, &from, &to);
    if (error) {
        return error;
    }
    error = finish(renameat(from.parent, from.name, to.parent, to.name), &to);
    close(from.parent);
    return error;
}

int64_t ocall_volume_link(struct request *call)
{
    struct place from, to;
    int64_t error = find_two_places(call, &from, &to);
    if (error) {
        return error;
    }
    error = finish(linkat(from.parent, from.name, to.parent, to.name, 0), &to);
    close(from.parent);
    return error;
}

int64_t ocall_volume_symlink(struct request *call)
{
    char target[PATH_MAX];
    struct place place;
    int64_t error = take_path(call, 0, call->arguments[0], target);
    if (!error) {
        error = find_place(call, call->arguments[0], call->arguments[1], &place);
    }
    return error ? error : finish(symlinkat(target, place.parent, place.name), &place);
}

/* Calls that follow links go by the descriptor of a file that was opened without doing so, and is none. */
struct opened {
    int descriptor;
    char link[32];
};

static int64_t open_itself(const struct request *call, struct opened *opened)
{
    char path[PATH_MAX];
    struct stat status;
    int error = take_path(call, 0, call->arguments[0], path);
    if (error) {
        return error;
    }
    opened->descriptor = open_below_root(path, O_PATH | O_NOFOLLOW, 0);
    if (opened->descriptor < 0) {
        return opened->descriptor;
    }
    if (fstat(opened->descriptor, &status) != 0 || S_ISLNK(status.st_mode)) {
        close(opened->descriptor);
        return -EOPNOTSUPP;
    }
    snprintf(opened->link, sizeof(opened->link), "/proc/self/fd/%d", opened->descriptor);
    return 0;
}

static int64_t close_itself(const struct opened *opened, ssize_t result)
{
    int64_t answer = result < 0 ? -errno : result;
    close(opened->descriptor);
    return answer;
}

int64_t ocall_volume_chmod(struct request *call)
{
    struct opened opened;
    int64_t error = open_itself(call, &opened);
    return error ? error : close_itself(&opened, chmod(opened.link, (mode_t)call->arguments[1] & MODE_ALLOWED));
}

#define USER_ATTRIBUTES "user."

static int take_attribute(const struct request *call, uint64_t length, char name[XATTR_NAME_MAX + 1])
{
    if (length > XATTR_NAME_MAX) {
        return -ERANGE;
    }
    memcpy(name, call->data + call->arguments[0], length);
    name[length] = '\0';
    return strncmp(name, USER_ATTRIBUTES, strlen(USER_ATTRIBUTES)) == 0 && strlen(name) == length ? 0 : -EOPNOTSUPP;
}

int64_t ocall_xattr_list(struct request *call)
{
    struct opened opened;
    int64_t error = open_itself(call, &opened);
    return error ? error : close_itself(&opened, listxattr(opened.link, (char *)call->data, call->arguments[1]));
}

int64_t ocall_xattr_get(struct request *call)
{
    struct opened opened;
    char name[XATTR_NAME_MAX + 1];
    int64_t error = take_attribute(call, call->arguments[1], name);
    error = error ? error : open_itself(call, &opened);
    return error ? error : close_itself(&opened, getxattr(opened.link, name, call->data, call->arguments[2]));
}

int64_t ocall_xattr_set(struct request *call)
{
    struct opened opened;
    char name[XATTR_NAME_MAX + 1];
    uint64_t both = call->arguments[1], length = call->arguments[2];
    const uint8_t *value = call->data + call->arguments[0] + length;
    int64_t error = length > both ? -EINVAL : take_attribute(call, length, name);
    error = error ? error : open_itself(call, &opened);
    return error ? error : close_itself(&opened, setxattr(opened.link, name, value, both - length, (int)call->arguments[3]));
}

int64_t ocall_xattr_remove(struct request *call)
{
    struct opened opened;
    char name[XATTR_NAME_MAX + 1];
    int64_t error = take_attribute(call, call->arguments[1], name);
    error = error ? error : open_itself(call, &opened);
    return error ? error : close_itself(&opened, removexattr(opened.link, name));
}

int64_t ocall_volume_chown(struct request *call)
{
    struct place place;
    uint64_t user = call->arguments[1], group = call->arguments[2];
    if (user > UINT32_MAX || group > UINT32_MAX) {
        return -EINVAL;
    }
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    return error ? error : finish(fchownat(place.parent, place.name, (uid_t)user, (gid_t)group, AT_SYMLINK_NOFOLLOW), &place);
}

static struct timespec time_of(int64_t ns)
{
    int64_t seconds = ns / NS_PER_SECOND - (ns % NS_PER_SECOND < 0);
    return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)(ns - seconds * NS_PER_SECOND)};
}

int64_t ocall_volume_utime(struct request *call)
{
    struct place place;
    const struct timespec times[2] = {time_of((int64_t)call->arguments[1]), time_of((int64_t)call->arguments[2])};
    int64_t error = find_place(call, 0, call->arguments[0], &place);
    return error ? error : finish(utimensat(place.parent, place.name, times, AT_SYMLINK_NOFOLLOW), &place);
}
