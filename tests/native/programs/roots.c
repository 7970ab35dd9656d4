/* chroot(2): where `/` leads, and where `..` ends, is a process's own. */
#define _GNU_SOURCE
#include "check.h"
#include "docker_rights.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE "/dev/shm/roots"

/* openat2(2) */
struct open_how {
    uint64_t flags, mode, resolve;
};
#define RESOLVE_BENEATH 8
#define RESOLVE_IN_ROOT 16

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static int holds(int folder, const char *path, const char *text)
{
    char found[64] = "";
    int fd = openat(folder, path, O_RDONLY);
    return fd >= 0 && read(fd, found, sizeof found - 1) >= 0 && close(fd) == 0 && strcmp(found, text) == 0;
}

static int stands_in(const char *path)
{
    char found[4096] = "";
    long length = syscall(SYS_getcwd, found, sizeof found); /* libraries make ENOENT of what is unreachable */
    return length == (long)strlen(path) + 1 && strcmp(found, path) == 0;
}

static void make_tree(void)
{
    CHECK(mkdir(PLACE, 0755) == 0 && mkdir(PLACE "/in", 0755) == 0 && mkdir(PLACE "/in/deep", 0755) == 0);
    CHECK(mkdir(PLACE "/shut", 0000) == 0);
    write_file(PLACE "/file", "out");
    write_file(PLACE "/in/file", "in");
    CHECK(symlink("/file", PLACE "/in/absolute") == 0 && symlink("../../../file", PLACE "/in/deep/up") == 0);
}

static void remove_tree(void)
{
    CHECK(unlink(PLACE "/in/absolute") == 0 && unlink(PLACE "/in/deep/up") == 0 && unlink(PLACE "/in/file") == 0);
    CHECK(rmdir(PLACE "/in/deep") == 0 && rmdir(PLACE "/in") == 0 && rmdir(PLACE "/shut") == 0 && unlink(PLACE "/file") == 0);
    CHECK(rmdir(PLACE) == 0);
}

static void is_refused(void)
{
    static char too_long[5000];
    memset(too_long, 'x', sizeof too_long - 1);
    FAILS(chroot(PLACE "/none"), ENOENT);
    FAILS(chroot(PLACE "/file"), ENOTDIR);
    FAILS(chroot(""), ENOENT);
    FAILS(chroot(too_long), ENAMETOOLONG);
    FAILS(chroot((const char *)8), EFAULT);
}

/* The working directory stays, and is above the new root. */
static void stands_outside(void)
{
    int above = open(PLACE, O_RDONLY | O_DIRECTORY), proc = open("/proc", O_RDONLY | O_DIRECTORY);
    char link[64] = "";
    CHECK(above >= 0 && proc >= 0 && chdir(PLACE) == 0 && chroot(PLACE "/in") == 0);
    CHECK(stands_in("(unreachable)" PLACE) && holds(AT_FDCWD, "file", "out") && holds(AT_FDCWD, "/file", "in"));
    CHECK(holds(above, "file", "out") && holds(above, "/file", "in") && holds(above, "in/absolute", "in"));
    CHECK(holds(AT_FDCWD, "in/../file", "in") && holds(AT_FDCWD, "/../../file", "in"));
    CHECK(readlinkat(proc, "self/root", link, sizeof link - 1) == 1 && strcmp(link, "/") == 0);
    CHECK(readlinkat(proc, "self/cwd", link, sizeof link - 1) == (ssize_t)strlen(PLACE) && strcmp(link, PLACE) == 0);
    CHECK(holds(proc, "self/root/file", "in") && holds(proc, "self/cwd/file", "out"));
    FAILS(access(PLACE, F_OK), ENOENT);
    CHECK(fchdir(proc) == 0 && chdir("/") == 0 && stands_in("/"));
}

static void stands_inside(void)
{
    struct stat root, up;
    CHECK(stat("/", &root) == 0 && stat("/..", &up) == 0 && root.st_ino == up.st_ino && stat("deep/../..", &up) == 0);
    CHECK(root.st_ino == up.st_ino && holds(AT_FDCWD, "absolute", "in") && holds(AT_FDCWD, "deep/up", "in"));
    CHECK(chdir("deep") == 0 && stands_in("/deep") && holds(AT_FDCWD, "../../file", "in"));
    write_file("/new", "new");
    CHECK(rename("/new", "/deep/new") == 0 && holds(AT_FDCWD, "new", "new") && unlink("new") == 0);
    int deep = open("/deep", O_RDONLY | O_DIRECTORY);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
    CHECK(deep >= 0);
    FAILS(syscall(SYS_openat2, deep, "/file", &how, sizeof how), ENOENT);
    how.resolve = RESOLVE_BENEATH;
    FAILS(syscall(SYS_openat2, deep, "../file", &how, sizeof how), EXDEV);
    CHECK(close(deep) == 0 && chroot("/deep") == 0 && stands_in("/")); /* a root below a root */
    FAILS(access("/file", F_OK), ENOENT);
    FAILS(access("/up", F_OK), ENOENT);
}

/* A child has its parent's; its own is not its parent's, but with CLONE_FS. */
static int leave(void *path)
{
    _exit(chroot(path) == 0 && access("/file", F_OK) == 0 ? 0 : 1);
}

static void children(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(chroot(PLACE "/in") == 0 && chdir("/") == 0 && holds(AT_FDCWD, "/file", "in"));
        pid_t grandchild = fork();
        if (grandchild == 0) {
            _exit(holds(AT_FDCWD, "/file", "in") && access(PLACE, F_OK) == -1 ? 0 : 1);
        }
        CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0 && holds(AT_FDCWD, PLACE "/file", "out"));
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t sharing = clone(leave, stack + sizeof stack, CLONE_FS | SIGCHLD, PLACE "/in");
        CHECK(sharing > 0 && waitpid(sharing, &status, 0) == sharing && status == 0);
        _exit(holds(AT_FDCWD, "/file", "in") ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* Without CAP_SYS_CHROOT; what is wrong with the path is told first. */
static void without_the_right(void)
{
    CHECK(setuid(12345) == 0);
    FAILS(chroot("/tmp"), EPERM);
    FAILS(chroot("/tmp/none"), ENOENT);
    FAILS(chroot(PLACE "/shut"), EACCES);
}

static void in_child(void (*part)(void))
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        part();
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void enters(void)
{
    stands_outside();
    stands_inside();
}

int main(void)
{
    keep_docker_rights();
    make_tree();
    is_refused();
    in_child(enters);
    children();
    in_child(without_the_right);
    remove_tree();
    puts("roots ok");
    return 0;
}
