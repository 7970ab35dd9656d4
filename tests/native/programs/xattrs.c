/* Extended attributes on files in memory (xattr(7)). Prints lists, so that both sides can be compared. */
#define _GNU_SOURCE
#include "check.h"
#include "docker_rights.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_PATH "/dev/shm/xattrs"
#define LINK_PATH "/dev/shm/xattrs-link"
#define DIRECTORY_PATH "/dev/shm/xattrs-directory"

static char value[70000], found[70000];

static int compare(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* In the order of names: that of the list is nobody's promise. */
static void show(const char *path)
{
    char names[4096], *sorted[16];
    size_t count = 0;
    ssize_t size = listxattr(path, names, sizeof names);
    CHECK(size >= 0 && listxattr(path, NULL, 0) == size);
    for (char *at = names; at < names + size; at += strlen(at) + 1) {
        sorted[count++] = at;
    }
    qsort(sorted, count, sizeof sorted[0], compare);
    for (size_t at = 0; at < count; at++) {
        printf("%s %zd\n", sorted[at], getxattr(path, sorted[at], found, sizeof found));
    }
    puts("");
    CHECK(size == 0 || (listxattr(path, names, (size_t)size - 1) == -1 && errno == ERANGE));
}

static void values(void)
{
    CHECK(setxattr(FILE_PATH, "user.one", "1", 1, XATTR_REPLACE) == -1 && errno == ENODATA);
    CHECK(setxattr(FILE_PATH, "user.one", "1", 1, XATTR_CREATE) == 0);
    CHECK(setxattr(FILE_PATH, "user.one", "1", 1, XATTR_CREATE) == -1 && errno == EEXIST);
    CHECK(setxattr(FILE_PATH, "user.one", "one", 3, XATTR_REPLACE) == 0);
    CHECK(setxattr(FILE_PATH, "user.empty", NULL, 0, 0) == 0);
    CHECK(setxattr(FILE_PATH, "user.a-longer-name", value, 1000, 0) == 0);
    CHECK(getxattr(FILE_PATH, "user.one", NULL, 0) == 3 && getxattr(FILE_PATH, "user.empty", found, 9) == 0);
    CHECK(getxattr(FILE_PATH, "user.one", found, 2) == -1 && errno == ERANGE);
    CHECK(getxattr(FILE_PATH, "user.one", found, 9) == 3 && memcmp(found, "one", 3) == 0);
    CHECK(getxattr(FILE_PATH, "user.none", found, 9) == -1 && errno == ENODATA);
    show(FILE_PATH);
    CHECK(setxattr(FILE_PATH, "user.large", value, 65536, 0) == 0);
    CHECK(getxattr(FILE_PATH, "user.large", found, sizeof found) == 65536 && memcmp(found, value, 65536) == 0);
    CHECK(setxattr(FILE_PATH, "user.large", value, 65537, 0) == -1 && errno == E2BIG);
    CHECK(removexattr(FILE_PATH, "user.large") == 0 && removexattr(FILE_PATH, "user.large") == -1 && errno == ENODATA);
    CHECK(removexattr(FILE_PATH, "user.empty") == 0);
    show(FILE_PATH);
}

static void names(void)
{
    char name[300];
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[255] = '\0';
    CHECK(setxattr(FILE_PATH, name, "x", 1, 0) == 0 && getxattr(FILE_PATH, name, found, 9) == 1);
    CHECK(removexattr(FILE_PATH, name) == 0);
    name[255] = 'n';
    name[256] = '\0';
    CHECK(setxattr(FILE_PATH, name, "x", 1, 0) == -1 && errno == ERANGE);
    CHECK(getxattr(FILE_PATH, name, found, 9) == -1 && errno == ERANGE);
    CHECK(setxattr(FILE_PATH, "", "x", 1, 0) == -1 && errno == ERANGE);
    CHECK(setxattr(FILE_PATH, "user.", "x", 1, 0) == -1 && errno == EINVAL);
    CHECK(setxattr(FILE_PATH, "other.name", "x", 1, 0) == -1 && errno == EOPNOTSUPP);
    CHECK(getxattr(FILE_PATH, "other.name", found, 9) == -1 && errno == EOPNOTSUPP);
    CHECK(removexattr(FILE_PATH, "noprefix") == -1 && errno == EOPNOTSUPP);
    CHECK(setxattr(FILE_PATH, "user.x", "x", 1, 4) == -1 && errno == EINVAL);
    CHECK(setxattr(FILE_PATH, "user.x", (void *)1, 1, 0) == -1 && errno == EFAULT);
    CHECK(setxattr(FILE_PATH, (char *)1, "x", 1, 0) == -1 && errno == EFAULT);
    CHECK(setxattr("/dev/shm/xattrs-none", "user.x", "x", 1, 0) == -1 && errno == ENOENT);
    CHECK(setxattr(FILE_PATH, "trusted.x", "x", 1, 0) == -1 && errno == EPERM);
    CHECK(getxattr(FILE_PATH, "trusted.x", found, 9) == -1 && errno == ENODATA);
    CHECK(setxattr(FILE_PATH, "security.x", "x", 1, 0) == -1 && errno == EPERM);
}

static void kinds(void)
{
    int fd = open(FILE_PATH, O_RDONLY), path = open(FILE_PATH, O_PATH);
    CHECK(fsetxattr(fd, "user.fd", "x", 1, 0) == 0 && fgetxattr(fd, "user.fd", found, 9) == 1);
    CHECK(flistxattr(fd, found, sizeof found) > 0 && fremovexattr(fd, "user.fd") == 0);
    CHECK(fsetxattr(path, "user.fd", "x", 1, 0) == -1 && errno == EBADF);
    CHECK(fgetxattr(path, "user.fd", found, 1) == -1 && errno == EBADF && close(path) == 0 && close(fd) == 0);
    CHECK(symlink(FILE_PATH, LINK_PATH) == 0);
    CHECK(lsetxattr(LINK_PATH, "user.x", "x", 1, 0) == -1 && errno == EPERM);
    CHECK(lgetxattr(LINK_PATH, "user.x", found, 1) == -1 && errno == ENODATA);
    CHECK(llistxattr(LINK_PATH, found, sizeof found) == 0);
    CHECK(setxattr(LINK_PATH, "user.through", "xyz", 3, 0) == 0 && getxattr(FILE_PATH, "user.through", found, 9) == 3);
    CHECK(mkdir(DIRECTORY_PATH, 0700) == 0 && setxattr(DIRECTORY_PATH, "user.d", "x", 1, 0) == 0);
    show(DIRECTORY_PATH);
    show(FILE_PATH);
    CHECK(unlink(LINK_PATH) == 0 && rmdir(DIRECTORY_PATH) == 0);
}

int main(void)
{
    for (size_t at = 0; at < sizeof value; at++) {
        value[at] = (char)(at * 7);
    }
    keep_docker_rights();
    CHECK(close(open(FILE_PATH, O_CREAT | O_RDWR, 0600)) == 0);
    values();
    names();
    kinds();
    CHECK(unlink(FILE_PATH) == 0);
    puts("xattrs ok");
}
