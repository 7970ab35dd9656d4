/*
 * Files of a folder that may be a volume: whose they are, their names, their size for everybody who has them open.
 *
 * volume_files FOLDER: as root, who may change users; the folder is empty, or made.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "check.h"

#define USER 1234U
#define GROUP 2345U

static struct stat status_of(const char *path)
{
    struct stat status;
    CHECK(lstat(path, &status) == 0);
    return status;
}

static struct stat open_status(int descriptor)
{
    struct stat status;
    CHECK(fstat(descriptor, &status) == 0);
    return status;
}

static int make(const char *path, int flags)
{
    int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    CHECK(descriptor >= 0);
    return descriptor;
}

static void expect_owner(const char *path, unsigned user, unsigned group)
{
    struct stat status = status_of(path);
    CHECK(status.st_uid == user && status.st_gid == group);
}

static void owners(void)
{
    int own = make("owned", 0);
    expect_owner("owned", 0, 0);
    CHECK(chown("owned", USER, GROUP) == 0);
    expect_owner("owned", USER, GROUP);
    CHECK(fchown(own, (uid_t)-1, 0) == 0);
    expect_owner("owned", USER, 0);
    CHECK(symlink("owned", "link") == 0 && lchown("link", USER, USER) == 0);
    expect_owner("link", USER, USER);
    expect_owner("owned", USER, 0);
    CHECK(chown("link", 0, GROUP) == 0);
    expect_owner("owned", 0, GROUP);
    CHECK(close(own) == 0);

    CHECK(mkdir("theirs", 0700) == 0 && chown("theirs", USER, USER) == 0);
    CHECK(setegid(USER) == 0 && seteuid(USER) == 0);
    CHECK(close(make("theirs/file", 0)) == 0);
    CHECK(mkdir("theirs/folder", 0755) == 0 && symlink("file", "theirs/link") == 0);
    expect_owner("theirs/file", USER, USER);
    expect_owner("theirs/folder", USER, USER);
    expect_owner("theirs/link", USER, USER);
    CHECK(chmod("theirs/file", 0640) == 0 && chown("theirs/file", USER, USER) == 0);
    FAILS(chown("theirs/file", 0, USER), EPERM);
    FAILS(chmod("owned", 0644), EPERM);
    FAILS(open("owned", O_RDONLY), EACCES);
    CHECK(seteuid(0) == 0 && setegid(0) == 0);
    CHECK((status_of("theirs/file").st_mode & 07777) == 0640);

    CHECK(mkdir("shared", 0777) == 0 && chown("shared", 0, GROUP) == 0 && chmod("shared", 03777) == 0);
    CHECK((status_of("shared").st_mode & 07777) == 03777);
    CHECK(close(make("shared/file", 0)) == 0 && mkdir("shared/folder", 0755) == 0);
    expect_owner("shared/file", 0, GROUP);
    expect_owner("shared/folder", 0, GROUP);
    CHECK(status_of("shared/folder").st_mode & S_ISGID);
    CHECK(chown("shared/file", USER, USER) == 0 && chmod("shared/file", 06711) == 0);
    CHECK((status_of("shared/file").st_mode & 07777) == 06711);
    CHECK(chown("shared/file", USER, GROUP) == 0);
    CHECK((status_of("shared/file").st_mode & 07777) == 0711);
}

static void links(void)
{
    int one = make("one", 0);
    CHECK(write(one, "1", 1) == 1 && link("one", "two") == 0);
    CHECK(status_of("one").st_nlink == 2 && status_of("one").st_ino == status_of("two").st_ino);
    FAILS(link("one", "two"), EEXIST);
    FAILS(link("missing", "three"), ENOENT);
    FAILS(link("shared", "three"), EPERM);
    CHECK(rename("one", "two") == 0 && status_of("one").st_nlink == 2); /* two names of one file: nothing happens */
    CHECK(unlink("one") == 0 && status_of("two").st_nlink == 1 && open_status(one).st_nlink == 1);
    CHECK(unlink("two") == 0 && open_status(one).st_nlink == 0 && open_status(one).st_size == 1);
    CHECK(ftruncate(one, 5) == 0 && open_status(one).st_size == 5 && lseek(one, 0, SEEK_END) == 5);
    CHECK(close(one) == 0);
}

static void names(void)
{
    int old = make("name", 0), new = make("name.new", 0);
    struct stat before = open_status(new);
    CHECK(write(old, "old", 3) == 3 && write(new, "newer", 5) == 5);
    CHECK(rename("name.new", "name") == 0);
    FAILS(access("name.new", F_OK), ENOENT);
    CHECK(status_of("name").st_ino == before.st_ino && open_status(new).st_ino == before.st_ino);
    CHECK(open_status(old).st_ino != before.st_ino && open_status(old).st_nlink == 0 && open_status(old).st_size == 3);
    CHECK(fchmod(new, 0604) == 0 && (status_of("name").st_mode & 07777) == 0604);

    int other = make("name.new", 0); /* the old name is another file's now */
    CHECK(fchmod(new, 0600) == 0 && fchown(new, USER, USER) == 0 && ftruncate(new, 2) == 0);
    expect_owner("name.new", 0, 0);
    expect_owner("name", USER, USER);
    CHECK(status_of("name").st_size == 2 && status_of("name.new").st_size == 0);
    CHECK(close(old) == 0 && close(new) == 0 && close(other) == 0);

    char place[4096];
    CHECK(mkdir("here", 0755) == 0 && mkdir("here/below", 0755) == 0);
    int below = open("here/below", O_RDONLY | O_DIRECTORY), base = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(chdir("here/below") == 0 && rename("../../here", "../../there") == 0);
    CHECK(getcwd(place, sizeof(place)) != NULL && strstr(place, "/there/below") != NULL);
    CHECK(close(make("file", 0)) == 0);
    CHECK(faccessat(below, "file", F_OK, 0) == 0 && faccessat(base, "there/below/file", F_OK, 0) == 0);
    CHECK(fsync(below) == 0 && fsync(base) == 0);
    CHECK(mkdirat(base, "here", 0755) == 0 && mkdirat(base, "here/below", 0755) == 0);
    FAILS(faccessat(base, "here/below/file", F_OK, 0), ENOENT);
    CHECK(faccessat(below, "file", F_OK, 0) == 0);
    FAILS(renameat(base, "here", base, "there"), ENOTEMPTY);
    CHECK(fchdir(base) == 0 && unlink("there/below/file") == 0 && rmdir("there/below") == 0);
    FAILS(openat(below, "file", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK(rename("here", "there") == 0); /* an empty folder is replaced */
    CHECK(close(below) == 0 && close(base) == 0);
}

static void child_ends(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* As servers with forked workers extend a table's file: each has opened it for itself. */
static void sizes(void)
{
    int own = make("table", 0);
    CHECK(lseek(own, 0, SEEK_END) == 0);
    pid_t child = fork();
    if (child == 0) {
        int descriptor = open("table", O_RDWR);
        CHECK(pwrite(descriptor, "x", 1, 8191) == 1);
        _exit(0);
    }
    child_ends(child);
    CHECK(lseek(own, 0, SEEK_END) == 8192 && open_status(own).st_size == 8192);
    CHECK(truncate("table", 4096) == 0 && lseek(own, 0, SEEK_END) == 4096);
    CHECK(close(own) == 0);
}

enum { WRITERS = 3, LINES = 100, LINE = 64 };

/* No line goes over another one, whoever writes. */
static void appended(void)
{
    CHECK(close(make("log", 0)) == 0);
    pid_t children[WRITERS];
    for (int writer = 0; writer < WRITERS; writer++) {
        children[writer] = fork();
        if (children[writer] == 0) {
            char line[LINE];
            int descriptor = open("log", O_WRONLY | O_APPEND | (writer == 0 ? O_SYNC : 0));
            memset(line, 'a' + writer, LINE);
            for (int at = 0; at < LINES; at++) {
                CHECK(write(descriptor, line, LINE) == LINE);
            }
            _exit(0);
        }
    }
    for (int writer = 0; writer < WRITERS; writer++) {
        child_ends(children[writer]);
    }
    int seen[WRITERS] = {0}, descriptor = open("log", O_RDONLY);
    char line[LINE];
    while (read(descriptor, line, LINE) == LINE) {
        int writer = line[0] - 'a';
        CHECK(writer >= 0 && writer < WRITERS && ++seen[writer] <= LINES);
        for (int at = 0; at < LINE; at++) {
            CHECK(line[at] == line[0]);
        }
    }
    CHECK(status_of("log").st_size == (off_t)WRITERS * LINES * LINE);
    CHECK(close(descriptor) == 0);
}

enum { PAGE = 4096, PAGES = 8, KEEP_SIZE = 1, PUNCH_HOLE = 2, COLLAPSE = 8, ZERO_RANGE = 16 };

static void expect_bytes(int descriptor, const char *mapping, off_t from, off_t end, char wanted)
{
    for (off_t at = from; at < end; at++) {
        char got;
        CHECK(pread(descriptor, &got, 1, at) == 1 && got == wanted && (mapping == NULL || mapping[at] == wanted));
    }
}

/* Room that is set aside and given back; a mapping sees the same file. */
static void allocated(void)
{
    int file = make("room", 0);
    FAILS(fallocate(file, 0, -1, 1), EINVAL);
    FAILS(fallocate(file, 0, 0, 0), EINVAL);
    FAILS(fallocate(file, PUNCH_HOLE, 0, 1), EOPNOTSUPP);
    FAILS(fallocate(file, 0x8000, 0, 1), EOPNOTSUPP);
    CHECK(fallocate(file, KEEP_SIZE, 0, PAGE) == 0 && open_status(file).st_size == 0);
    CHECK(posix_fallocate(file, 0, PAGES * PAGE) == 0 && open_status(file).st_size == PAGES * PAGE);
    CHECK(open_status(file).st_blocks * 512 >= PAGES * PAGE);
    char *mapping = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(mapping != MAP_FAILED);
    memset(mapping, 'm', PAGES * PAGE);
    CHECK(fallocate(file, PUNCH_HOLE | KEEP_SIZE, PAGE + 10, 3 * PAGE) == 0);
    expect_bytes(file, mapping, PAGE, PAGE + 10, 'm');
    expect_bytes(file, mapping, PAGE + 10, 4 * PAGE + 10, 0);
    expect_bytes(file, mapping, 4 * PAGE + 10, 5 * PAGE, 'm');
    CHECK(fallocate(file, PUNCH_HOLE | KEEP_SIZE, 6 * PAGE + 5, 7) == 0);
    expect_bytes(file, mapping, 6 * PAGE, 6 * PAGE + 5, 'm');
    expect_bytes(file, mapping, 6 * PAGE + 5, 6 * PAGE + 12, 0);
    expect_bytes(file, mapping, 6 * PAGE + 12, 7 * PAGE, 'm');
    CHECK(msync(mapping, PAGES * PAGE, MS_SYNC) == 0 && munmap(mapping, PAGES * PAGE) == 0);
    expect_bytes(file, NULL, 0, PAGE + 10, 'm');
    expect_bytes(file, NULL, PAGE + 10, 4 * PAGE + 10, 0);
    int reads = open("room", O_RDONLY);
    FAILS(fallocate(reads, 0, 0, 1), EBADF);
    CHECK(close(file) == 0 && close(reads) == 0);
}

static void attributes(void)
{
    char value[256], names[256];
    int file = make("named", 0);
    CHECK(fsetxattr(file, "user.one", "1", 1, XATTR_CREATE) == 0 && setxattr("named", "user.two", "", 0, 0) == 0);
    FAILS(setxattr("named", "user.one", "2", 1, XATTR_CREATE), EEXIST);
    FAILS(setxattr("named", "user.three", "3", 1, XATTR_REPLACE), ENODATA);
    CHECK(setxattr("named", "user.one", "uno", 3, XATTR_REPLACE) == 0);
    CHECK(getxattr("named", "user.one", value, sizeof value) == 3 && memcmp(value, "uno", 3) == 0);
    CHECK(fgetxattr(file, "user.one", NULL, 0) == 3 && fgetxattr(file, "user.two", value, sizeof value) == 0);
    FAILS(getxattr("named", "user.one", value, 2), ERANGE);
    FAILS(getxattr("named", "user.none", value, sizeof value), ENODATA);
    ssize_t size = flistxattr(file, names, sizeof names);
    CHECK(size == 18 && listxattr("named", NULL, 0) == 18);
    CHECK(memmem(names, (size_t)size, "user.one", 9) != NULL && memmem(names, (size_t)size, "user.two", 9) != NULL);
    FAILS(listxattr("named", names, 10), ERANGE);
    CHECK(removexattr("named", "user.one") == 0 && flistxattr(file, names, sizeof names) == 9);
    FAILS(fremovexattr(file, "user.one"), ENODATA);
    CHECK(symlink("named", "alias") == 0 && getxattr("alias", "user.two", NULL, 0) == 0);
    FAILS(lsetxattr("alias", "user.link", "", 0, 0), EPERM);
    CHECK(mkdir("labelled", 0700) == 0 && setxattr("labelled", "user.folder", "f", 1, 0) == 0);
    CHECK(rename("named", "renamed") == 0 && fgetxattr(file, "user.two", NULL, 0) == 0 && getxattr("renamed", "user.two", NULL, 0) == 0);
    char large[4000];
    memset(large, 'l', sizeof large);
    CHECK(fsetxattr(file, "user.large", large, 2000, 0) == 0 && fgetxattr(file, "user.large", large + 2000, 2000) == 2000);
    CHECK(memcmp(large, large + 2000, 2000) == 0 && close(file) == 0);
}

enum { HIPRI = 1, DSYNC = 2, SYNC = 4, NOWAIT = 8, UNKNOWN = 1 << 30 };

static void flagged(void)
{
    int file = make("flagged", 0);
    char bytes[8] = "12345678";
    struct iovec halves[] = {{bytes, 4}, {bytes + 4, 4}};
    CHECK(syscall(SYS_pwritev2, file, halves, 2, 0L, 0L, DSYNC) == 8);
    CHECK(syscall(SYS_pwritev2, file, halves, 1, 8L, 0L, SYNC) == 4 && open_status(file).st_size == 12);
    CHECK(syscall(SYS_preadv2, file, halves, 2, 4L, 0L, HIPRI) == 8 && memcmp(bytes, "56781234", 8) == 0);
    CHECK(syscall(SYS_preadv2, file, halves, 2, -1L, 0L, 0) == 8 && lseek(file, 0, SEEK_CUR) == 8);
    CHECK(memcmp(bytes, "12345678", 8) == 0);
    FAILS(syscall(SYS_preadv2, file, halves, 2, 0L, 0L, UNKNOWN), EOPNOTSUPP);
    FAILS(syscall(SYS_pwritev2, file, halves, 2, -2L, 0L, 0), EINVAL);
    CHECK(close(file) == 0);
}

/* Of programs where none can be executed access(2) says so (do_faccessat() of Linux). */
static void executed(void)
{
    struct statvfs folder;
    int file = make("program", 0);
    CHECK(fchmod(file, 0755) == 0 && fstatvfs(file, &folder) == 0 && close(file) == 0);
    CHECK((access("program", X_OK) == 0) == ((folder.f_flag & ST_NOEXEC) == 0));
    CHECK(access("program", R_OK) == 0 && access(".", X_OK) == 0);
}

int main(int count, char **arguments)
{
    umask(0);
    CHECK(count == 2 && (mkdir(arguments[1], 0755) == 0 || errno == EEXIST) && chdir(arguments[1]) == 0);
    owners();
    links();
    names();
    sizes();
    appended();
    allocated();
    attributes();
    flagged();
    executed();
    printf("files are as they should be\n");
    return 0;
}
