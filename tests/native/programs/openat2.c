/* openat2(2): paths that must not lead anywhere else. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NO_XDEV = 1, NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16, CACHED = 32 };
#define SYS_openat2_ 437

struct how {
    uint64_t flags, mode, resolve, later;
};
static struct how how;

static int open2(int folder, const char *path, uint64_t flags, uint64_t resolve)
{
    how = (struct how){flags, flags & O_CREAT ? 0600 : 0, resolve, 0};
    return (int)syscall(SYS_openat2_, folder, path, &how, 24L);
}

static void opens(int folder, const char *path, uint64_t resolve)
{
    int fd = open2(folder, path, O_RDONLY, resolve);
    if (fd < 0) {
        fprintf(stderr, "%s with %d: %s\n", path, (int)resolve, strerror(errno));
        exit(1);
    }
    close(fd);
}

static void make_tree(void)
{
    char link[128];
    CHECK(mkdir("/tmp/t", 0700) == 0 && mkdir("/tmp/t/in", 0700) == 0 && mkdir("/tmp/t/in/deep", 0700) == 0);
    CHECK(close(creat("/tmp/t/out", 0600)) == 0 && close(creat("/tmp/t/in/file", 0600)) == 0);
    CHECK(symlink("file", "/tmp/t/in/link") == 0 && symlink("../out", "/tmp/t/in/leaves") == 0);
    CHECK(symlink("/file", "/tmp/t/in/absolute") == 0 && symlink("deep/../file", "/tmp/t/in/around") == 0);
    CHECK(symlink("/", "/tmp/t/in/root") == 0 && symlink("../../../../file", "/tmp/t/in/up") == 0);
    snprintf(link, sizeof link, "/proc/self/cwd");
    CHECK(symlink(link, "/tmp/t/in/magic") == 0);
}

static void arguments(int folder)
{
    FAILS(syscall(SYS_openat2_, folder, "file", &how, 23L), EINVAL);
    FAILS(syscall(SYS_openat2_, folder, "file", &how, 0L), EINVAL);
    FAILS(syscall(SYS_openat2_, folder, "file", (void *)8, 24L), EFAULT);
    how = (struct how){.flags = O_RDONLY};
    int fd = (int)syscall(SYS_openat2_, folder, "file", &how, sizeof how);
    CHECK(fd >= 0 && close(fd) == 0);
    how.later = 1;
    FAILS(syscall(SYS_openat2_, folder, "file", &how, sizeof how), E2BIG);
    how = (struct how){.flags = O_RDONLY, .mode = 0600};
    FAILS(syscall(SYS_openat2_, folder, "file", &how, 24L), EINVAL);
    how = (struct how){.flags = O_RDWR | O_CREAT, .mode = 0170000};
    FAILS(syscall(SYS_openat2_, folder, "file", &how, 24L), EINVAL);
    FAILS(open2(folder, "file", 1UL << 40, 0), EINVAL);
    FAILS(open2(folder, "file", 0x80000000, 0), EINVAL);
    FAILS(open2(folder, "file", O_RDONLY, 64), EINVAL);
    FAILS(open2(folder, "file", O_RDONLY, BENEATH | IN_ROOT), EINVAL);
    FAILS(open2(folder, "file", O_PATH | O_RDWR, 0), EINVAL);
    FAILS(open2(folder, ".", O_TMPFILE | O_RDONLY, 0), EINVAL);
    FAILS(open2(folder, "", O_RDONLY, 0), ENOENT);
    FAILS(open2(999, "file", O_RDONLY, 0), EBADF);
    FAILS(open2(folder, "new", O_RDWR | O_CREAT, CACHED), EAGAIN);
    FAILS(open2(folder, "file", O_RDWR | O_TRUNC, CACHED), EAGAIN);
    CHECK((fd = open2(folder, "new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, BENEATH)) >= 0);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && close(fd) == 0 && unlinkat(folder, "new", 0) == 0);
}

static void links(int folder)
{
    opens(folder, "link", 0);
    FAILS(open2(folder, "link", O_RDONLY, NO_SYMLINKS), ELOOP);
    int fd = open2(folder, "link", O_PATH | O_NOFOLLOW, NO_SYMLINKS);
    CHECK(fd >= 0 && close(fd) == 0);
    FAILS(open2(folder, "root/tmp", O_RDONLY, NO_SYMLINKS), ELOOP);
    opens(folder, "link", NO_MAGICLINKS);
    FAILS(open2(AT_FDCWD, "/proc/self/exe", O_RDONLY, NO_MAGICLINKS), ELOOP);
    FAILS(open2(AT_FDCWD, "/proc/self/cwd/tmp", O_RDONLY, NO_MAGICLINKS), ELOOP);
    opens(AT_FDCWD, "/proc/self/status", NO_MAGICLINKS);
    FAILS(open2(AT_FDCWD, "/proc/self/status", O_RDONLY, NO_SYMLINKS), ELOOP);
    FAILS(open2(folder, "magic", O_RDONLY, NO_MAGICLINKS), ELOOP);
}

static void mounts(int folder)
{
    opens(folder, "file", NO_XDEV);
    opens(folder, "../in/file", NO_XDEV);
    FAILS(open2(AT_FDCWD, "/proc/self", O_RDONLY, NO_XDEV), EXDEV);
    int proc = open("/proc", O_RDONLY | O_DIRECTORY);
    opens(proc, "self/status", NO_XDEV);
    FAILS(open2(proc, "..", O_RDONLY, NO_XDEV), EXDEV);
    FAILS(open2(proc, "self/root", O_RDONLY, NO_XDEV), EXDEV);
    FAILS(open2(proc, "self/exe", O_RDONLY, NO_XDEV), EXDEV);
    CHECK(close(proc) == 0);
    opens(AT_FDCWD, "/", NO_XDEV);
}

static void beneath(int folder)
{
    opens(folder, "file", BENEATH);
    opens(folder, "deep/../file", BENEATH);
    opens(folder, "link", BENEATH);
    opens(folder, "around", BENEATH);
    opens(folder, ".", BENEATH);
    FAILS(open2(folder, "..", O_RDONLY, BENEATH), EXDEV);
    FAILS(open2(folder, "../in/file", O_RDONLY, BENEATH), EXDEV);
    FAILS(open2(folder, "/tmp/t/in/file", O_RDONLY, BENEATH), EXDEV);
    FAILS(open2(folder, "leaves", O_RDONLY, BENEATH), EXDEV);
    FAILS(open2(folder, "absolute", O_RDONLY, BENEATH), EXDEV);
    FAILS(open2(folder, "missing", O_RDONLY, BENEATH), ENOENT);
    int proc = open("/proc/self", O_RDONLY | O_DIRECTORY);
    FAILS(open2(proc, "exe", O_RDONLY, BENEATH), EXDEV);
    FAILS(open2(proc, "exe", O_RDONLY, IN_ROOT), EXDEV);
    CHECK(close(proc) == 0);
    int file = open("/tmp/t/in/file", O_RDONLY);
    FAILS(open2(file, "x", O_RDONLY, BENEATH), ENOTDIR);
    CHECK(close(file) == 0);
}

static void in_root(int folder)
{
    struct stat one, other;
    opens(folder, "/file", IN_ROOT);
    opens(folder, "../../file", IN_ROOT);
    opens(folder, "absolute", IN_ROOT);
    opens(folder, "up", IN_ROOT);
    opens(folder, "root/deep/../../../root/file", IN_ROOT);
    FAILS(open2(folder, "leaves", O_RDONLY, IN_ROOT), ENOENT);
    FAILS(open2(folder, "/tmp", O_RDONLY, IN_ROOT), ENOENT);
    int fd = open2(folder, "/..", O_RDONLY, IN_ROOT);
    CHECK(fd >= 0 && fstat(fd, &one) == 0 && fstat(folder, &other) == 0 && one.st_ino == other.st_ino && close(fd) == 0);
    CHECK(chdir("/tmp/t/in") == 0);
    opens(AT_FDCWD, "/file", IN_ROOT);
    CHECK((fd = open2(AT_FDCWD, "/new", O_RDWR | O_CREAT, IN_ROOT)) >= 0 && close(fd) == 0 && unlink("/tmp/t/in/new") == 0);
    FAILS(open2(999, "/file", O_RDONLY, IN_ROOT), EBADF);
    CHECK(chdir("/") == 0);
    opens(AT_FDCWD, "../tmp/t/../t/out", IN_ROOT);
}

int main(void)
{
    make_tree();
    int folder = open("/tmp/t/in", O_RDONLY | O_DIRECTORY);
    CHECK(folder >= 0);
    arguments(folder);
    links(folder);
    mounts(folder);
    beneath(folder);
    in_root(folder);
    static const char *const names[] = {"in/deep", "in/file", "in/link", "in/leaves", "in/absolute", "in/around", "in/root", "in/up", "in/magic", "in", "out", ""};
    int parent = open("/tmp/t", O_RDONLY);
    for (size_t at = 0; at < sizeof names / sizeof *names - 1; at++) {
        CHECK(unlinkat(parent, names[at], at == 0 || at == 9 ? AT_REMOVEDIR : 0) == 0);
    }
    return rmdir("/tmp/t");
}
