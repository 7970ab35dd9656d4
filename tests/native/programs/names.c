/* Names and what has none: O_TMPFILE, linkat(2) by descriptor, renameat2(2) with flags, O_PATH. */
#define _GNU_SOURCE
#include "check.h"
#include "docker_rights.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/dev/shm/names"
#define NOREPLACE 1U
#define EXCHANGE 2U
#define WHITEOUT 4U

static int rename_with(const char *old, const char *new, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, flags);
}

static void make(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static int holds(const char *path, const char *text)
{
    char found[64] = "";
    int fd = open(path, O_RDONLY);
    return fd >= 0 && read(fd, found, sizeof found - 1) >= 0 && close(fd) == 0 && strcmp(found, text) == 0;
}

static nlink_t links(const char *path)
{
    struct stat status;
    CHECK(lstat(path, &status) == 0);
    return status.st_nlink;
}

static void unnamed(void)
{
    struct stat status;
    char path[64];
    CHECK(open(".", O_TMPFILE | O_RDONLY, 0600) == -1 && errno == EINVAL);
    CHECK(open(".", O_TMPFILE | O_RDWR | O_CREAT, 0600) == -1 && errno == EINVAL);
    CHECK(open(".", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600) == -1 && errno == EINVAL);
    CHECK(open("none", O_TMPFILE | O_RDWR, 0600) == -1 && errno == ENOENT);
    make("file", "f");
    CHECK(open("file", O_TMPFILE | O_RDWR, 0600) == -1 && errno == ENOTDIR);
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & (O_TMPFILE | O_ACCMODE)) == (O_TMPFILE | O_RDWR));
    CHECK(write(fd, "abc", 3) == 3 && fstat(fd, &status) == 0);
    CHECK(status.st_nlink == 0 && status.st_size == 3 && status.st_mode == (S_IFREG | 0640));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "file", AT_SYMLINK_FOLLOW) == -1 && errno == EEXIST);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_nlink == 1 && holds("linked", "abc"));
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW) == 0 && links("again") == 2);
    CHECK(unlink("linked") == 0 && unlink("again") == 0);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == -1 && errno == ENOENT);
    CHECK(close(fd) == 0);
    fd = open(".", O_TMPFILE | O_EXCL | O_WRONLY, 0600);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == -1 && errno == ENOENT);
    CHECK(close(fd) == 0);
    fd = memfd_create("memory", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == -1 && errno == EXDEV);
    CHECK(linkat(fd, "", AT_FDCWD, "linked", 0) == -1 && errno == ENOENT);
    CHECK(close(fd) == 0 && unlink("file") == 0);
}

static void exchanging(void)
{
    make("one", "1");
    make("two", "2");
    CHECK(mkdir("d", 0700) == 0 && mkdir("d/e", 0700) == 0);
    make("d/e/three", "3");
    CHECK(rename_with("one", "two", EXCHANGE) == 0 && holds("one", "2") && holds("two", "1"));
    CHECK(rename_with("one", "d/e", EXCHANGE) == 0 && holds("one/three", "3") && holds("d/e", "2"));
    CHECK(links("d") == 2 && links(".") == 4);
    CHECK(rename_with("one", "one/three", EXCHANGE) == -1 && errno == EINVAL);
    CHECK(rename_with("one/three", "one", EXCHANGE) == -1 && errno == EINVAL);
    CHECK(rename_with("one", "d", EXCHANGE) == 0 && holds("d/three", "3") && holds("one/e", "2"));
    CHECK(rename_with("one", "none", EXCHANGE) == -1 && errno == ENOENT);
    CHECK(rename_with("none", "one", EXCHANGE) == -1 && errno == ENOENT);
    CHECK(rename_with("two", "two", EXCHANGE) == 0);
    CHECK(symlink("two", "link") == 0 && rename_with("link", "two", EXCHANGE) == 0 && holds("link", "1"));
    CHECK(rename_with("two", "link", NOREPLACE) == -1 && errno == EEXIST);
    CHECK(rename_with("two", "new", NOREPLACE) == 0);
    CHECK(rename_with("link", "new", NOREPLACE | EXCHANGE) == -1 && errno == EINVAL);
    CHECK(rename_with("link", "new", 0x10) == -1 && errno == EINVAL);
    CHECK(rename_with("link", "new", WHITEOUT | EXCHANGE) == -1 && errno == EINVAL);
    CHECK(unlink("one/e") == 0 && rmdir("one") == 0 && unlink("d/three") == 0 && rmdir("d") == 0);
    CHECK(unlink("new") == 0 && unlink("link") == 0 && links(".") == 2);
}

static void paths(void)
{
    char target[300], path[64];
    make("file", "f");
    int fd = open("file", O_PATH | O_RDWR | O_APPEND);
    CHECK(fcntl(fd, F_GETFL) == O_PATH);
    CHECK(read(fd, target, 1) == -1 && errno == EBADF);
    CHECK(fcntl(fd, F_SETFL, 0) == -1 && errno == EBADF && fcntl(fd, F_GET_SEALS) == -1 && errno == EBADF);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR);
    CHECK(again >= 0 && read(again, target, 1) == 1 && target[0] == 'f' && close(again) == 0);
    CHECK(close(fd) == 0 && symlink("file", "link") == 0);
    fd = open("link", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0 && readlinkat(fd, "", target, sizeof target) == 4 && close(fd) == 0);
    CHECK(unlink("file") == 0 && unlink("link") == 0);
    CHECK(mkdir("d", 0700) == 0);
    fd = open("d", O_RDONLY | O_DIRECTORY);
    CHECK(rmdir("d") == 0 && syscall(SYS_getdents64, fd, target, sizeof target) == -1 && errno == ENOENT);
    CHECK(openat(fd, "x", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT && close(fd) == 0);
}

int main(void)
{
    keep_docker_rights();
    umask(022);
    mkdir(ROOT, 0700);
    CHECK(chdir(ROOT) == 0);
    unnamed();
    exchanging();
    paths();
    CHECK(chdir("/") == 0 && rmdir(ROOT) == 0);
    puts("names ok");
}
