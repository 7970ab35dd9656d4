/*
 * The file system's calls against the sample tree: what POSIX and Linux promise, over a root that is measured
 * below and writable above.
 *
 * calls_test IMAGE VERITY DATA DIGEST VOLUME-ROOT
 */
#include "shim.h"

#include "fs/fs.h"

long lseek(int fd, long offset, int whence);
int open(const char *path, int flags, ...);

static struct configuration measured;
static int failures;

#define CHECK(actual, expected) check(__LINE__, #actual, (int64_t)(actual), (int64_t)(expected))

static void check(int line, const char *text, int64_t actual, int64_t expected)
{
    if (actual != expected) {
        printf("line %d: %s is %lld, not %lld\n", line, text, (long long)actual, (long long)expected);
        failures++;
    }
}

#define AT ((uint64_t)AT_FDCWD)

static int64_t open_file(const char *path, uint64_t flags, uint64_t mode)
{
    return CALL_LIBOS(openat, AT, USER(path), flags, mode);
}

static int64_t close_file(int64_t descriptor)
{
    return CALL_LIBOS(close, (uint64_t)descriptor);
}

static int64_t write_file(int64_t descriptor, const char *text)
{
    return CALL_LIBOS(write, (uint64_t)descriptor, USER(text), strlen(text));
}

struct stat_words {
    uint64_t device, inode, links;
    uint32_t mode, uid, gid, padding;
    uint64_t rdev;
    int64_t size, block_size, blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[3];
};

static struct stat_words status;

static int64_t stat_file(const char *path)
{
    return CALL_LIBOS(lstat, USER(path), USER(&status));
}

static bool content_is(const char *path, const char *expected)
{
    char content[4096] = {0};
    int64_t descriptor = open_file(path, O_RDONLY, 0);
    int64_t size = descriptor < 0
                       ? descriptor
                       : CALL_LIBOS(read, (uint64_t)descriptor, USER(content), sizeof(content) - 1);
    close_file(descriptor);
    return size == (int64_t)strlen(expected) && strcmp(content, expected) == 0;
}

static int64_t make_file(const char *path, const char *content)
{
    int64_t descriptor = open_file(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    int64_t result = descriptor < 0 ? descriptor : write_file(descriptor, content);
    close_file(descriptor);
    return result;
}

/* Names in a directory, `.` and `..` among them. */
static int64_t count_names(const char *path, const char *wanted, bool *found)
{
    char records[600];
    int64_t descriptor = open_file(path, O_DIRECTORY, 0), count = 0, size;
    *found = false;
    while ((size = CALL_LIBOS(getdents64, (uint64_t)descriptor, USER(records), sizeof(records))) > 0) {
        for (int64_t at = 0; at < size; count++) {
            uint16_t length;
            memcpy(&length, records + at + 16, sizeof(length));
            *found |= strcmp(records + at + 19, wanted) == 0;
            at += length;
        }
    }
    close_file(descriptor);
    return size < 0 ? size : count;
}

static void test_paths(void)
{
    static char long_name[300], long_path[5000];
    memset(long_name, 'a', 256);
    CHECK(stat_file("/etc/hosts"), 0);
    CHECK(stat_file("/etc/./../etc//hosts"), 0);
    CHECK(stat_file("/../../etc/hosts"), 0);
    CHECK(stat_file("/etc/hosts/"), -ENOTDIR);
    CHECK(stat_file("/etc/hosts/x"), -ENOTDIR);
    CHECK(stat_file("/etc/hosts/.."), -ENOTDIR);
    CHECK(stat_file("/nothing"), -ENOENT);
    CHECK(stat_file(""), -ENOENT);
    CHECK(stat_file("/"), 0);
    CHECK(stat_file("/etc/"), 0);
    CHECK(stat_file(long_name), -ENAMETOOLONG);
    memset(long_path, '/', 4999);
    CHECK(stat_file(long_path), -ENAMETOOLONG);
    CHECK(CALL_LIBOS(lstat, 0, USER(&status)), -EFAULT);
    CHECK(CALL_LIBOS(symlink, USER("/tmp/loop"), USER("/tmp/loop")), 0);
    CHECK(open_file("/tmp/loop", O_RDONLY, 0), -ELOOP);
    CHECK(stat_file("/tmp/loop"), 0);
    CHECK(CALL_LIBOS(symlink, USER("../etc"), USER("/tmp/link")), 0);
    CHECK(stat_file("/tmp/link/hosts"), 0);
    CHECK(stat_file("/tmp/link/"), 0);
    CHECK(status.mode & 0170000, 0040000);
    CHECK(open_file("/tmp/link", O_NOFOLLOW, 0), -ELOOP);
    CHECK(CALL_LIBOS(symlink, USER("link"), USER("/tmp/link2")), 0);
    CHECK(stat_file("/tmp/link2/"), 0);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/link/")), -ENOTDIR);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/link2")), 0);
    CHECK(CALL_LIBOS(symlink, USER("made"), USER("/tmp/dangling")), 0);
    CHECK(make_file("/tmp/dangling", "x"), 1);
    CHECK(content_is("/tmp/made", "x"), 1);
    CHECK(open_file("/tmp/dangling", O_CREAT | O_EXCL | O_WRONLY, 0600), -EEXIST);
    CHECK(open_file("/tmp/new/", O_CREAT | O_WRONLY, 0600), -EISDIR);
    CHECK(open_file("/etc", O_WRONLY, 0), -EISDIR);
    CHECK(open_file("/etc/hosts", O_DIRECTORY, 0), -ENOTDIR);
    int64_t directory = open_file("/etc", O_PATH, 0);
    CHECK(CALL_LIBOS(newfstatat, (uint64_t)directory, USER("hosts"), USER(&status), 0), 0);
    CHECK(CALL_LIBOS(newfstatat, (uint64_t)directory, USER(""), USER(&status), 0x1000), 0);
    CHECK(CALL_LIBOS(newfstatat, (uint64_t)directory, USER(""), USER(&status), 0), -ENOENT);
    CHECK(CALL_LIBOS(newfstatat, 77, USER("hosts"), USER(&status), 0), -EBADF);
    char byte;
    CHECK(CALL_LIBOS(read, (uint64_t)directory, USER(&byte), 1), -EBADF);
    CHECK(close_file(directory), 0);
}

static void test_reading(void)
{
    static uint8_t whole[4 << 20], part[1 << 20];
    int64_t descriptor = open_file("/sizes/3145733", O_RDONLY, 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(whole), sizeof(whole)), 3145733);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(whole), 10), 0);
    for (uint32_t at = 1; at < 60; at++) {
        uint64_t offset = at * 1000003ULL % 3145733, length = at * 7919ULL % sizeof(part);
        int64_t expected = offset + length > 3145733 ? (int64_t)(3145733 - offset) : (int64_t)length;
        CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(part), length, offset), expected);
        CHECK(memcmp(part, whole + offset, (size_t)expected), 0);
    }
    struct iovec vector[3] = {{USER(part), 10}, {USER(part + 10), 0}, {USER(part + 10), 5000}};
    CHECK(CALL_LIBOS(preadv, (uint64_t)descriptor, USER(vector), 3, 4090, 0), 5010);
    CHECK(memcmp(part, whole + 4090, 5010), 0);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, (uint64_t)-5, 2), 3145728);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(part), 100), 5);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, (uint64_t)-5, 0), -EINVAL);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(part), 1, (uint64_t)-1), -EINVAL);
    CHECK(write_file(descriptor, "x"), -EBADF);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, 0, 0), 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, 16, 1), -EFAULT);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, 0, 1), 0);
    CHECK(close_file(descriptor), 0);
    CHECK(close_file(descriptor), -EBADF);
    CHECK(CALL_LIBOS(read, (uint64_t)open_file("/etc", 0, 0), USER(part), 1), -EISDIR);
}

/* The image's files can be written: what was written shows, the rest stays what was measured. */
static void test_writing_over_the_image(void)
{
    static uint8_t before[600000], after[600000];
    int64_t descriptor = open_file("/sizes/524289", O_RDWR, 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(before), sizeof(before)), 524289);
    CHECK(CALL_LIBOS(pwrite64, (uint64_t)descriptor, USER("hello"), 5, 4094), 5);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(after), sizeof(after), 0), 524289);
    CHECK(memcmp(after + 4094, "hello", 5), 0);
    CHECK(memcmp(after, before, 4094), 0);
    CHECK(memcmp(after + 4099, before + 4099, 524289 - 4099), 0);
    CHECK(CALL_LIBOS(ftruncate, (uint64_t)descriptor, 10000), 0);
    CHECK(CALL_LIBOS(ftruncate, (uint64_t)descriptor, 20000), 0);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(after), sizeof(after), 0), 20000);
    CHECK(memcmp(after + 4099, before + 4099, 10000 - 4099), 0);
    uint32_t sum = 0;
    for (size_t at = 10000; at < 20000; at++) {
        sum += after[at];
    }
    CHECK(sum, 0);
    CHECK(CALL_LIBOS(fallocate, (uint64_t)descriptor, 3, 100, 5000), 0);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(after), 200, 0), 200);
    CHECK(memcmp(after, before, 100), 0);
    CHECK(after[100] | after[199], 0);
    CHECK(close_file(descriptor), 0);
    CHECK(stat_file("/sizes/524289"), 0);
    CHECK(status.size, 20000);
    CHECK(status.blocks, 40);

    CHECK(make_file("/sizes/65", "short"), 5);
    CHECK(content_is("/sizes/65", "short"), 1);
    descriptor = open_file("/sizes/65", O_WRONLY | O_APPEND, 0);
    CHECK(write_file(descriptor, "er"), 2);
    close_file(descriptor);
    CHECK(content_is("/sizes/65", "shorter"), 1);
    CHECK(CALL_LIBOS(truncate, USER("/sizes/4097"), 4096), 0);
    CHECK(CALL_LIBOS(chmod, USER("/sizes/4097"), 0600), 0);
    CHECK(stat_file("/sizes/4097"), 0);
    CHECK(status.mode, 0100600);
    CHECK(status.size, 4096);
}

static void test_links_and_names(void)
{
    bool found;
    uint64_t inode;
    /* Hard links of the image stay one file, whichever name is used. */
    CHECK(stat_file("/bin/sh"), 0);
    inode = status.inode;
    CHECK(status.links, 2);
    CHECK(CALL_LIBOS(link, USER("/bin/sh"), USER("/bin/ash")), 0);
    CHECK(stat_file("/bin/busybox"), 0);
    CHECK(status.inode, inode);
    CHECK(status.links, 3);
    CHECK(CALL_LIBOS(unlink, USER("/bin/busybox")), 0);
    CHECK(stat_file("/bin/busybox"), -ENOENT);
    CHECK(stat_file("/bin/ash"), 0);
    CHECK(status.links, 2);
    CHECK(CALL_LIBOS(link, USER("/etc"), USER("/bin/etc")), -EPERM);
    CHECK(CALL_LIBOS(link, USER("/bin/sh"), USER("/bin/ash")), -EEXIST);

    CHECK(count_names("/deep", "er", &found), 3);
    CHECK(CALL_LIBOS(rmdir, USER("/deep/er")), -ENOTEMPTY);
    CHECK(CALL_LIBOS(rename, USER("/deep/er"), USER("/moved")), 0);
    CHECK(stat_file("/deep/er"), -ENOENT);
    CHECK(count_names("/deep", "er", &found), 2);
    CHECK(count_names("/moved", "\U0001f40e", &found), 4);
    CHECK(found, 1);
    CHECK(stat_file("/deep"), 0);
    CHECK(status.links, 2);
    /* The data of a moved file is still asked for by its path in the image. */
    char byte;
    int64_t descriptor = open_file("/moved/\U0001f40e", O_RDONLY, 0);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(&byte), 1, 4999), 1);
    close_file(descriptor);
    CHECK(CALL_LIBOS(mkdir, USER("/deep/er"), 0700), 0);
    CHECK(count_names("/deep/er", "", &found), 2);
    CHECK(CALL_LIBOS(rename, USER("/moved"), USER("/deep/er")), 0);
    CHECK(count_names("/deep/er", "", &found), 4);
    CHECK(CALL_LIBOS(rename, USER("/deep"), USER("/deep/er/below")), -EINVAL);
    CHECK(CALL_LIBOS(rename, USER("/etc/capable"), USER("/deep")), -EISDIR);
    CHECK(CALL_LIBOS(rename, USER("/deep"), USER("/etc/capable")), -ENOTDIR);
    CHECK(CALL_LIBOS(rename, USER("/etc/hosts"), USER("/etc/x")), -EBUSY); /* the host's lies over it */
    CHECK(CALL_LIBOS(rename, USER("/many"), USER("/deep")), -ENOTEMPTY);
    CHECK(CALL_LIBOS(renameat2, AT, USER("/etc/hosts"), AT, USER("/etc/hostname"), 1), -EEXIST);
    CHECK(CALL_LIBOS(rename, USER("/tmp/made"), USER("/dev/shm/made")), -EXDEV);

    CHECK(count_names("/many", "-7", &found), 802);
    CHECK(found, 1);
    CHECK(CALL_LIBOS(rmdir, USER("/many/-7")), 0);
    CHECK(count_names("/many", "-7", &found), 801);
    CHECK(found, 0);
    CHECK(make_file("/many/-7", "now a file"), 10);
    CHECK(count_names("/many", "-7", &found), 802);
    CHECK(stat_file("/many"), 0);
    CHECK(status.links, 401);
    CHECK(CALL_LIBOS(mkdir, USER("/many/-7"), 0700), -EEXIST);
    CHECK(CALL_LIBOS(rmdir, USER("/many/-7")), -ENOTDIR);
    CHECK(CALL_LIBOS(unlink, USER("/many/-8")), -EISDIR);
    CHECK(CALL_LIBOS(mkdir, USER("/many/x/"), 0700), 0);
    CHECK(CALL_LIBOS(rmdir, USER("/many/x/.")), -EINVAL);
    CHECK(CALL_LIBOS(unlinkat, AT, USER("/many/x"), AT_REMOVEDIR), 0);
    CHECK(CALL_LIBOS(rmdir, USER("/")), -EBUSY);
    CHECK(CALL_LIBOS(rmdir, USER("/proc")), -EBUSY);

    char path[64] = {0};
    CHECK(CALL_LIBOS(chdir, USER("/deep/er")), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), sizeof(path)), 9);
    CHECK(strcmp(path, "/deep/er"), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), 8), -ERANGE);
    CHECK(CALL_LIBOS(rename, USER("/deep"), USER("/shallow")), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), sizeof(path)), 12);
    CHECK(strcmp(path, "/shallow/er"), 0);
    CHECK(stat_file("../er"), 0);
    CHECK(CALL_LIBOS(chdir, USER("/etc/hosts")), -ENOTDIR);
    CHECK(CALL_LIBOS(mkdir, USER("/gone"), 0700), 0);
    CHECK(CALL_LIBOS(chdir, USER("/gone")), 0);
    CHECK(CALL_LIBOS(rmdir, USER("/gone")), 0);
    CHECK(CALL_LIBOS(getcwd, USER(path), sizeof(path)), -ENOENT);
    CHECK(make_file("x", ""), -ENOENT);
    CHECK(CALL_LIBOS(chdir, USER("/")), 0);

    CHECK(make_file("/tmp/open", "still here"), 10);
    descriptor = open_file("/tmp/open", O_RDONLY, 0);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/open")), 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(path), sizeof(path)), 10);
    CHECK(CALL_LIBOS(fstat, (uint64_t)descriptor, USER(&status)), 0);
    CHECK(status.links, 0);
    close_file(descriptor);
}

static void become(uint32_t uid, uint32_t gid, uint32_t group)
{
    struct credentials *who = &current_task()->credentials;
    who->user = (struct ids){uid, uid, uid, uid};
    who->group = (struct ids){gid, gid, gid, gid};
    who->groups[0] = group;
    who->group_count = group != 0;
    who->effective = uid == 0 ? CAPABILITIES_OF_ROOT : 0;
}

static void test_permissions(void)
{
    become(1000, 1000, 50);
    CHECK(close_file(open_file("/etc/hosts", O_RDONLY, 0)), 0);
    CHECK(open_file("/etc/hosts", O_WRONLY, 0), -EACCES);
    CHECK(open_file("/etc/new", O_CREAT | O_WRONLY, 0644), -EACCES);
    CHECK(CALL_LIBOS(unlink, USER("/etc/hosts")), -EACCES);
    CHECK(CALL_LIBOS(chmod, USER("/etc/hosts"), 0777), -EPERM);
    CHECK(make_file("/tmp/mine", "m"), 1);
    CHECK(CALL_LIBOS(chmod, USER("/tmp/mine"), 0), 0);
    CHECK(open_file("/tmp/mine", O_RDONLY, 0), -EACCES);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 0), 0);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 4), -EACCES);
    CHECK(CALL_LIBOS(chown, USER("/tmp/mine"), 1, (uint64_t)-1), -EPERM);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/made")), -EPERM); /* sticky, another's */
    become(0, 0, 50);
    CHECK(CALL_LIBOS(mkdir, USER("/tmp/group"), 0), 0);
    CHECK(CALL_LIBOS(chmod, USER("/tmp/group"), 0070), 0);
    CHECK(CALL_LIBOS(chown, USER("/tmp/group"), 0, 50), 0);
    become(1000, 0, 50);
    CHECK(make_file("/tmp/group/x", "y"), 1);
    become(1000, 0, 51);
    CHECK(stat_file("/tmp/group/x"), -EACCES);
    become(0, 0, 0);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 4), 0);
    CHECK(CALL_LIBOS(access, USER("/tmp/mine"), 1), -EACCES);
    struct file *file;
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/bin/twin", 0, &file), 0);
    struct file_facts facts;
    file_upcalls.describe(file, &facts);
    CHECK(facts.size, 300000);
    CHECK(file_upcalls.check_mapping(file, 5, 2), 0);
    CHECK(file_upcalls.check_mapping(file, 2, 1), -EACCES);
    static uint8_t bytes[300000];
    CHECK(file_upcalls.read_at(file, bytes, sizeof(bytes), 0), 300000);
    file_upcalls.put(file);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/etc/hosts", 0, &file), -EACCES);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/etc", 0, &file), -EACCES);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/nothing", 0, &file), -ENOENT);
}

static void test_attributes(void)
{
    struct timespec times[2] = {{.seconds = 11}, {.seconds = 22, .nanoseconds = 5}};
    CHECK(CALL_LIBOS(utimensat, AT, USER("/etc/hosts"), USER(times), 0), 0);
    CHECK(stat_file("/etc/hosts"), 0);
    CHECK(status.atime, 11);
    CHECK(status.mtime, 22);
    CHECK(status.mtime_ns, 5);
    times[0].nanoseconds = 0x3FFFFFFE;
    times[1].nanoseconds = -1;
    CHECK(CALL_LIBOS(utimensat, AT, USER("/etc/hosts"), USER(times), 0), -EINVAL);
    CHECK(CALL_LIBOS(utimensat, AT, USER("/etc/hosts"), 0, 0), 0);
    char value[64] = {0};
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("user.note"), USER(value), sizeof(value)), 5);
    CHECK(strcmp(value, "hello"), 0);
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("user.note"), USER(value), 4), -ERANGE);
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("user.note"), 0, 0), 5);
    CHECK(CALL_LIBOS(getxattr, USER("/etc/capable"), USER("security.capability"), USER(value), sizeof(value)),
        20);
    CHECK(CALL_LIBOS(
              getxattr, USER("/etc/capable"), USER("trusted.overlay.metacopy"), USER(value), sizeof(value)),
        -ENODATA);
    CHECK(CALL_LIBOS(listxattr, USER("/etc/capable"), USER(value), sizeof(value)), 10 + 20);
    uint32_t words[64] = {0};
    CHECK(CALL_LIBOS(statx, AT, USER("/dev/disk"), 0, 0x7FF, USER(words)), -ENOENT);
    CHECK(CALL_LIBOS(statx, AT, USER("/bin/twin"), 0, 0x7FF, USER(words)), 0);
    CHECK(words[10], 300000); /* stx_size */
    CHECK(CALL_LIBOS(umask, 077), 022);
    CHECK(make_file("/tmp/masked", ""), 0);
    CHECK(stat_file("/tmp/masked"), 0);
    CHECK(status.mode, 0100600);
    CHECK(CALL_LIBOS(umask, 022), 077);
    uint64_t statfs[15];
    CHECK(CALL_LIBOS(statfs, USER("/"), USER(statfs)), 0);
    CHECK(statfs[1], 4096);
}

static void test_descriptors(void)
{
    int64_t one = open_file("/etc/hosts", O_CLOEXEC, 0);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)one, 1), 1);
    int64_t two = CALL_LIBOS(dup, (uint64_t)one);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)two, 1), 0);
    CHECK(CALL_LIBOS(lseek, (uint64_t)one, 7, 0), 7);
    CHECK(CALL_LIBOS(lseek, (uint64_t)two, 0, 1), 7); /* one open file, one position */
    CHECK(CALL_LIBOS(dup2, (uint64_t)one, 200), 200);
    CHECK(CALL_LIBOS(dup2, (uint64_t)one, (uint64_t)one), one);
    CHECK(CALL_LIBOS(dup3, (uint64_t)one, (uint64_t)one, 0), -EINVAL);
    CHECK(CALL_LIBOS(dup2, 199, 5), -EBADF);
    CHECK(CALL_LIBOS(dup2, (uint64_t)one, 1 << 20), -EBADF);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)one, 0, 100), 100);
    CHECK(CALL_LIBOS(fcntl, (uint64_t)one, 3), 0100000);
    CHECK(CALL_LIBOS(close_range, 100, 300, 0), 0);
    CHECK(CALL_LIBOS(fcntl, 200, 1), -EBADF);
    close_file(one);
    CHECK(close_file(two), 0);
    int64_t last = -1;
    uint32_t count = 0;
    for (int64_t at; (at = open_file("/etc", 0, 0)) >= 0; count++) {
        last = at;
    }
    CHECK(last, 1023);
    CHECK(open_file("/etc", 0, 0), -EMFILE);
    CHECK(CALL_LIBOS(close_range, 3, (uint64_t)-1, 0), 0);
    int64_t memory = CALL_LIBOS(memfd_create, USER("name"), 0);
    CHECK(write_file(memory, "abc"), 3);
    int64_t copy = open_file("/tmp/copy", O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK(CALL_LIBOS(lseek, (uint64_t)memory, 0, 0), 0);
    CHECK(CALL_LIBOS(sendfile, (uint64_t)copy, (uint64_t)memory, 0, 100), 3);
    CHECK(content_is("/tmp/copy", "abc"), 1);
    uint64_t offset = 1;
    CHECK(CALL_LIBOS(copy_file_range, (uint64_t)memory, USER(&offset), (uint64_t)copy, 0, 100, 0), -EXDEV);
    CHECK(CALL_LIBOS(sendfile, (uint64_t)copy, (uint64_t)memory, USER(&offset), 100), 2);
    CHECK(offset, 3);
    CHECK(content_is("/tmp/copy", "abcbc"), 1);
    close_file(memory);
    close_file(copy);
    CHECK(CALL_LIBOS(socket, 2, 1, 0), -EACCES); /* no network is measured */
}

static void test_synthetic_files(void)
{
    char text[4096];
    bool found;
    CHECK(count_names("/proc/self/fd", "0", &found) >= 5, 1);
    CHECK(CALL_LIBOS(readlink, USER("/proc/self"), USER(text), sizeof(text)), 1);
    int64_t descriptor = open_file("/etc/hosts", 0, 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)descriptor);
    memset(text, 0, sizeof(text));
    CHECK(CALL_LIBOS(readlink, USER(path), USER(text), sizeof(text)), 10);
    CHECK(strcmp(text, "/etc/hosts"), 0);
    struct stat_words through;
    CHECK(CALL_LIBOS(stat, USER(path), USER(&through)), 0);
    CHECK(stat_file("/etc/hosts"), 0);
    CHECK(through.inode, status.inode);
    close_file(descriptor);
    CHECK(stat_file(path), -ENOENT);
    static const char *const readable[] = {
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/uptime",
        "/proc/version",
        "/proc/loadavg",
        "/proc/filesystems",
        "/proc/mounts",
        "/proc/self/status",
        "/proc/self/stat",
        "/proc/self/statm",
        "/proc/self/maps",
        "/proc/self/mountinfo",
        "/proc/self/limits",
        "/proc/self/comm",
        "/proc/self/cgroup",
        "/proc/self/oom_score_adj",
        "/proc/thread-self/comm",
        "/proc/self/task/1/status",
        "/proc/sys/kernel/random/uuid",
        "/proc/sys/kernel/hostname",
        "/sys/devices/system/cpu/online",
    };
    for (size_t at = 0; at < ARRAY_LENGTH(readable); at++) {
        descriptor = open_file(readable[at], O_RDONLY, 0);
        int64_t size = CALL_LIBOS(read, (uint64_t)descriptor, USER(text), sizeof(text));
        if (size <= 0) {
            printf("%s: %lld\n", readable[at], (long long)size);
            failures++;
        }
        close_file(descriptor);
    }
    CHECK(count_names("/proc", "self", &found) > 10, 1);
    CHECK(found, 1);
    CHECK(count_names("/", "proc", &found) > 5, 1);
    CHECK(found, 0); /* the image has no such directory: it is there, but not listed */
    CHECK(make_file("/proc/x", ""), -EROFS);
    descriptor = open_file("/dev/zero", O_RDWR, 0);
    text[0] = 1;
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(text), 10), 10);
    CHECK(text[0], 0);
    CHECK(write_file(descriptor, "abc"), 3);
    close_file(descriptor);
    descriptor = open_file("/dev/full", O_RDWR, 0);
    CHECK(write_file(descriptor, "abc"), -ENOSPC);
    close_file(descriptor);
    CHECK(CALL_LIBOS(read, (uint64_t)open_file("/dev/null", 0, 0), USER(text), 10), 0);
    CHECK(open_file("/dev/tty", O_RDWR, 0), -ENXIO);
    CHECK(stat_file("/dev/fd/0"), 0);
    CHECK(make_file("/dev/shm/x", "y"), 1);
    CHECK(stat_file("/dev/shm"), 0);
    CHECK(status.mode, 0041777);
}

static int64_t pipe_ends[2];

static void write_later(void *context)
{
    (void)context;
    shim_sleep_ms(30);
    write_file(pipe_ends[1], "late");
}

static void close_later(void *context)
{
    shim_sleep_ms(30);
    close_file(*(int64_t *)context);
}

static void make_pipe(uint64_t flags)
{
    int32_t ends[2] = {-1, -1};
    CHECK(CALL_LIBOS(pipe2, USER(ends), flags), 0);
    pipe_ends[0] = ends[0];
    pipe_ends[1] = ends[1];
}

static void test_pipes(void)
{
    static char bytes[70000];
    make_pipe(O_NONBLOCK);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), -EAGAIN);
    CHECK(CALL_LIBOS(write, (uint64_t)pipe_ends[1], USER(bytes), sizeof(bytes)), 65536);
    CHECK(write_file(pipe_ends[1], "x"), -EAGAIN);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 100), 100);
    /* up to PIPE_BUF all or nothing */
    CHECK(CALL_LIBOS(write, (uint64_t)pipe_ends[1], USER(bytes), 101), -EAGAIN);
    CHECK(CALL_LIBOS(lseek, (uint64_t)pipe_ends[0], 0, 0), -ESPIPE);
    close_file(pipe_ends[0]);
    CHECK(write_file(pipe_ends[1], "x"), -EPIPE);
    CHECK(signal_sent, SIGPIPE);
    close_file(pipe_ends[1]);

    make_pipe(0);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), 4);
    shim_thread_join(thread);
    thread = shim_thread_start(close_later, &pipe_ends[1]);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), 0);
    shim_thread_join(thread);
    close_file(pipe_ends[0]);

    CHECK(CALL_LIBOS(mknod, USER("/tmp/fifo"), 0010600, 0), 0);
    int64_t writer = open_file("/tmp/fifo", O_WRONLY | O_NONBLOCK, 0);
    CHECK(writer, -ENXIO);
    int64_t reader = open_file("/tmp/fifo", O_RDONLY | O_NONBLOCK, 0);
    writer = open_file("/tmp/fifo", O_WRONLY, 0);
    CHECK(write_file(writer, "abc"), 3);
    CHECK(CALL_LIBOS(read, (uint64_t)reader, USER(bytes), 10), 3);
    close_file(writer);
    CHECK(CALL_LIBOS(read, (uint64_t)reader, USER(bytes), 10), 0);
    close_file(reader);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/fifo")), 0);
    CHECK(CALL_LIBOS(mknod, USER("/tmp/device"), 0020600, 0x103), 0);
    become(1, 1, 1);
    CHECK(CALL_LIBOS(mknod, USER("/tmp/other-device"), 0020600, 0x103), -EPERM);
    CHECK(CALL_LIBOS(mknod, USER("/tmp/whiteout"), 0020600, 0), 0);
    CHECK(CALL_LIBOS(unlink, USER("/tmp/whiteout")), 0);
    become(0, 0, 0);
}

enum { UNIX = 1, INET = 2, STREAM = 1, RELIABLE = 4, PEEK = 2, DONTWAIT = 0x40, NOSIGNAL = 0x4000 };

static void make_socket_pair(uint64_t flags)
{
    int32_t ends[2] = {-1, -1};
    CHECK(CALL_LIBOS(socketpair, UNIX, STREAM | flags, 0, USER(ends)), 0);
    pipe_ends[0] = ends[0];
    pipe_ends[1] = ends[1];
}

static uint16_t polled(int64_t descriptor)
{
    struct {
        int32_t descriptor;
        uint16_t events, revents;
    } entry = {.descriptor = (int32_t)descriptor, .events = 0x2005};
    CHECK(CALL_LIBOS(poll, USER(&entry), 1, 0) >= 0, 1);
    return entry.revents;
}

static void test_socket_pairs(void)
{
    static char bytes[70000];
    int32_t ends[2], value, size = 4;
    uint64_t one, other;
    CHECK(CALL_LIBOS(socketpair, INET, STREAM, 0, USER(ends)), -EOPNOTSUPP);
    CHECK(CALL_LIBOS(socketpair, UNIX, RELIABLE, 0, USER(ends)), -ESOCKTNOSUPPORT);
    CHECK(CALL_LIBOS(socketpair, UNIX, STREAM, 7, USER(ends)), -EPROTONOSUPPORT);
    CHECK(CALL_LIBOS(socketpair, UNIX, STREAM, 0, 8), -EFAULT);

    make_socket_pair(O_NONBLOCK);
    one = (uint64_t)pipe_ends[0], other = (uint64_t)pipe_ends[1];
    CHECK(polled(pipe_ends[0]), 4);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, 0, 0, 0), -EAGAIN);
    CHECK(CALL_LIBOS(sendto, one, USER("to the other"), 12, 0, 0, 0), 12);
    CHECK(CALL_LIBOS(sendto, other, USER("back"), 4, NOSIGNAL, 0, 0), 4);
    CHECK(polled(pipe_ends[0]), 5);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, PEEK, 0, 0), 4);
    CHECK(CALL_LIBOS(read, one, USER(bytes), 10), 4);
    CHECK(memcmp(bytes, "back", 4), 0);
    CHECK(CALL_LIBOS(recvfrom, other, USER(bytes), sizeof(bytes), DONTWAIT, 0, 0), 12);
    CHECK(memcmp(bytes, "to the other", 12), 0);
    value = 32768; /* and twice as much in truth */
    CHECK(CALL_LIBOS(setsockopt, one, 1, 7, USER(&value), 4), 0);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), sizeof(bytes), 0, 0, 0), 65536);
    CHECK(polled(pipe_ends[0]), 0);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, 0, 0, 0), -EAGAIN);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, 0, USER(bytes), 2), -EISCONN);
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, 1, 0, 0), -EOPNOTSUPP);
    CHECK(CALL_LIBOS(sendto, one, 8, 10, 0, 0, 0), -EFAULT);
    CHECK(CALL_LIBOS(lseek, one, 0, 0), -ESPIPE);

    CHECK(CALL_LIBOS(getsockopt, one, 1, 3, USER(&value), USER(&size)), 0);
    CHECK(value, STREAM);
    size = -1;
    CHECK(CALL_LIBOS(getsockopt, one, 1, 3, USER(&value), USER(&size)), -EINVAL);
    size = 4;
    CHECK(CALL_LIBOS(getsockopt, one, 6, 1, USER(&value), USER(&size)), -EOPNOTSUPP);
    CHECK(CALL_LIBOS(getsockopt, one, 1, 99, USER(&value), USER(&size)), -ENOPROTOOPT);
    CHECK(CALL_LIBOS(setsockopt, one, 1, 7, USER(&value), 4), 0);
    CHECK(CALL_LIBOS(setsockopt, one, 1, 99, USER(&value), 4), -ENOPROTOOPT);
    size = 16;
    CHECK(CALL_LIBOS(getpeername, one, USER(bytes), USER(&size)), 0);
    CHECK(size, 2);
    CHECK(bytes[0], UNIX);

    /* what is on the way still arrives */
    CHECK(CALL_LIBOS(shutdown, one, 3), -EINVAL);
    CHECK(CALL_LIBOS(shutdown, one, 1), 0);
    CHECK(CALL_LIBOS(shutdown, one, 1), 0);
    signal_sent = 0;
    CHECK(CALL_LIBOS(sendto, one, USER(bytes), 1, NOSIGNAL, 0, 0), -EPIPE);
    CHECK(signal_sent, 0);
    CHECK(CALL_LIBOS(recvfrom, other, USER(bytes), sizeof(bytes), 0, 0, 0) > 0, 1);
    while (CALL_LIBOS(recvfrom, other, USER(bytes), sizeof(bytes), 0, 0, 0) > 0) {
    }
    CHECK(CALL_LIBOS(recvfrom, other, USER(bytes), 1, 0, 0, 0), 0);
    CHECK(polled(pipe_ends[1]), 0x2005);
    CHECK(CALL_LIBOS(sendto, other, USER("last"), 4, 0, 0, 0), 4);
    close_file(pipe_ends[1]);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, 0, 0, 0), 4);
    CHECK(CALL_LIBOS(recvfrom, one, USER(bytes), 10, 0, 0, 0), 0);
    CHECK(polled(pipe_ends[0]), 0x2015);
    CHECK(write_file(pipe_ends[0], "x"), -EPIPE);
    CHECK(signal_sent, SIGPIPE);
    close_file(pipe_ends[0]);

    make_socket_pair(0);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(recvfrom, (uint64_t)pipe_ends[0], USER(bytes), 10, 0, 0, 0), 4);
    shim_thread_join(thread);
    thread = shim_thread_start(close_later, &pipe_ends[1]);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 10), 0);
    shim_thread_join(thread);
    CHECK(CALL_LIBOS(shutdown, (uint64_t)open_file("/dev/zero", O_RDWR, 0), 1), -ENOTSOCK);
    CHECK(CALL_LIBOS(shutdown, 999, 1), -EBADF);
    close_file(pipe_ends[0]);
}

struct event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

static void test_waiting(void)
{
    struct {
        int32_t descriptor;
        uint16_t events, revents;
    } entries[3];
    struct event event = {.events = 1, .data = 42}, events[4];
    uint64_t value = 5;
    make_pipe(0);
    int64_t counter = CALL_LIBOS(eventfd2, 0, O_NONBLOCK);
    CHECK(CALL_LIBOS(read, (uint64_t)counter, USER(&value), 8), -EAGAIN);
    entries[0].descriptor = (int32_t)pipe_ends[0];
    entries[0].events = 1;
    entries[1].descriptor = (int32_t)counter;
    entries[1].events = 5;
    entries[2].descriptor = 999;
    CHECK(CALL_LIBOS(poll, USER(entries), 1, 0), 0);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, 20), 0);
    CHECK(CALL_LIBOS(poll, USER(entries), 2, (uint64_t)-1), 1);
    CHECK(entries[1].revents, 4);
    CHECK(CALL_LIBOS(poll, USER(entries), 3, (uint64_t)-1), 2);
    CHECK(entries[2].revents, 0x20);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, (uint64_t)-1), 1);
    CHECK(entries[0].revents, 1);
    shim_thread_join(thread);
    uint64_t sets[3][16] = {{1ULL << pipe_ends[0]}, {1ULL << counter}, {0}};
    uint64_t limit[2] = {1, 0};
    CHECK(CALL_LIBOS(select, 64, USER(sets[0]), USER(sets[1]), 0, USER(limit)), 2);
    signal_waits = true;
    char bytes[8];
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 8), 4);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 8), -EINTR);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, (uint64_t)-1), -EINTR);
    signal_waits = false;

    int64_t epoll = CALL_LIBOS(epoll_create1, 0);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)pipe_ends[0], USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)pipe_ends[0], USER(&event)), -EEXIST);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)open_file("/etc", 0, 0), USER(&event)), -EPERM);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)epoll, USER(&event)), -EINVAL);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 0);
    thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, (uint64_t)-1), 1);
    CHECK(events[0].data, 42);
    CHECK(events[0].events, 1);
    shim_thread_join(thread);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1); /* level: again */
    event.events = 1 | 1U << 31;
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 3, (uint64_t)pipe_ends[0], USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 0); /* edge: once */
    write_file(pipe_ends[1], "more");
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1);
    event.events = 1 | 1U << 30;
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 3, (uint64_t)pipe_ends[0], USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 0); /* one shot */
    int64_t outer = CALL_LIBOS(epoll_create1, 0);
    event.events = 1;
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)outer, 1, (uint64_t)epoll, USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)outer, USER(&event)), -ELOOP);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)counter, USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)outer, USER(events), 4, 0), 0);
    value = 7;
    CHECK(CALL_LIBOS(write, (uint64_t)counter, USER(&value), 8), 8);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)outer, USER(events), 4, 0), 1);
    CHECK(CALL_LIBOS(read, (uint64_t)counter, USER(&value), 8), 8);
    CHECK(value, 7);
    close_file(counter); /* leaves the epoll by itself */
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)outer, USER(events), 4, 0), 0);
    close_file(epoll);
    close_file(outer);

    int64_t timer = CALL_LIBOS(timerfd_create, 1, 0);
    int64_t setting[4] = {0, 0, 0, 20000000};
    CHECK(CALL_LIBOS(timerfd_settime, (uint64_t)timer, 0, USER(setting), 0), 0);
    entries[0].descriptor = (int32_t)timer;
    CHECK(CALL_LIBOS(poll, USER(entries), 1, 0), 0);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, (uint64_t)-1), 1);
    CHECK(CALL_LIBOS(read, (uint64_t)timer, USER(&value), 8), 8);
    CHECK(value, 1);
    close_file(timer);
    close_file(pipe_ends[0]);
    close_file(pipe_ends[1]);
}

/* A pipe from outside at descriptor 0, waited for together with one inside. */
static void test_standard_input(int host_writer)
{
    long write(int fd, const void *from, size_t size);
    struct {
        int32_t descriptor;
        uint16_t events, revents;
    } entries[2] = {{0, 1, 0}, {0, 1, 0}};
    char bytes[16];
    make_pipe(0);
    entries[1].descriptor = (int32_t)pipe_ends[0];
    CHECK(CALL_LIBOS(poll, USER(entries), 2, 10), 0);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(poll, USER(entries), 2, (uint64_t)-1), 1);
    CHECK(entries[1].revents, 1);
    shim_thread_join(thread);
    write(host_writer, "outside", 7);
    CHECK(CALL_LIBOS(poll, USER(entries), 2, (uint64_t)-1), 2);
    CHECK(CALL_LIBOS(read, 0, USER(bytes), 16), 7);
    CHECK(CALL_LIBOS(fstat, 0, USER(&status)), 0);
    CHECK(status.mode & 0170000, 0010000);
    CHECK(CALL_LIBOS(fcntl, 0, 4, O_NONBLOCK), 0);
    CHECK(CALL_LIBOS(read, 0, USER(bytes), 16), -EAGAIN);
    CHECK(CALL_LIBOS(fcntl, 0, 4, 0), 0);
    CHECK(CALL_LIBOS(ioctl, 0, 0x5401, USER(bytes)), -ENOTTY);
    int64_t again = open_file("/dev/stdin", O_RDONLY, 0);
    write(host_writer, "more", 4);
    CHECK(CALL_LIBOS(read, (uint64_t)again, USER(bytes), 16), 4);
    close_file(again);
    close_file(pipe_ends[0]);
    close_file(pipe_ends[1]);
}

static void test_volume(void)
{
    bool found;
    CHECK(count_names("/mnt/volume", "given", &found), 3);
    CHECK(found, 1);
    CHECK(content_is("/mnt/volume/given", "from the host"), 1);
    CHECK(make_file("/mnt/volume/made", "inside"), 6);
    CHECK(content_is("/mnt/volume/made", "inside"), 1);
    CHECK(CALL_LIBOS(mkdir, USER("/mnt/volume/directory"), 0755), 0);
    CHECK(CALL_LIBOS(rename, USER("/mnt/volume/made"), USER("/mnt/volume/directory/made")), 0);
    CHECK(stat_file("/mnt/volume/directory/../directory/made"), 0);
    CHECK(status.size, 6);
    CHECK(CALL_LIBOS(symlink, USER("directory/made"), USER("/mnt/volume/link")), 0);
    CHECK(content_is("/mnt/volume/link", "inside"), 1);
    CHECK(CALL_LIBOS(rmdir, USER("/mnt/volume/directory")), -ENOTEMPTY);
    CHECK(CALL_LIBOS(truncate, USER("/mnt/volume/link"), 2), 0);
    CHECK(content_is("/mnt/volume/link", "in"), 1);
    struct file *file;
    int64_t descriptor = open_file("/mnt/volume/link", O_RDWR | O_APPEND, 0);
    CHECK(write_file(descriptor, "side"), 4);
    CHECK(content_is("/mnt/volume/link", "inside"), 1);
    file = file_upcalls.of_descriptor((int)descriptor);
    CHECK(file_upcalls.check_mapping(file, 1, 2), 0);
    CHECK(file_upcalls.check_mapping(file, 5, 2), -EPERM);
    file_upcalls.put(file);
    close_file(descriptor);
    CHECK(CALL_LIBOS(chmod, USER("/mnt/volume/link"), 0755), 0);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/mnt/volume/link", 0, &file), -EACCES);
    CHECK(CALL_LIBOS(link, USER("/mnt/volume/given"), USER("/mnt/volume/hard")), 0);
    CHECK(content_is("/mnt/volume/hard", "from the host"), 1);
    CHECK(CALL_LIBOS(link, USER("/mnt/volume/given"), USER("/tmp/hard")), -EXDEV);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/hard")), 0);
    CHECK(CALL_LIBOS(rename, USER("/mnt/volume/given"), USER("/tmp/given")), -EXDEV);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/directory/made")), 0);
    CHECK(stat_file("/mnt/volume/link"), 0);
    CHECK(open_file("/mnt/volume/link", 0, 0), -ENOENT);
}

static void read_much(void *context)
{
    static const char *const paths[] = {"/bin/twin", "/sizes/3145733", "/sizes/524288"};
    uint8_t *expected = context;
    uint8_t *bytes = calloc(1, 70000);
    for (uint32_t round = 0; round < 300; round++) {
        int64_t descriptor = open_file(paths[round % 3], O_RDONLY, 0);
        uint64_t offset = round * 7919ULL % 200000;
        int64_t got =
            CALL_LIBOS(pread64, (uint64_t)descriptor, USER(bytes), 1 + round * 331ULL % 70000, offset);
        bool good = got > 0 && (round % 3 != 0 || memcmp(bytes, expected + offset, (size_t)got) == 0);
        if (!good) {
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        }
        close_file(descriptor);
        struct stat_words own;
        CALL_LIBOS(lstat, USER("/many/-5"), USER(&own));
        make_file("/tmp/shared", "x");
    }
    free(bytes);
}

static void test_threads(void)
{
    static uint8_t twin[300000];
    struct shim_thread *threads[4];
    CHECK(CALL_LIBOS(read, (uint64_t)open_file("/bin/twin", 0, 0), USER(twin), sizeof(twin)), 300000);
    for (size_t at = 0; at < ARRAY_LENGTH(threads); at++) {
        threads[at] = shim_thread_start(read_much, twin);
    }
    for (size_t at = 0; at < ARRAY_LENGTH(threads); at++) {
        shim_thread_join(threads[at]);
    }
}

static uint64_t size_of(const char *path)
{
    return (uint64_t)lseek(open(path, 0), 0, 2);
}

int main(int count, char **arguments)
{
    int pipe(int descriptors[2]);
    int dup2(int old, int new);
    int close(int fd);
    int ends[2];
    if (count != 6) {
        return 2;
    }
    pipe(ends);
    dup2(ends[0], 0);
    close(ends[0]);
    shim_start(arguments[1], arguments[2], arguments[3], arguments[5]);
    measured.has_rootfs = true;
    measured.policy = POLICY_ALLOW_HOST_NETWORK_FILES;
    measured.rootfs_size = size_of(arguments[1]);
    measured.verity_size = size_of(arguments[2]);
    for (size_t at = 0; at < sizeof(measured.rootfs_digest); at++) {
        char byte[3] = {arguments[4][2 * at], arguments[4][2 * at + 1]};
        measured.rootfs_digest[at] = (uint8_t)strtoull(byte, NULL, 16);
    }
    CHECK(fs_start(&measured), 0);
    CHECK(content_is("/etc/hosts", "127.0.0.1 localhost\n10.0.0.7 db # comment\n"), 1);
    CHECK(content_is("/etc/hostname", "guest\n"), 1);
    CHECK(log_lines, 1); /* resolv.conf of the host is malformed */
    test_paths();
    test_reading();
    test_writing_over_the_image();
    test_links_and_names();
    test_permissions();
    test_attributes();
    test_descriptors();
    test_synthetic_files();
    test_pipes();
    test_socket_pairs();
    test_waiting();
    test_standard_input(ends[1]);
    test_volume();
    test_threads();
    process_upcalls.flush_files();
    printf("%d failures\n", failures);
    return failures != 0;
}
