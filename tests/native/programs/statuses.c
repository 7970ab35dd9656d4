/* statx(2) in full, owners of files (fcntl(2)), and files of /proc and /sys that programs read. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PATH "/dev/shm/statuses"
#define BASIC 0x7FFU
#define BTIME 0x800U
#define MNT_ID 0x1000U
#define MOUNT_ROOT 0x2000U

struct status {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, padding;
    uint64_t inode, size, blocks, attributes_mask;
    struct {
        int64_t seconds;
        uint32_t nanoseconds;
        int32_t reserved;
    } atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, major, minor;
    uint64_t mount, more[13];
};

struct owner {
    int type, id;
};

static struct status status_of(const char *path)
{
    struct status status;
    CHECK(syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, BASIC | BTIME | MNT_ID, &status) == 0);
    return status;
}

static int first_line(const char *path, char *line, size_t size)
{
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    ssize_t length = read(fd, line, size - 1);
    CHECK(length > 0 && close(fd) == 0);
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return (int)length;
}

static unsigned long long mount_told_of(int fd)
{
    char path[64], text[512], *line;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    ssize_t length = read(info, text, sizeof text - 1);
    CHECK(info >= 0 && length > 0 && close(info) == 0);
    text[length] = '\0';
    line = strstr(text, "mnt_id:\t");
    CHECK(line != NULL);
    return strtoull(line + strlen("mnt_id:\t"), NULL, 10);
}

static void statuses(void)
{
    struct status before, after, directory = status_of("/dev/shm"), none;
    int fd = open(PATH, O_CREAT | O_EXCL | O_RDWR, 0600);
    CHECK(fd >= 0);
    before = status_of(PATH);
    CHECK((before.mask & (BASIC | BTIME | MNT_ID)) == (BASIC | BTIME | MNT_ID));
    CHECK(before.btime.seconds == before.ctime.seconds && before.mount != 0 && before.mount == directory.mount);
    CHECK((before.attributes_mask & MOUNT_ROOT) && !(before.attributes & MOUNT_ROOT) && (directory.attributes & MOUNT_ROOT));
    usleep(2000);
    CHECK(write(fd, "abc", 3) == 3 && chmod(PATH, 0640) == 0);
    after = status_of(PATH);
    CHECK(memcmp(&after.btime, &before.btime, sizeof after.btime) == 0 && after.size == 3 && after.mode == (S_IFREG | 0640));
    CHECK(memcmp(&after.ctime, &before.ctime, sizeof after.ctime) != 0);
    CHECK(status_of("/").mount != after.mount && status_of("/proc").mount != after.mount);
    CHECK(mount_told_of(fd) == before.mount);
    CHECK(syscall(SYS_statx, AT_FDCWD, PATH, 0, 0x80000000U, &none) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_statx, AT_FDCWD, PATH, 0x6000, BASIC, &none) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_statx, fd, "", 0x1000, BASIC, &none) == 0 && none.size == 3);
    CHECK(close(fd) == 0 && unlink(PATH) == 0);
}

static void owners(void)
{
    int ends[2];
    struct owner owner = {.type = 0, .id = (int)syscall(SYS_gettid)}, found = {9, 9};
    CHECK(pipe(ends) == 0 && fcntl(ends[0], F_GETOWN) == 0 && fcntl(ends[0], 11) == 0);
    CHECK(fcntl(ends[0], 16, &found) == 0 && found.id == 0);
    CHECK(fcntl(ends[0], 15, &owner) == 0 && fcntl(ends[0], 16, &found) == 0);
    CHECK(found.type == 0 && found.id == owner.id && fcntl(ends[0], F_GETOWN) == owner.id);
    CHECK(syscall(SYS_fcntl, ends[0], F_SETOWN, getpid()) == 0 && fcntl(ends[0], F_GETOWN) == getpid());
    owner = (struct owner){.type = 3, .id = getpid()};
    CHECK(fcntl(ends[0], 15, &owner) == -1 && errno == EINVAL);
    owner = (struct owner){.type = 1, .id = 999999};
    CHECK(fcntl(ends[0], 15, &owner) == -1 && errno == ESRCH);
    CHECK(fcntl(ends[0], 15, (void *)1) == -1 && errno == EFAULT);
    CHECK(fcntl(ends[0], 10, SIGRTMIN) == 0 && fcntl(ends[0], 11) == SIGRTMIN);
    CHECK(fcntl(ends[0], 10, 65) == -1 && errno == EINVAL);
}

static void files_of_proc(void)
{
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts"};
    char line[4096], path[64], target[64];
    struct utsname name;
    CHECK(uname(&name) == 0);
    CHECK(first_line("/proc/sys/kernel/version", line, sizeof line) && strcmp(line, name.version) == 0);
    CHECK(first_line("/proc/sys/kernel/osrelease", line, sizeof line) && strcmp(line, name.release) == 0);
    CHECK(first_line("/proc/sys/kernel/core_pattern", line, sizeof line));
    CHECK(first_line("/proc/sys/kernel/pid_max", line, sizeof line) && atoi(line) >= 32768);
    CHECK(first_line("/proc/sys/kernel/pty/max", line, sizeof line) && atoi(line) > 0);
    CHECK(first_line("/proc/self/uid_map", line, sizeof line) && atoi(line) == 0);
    CHECK(first_line("/proc/self/oom_score_adj", line, sizeof line));
    CHECK(first_line("/proc/filesystems", line, sizeof line) && strcmp(line, "nodev\tsysfs") == 0);
    CHECK(first_line("/proc/swaps", line, sizeof line) && strncmp(line, "Filename", 8) == 0);
    for (size_t at = 0; at < sizeof kinds / sizeof kinds[0]; at++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[at]);
        CHECK(readlink(path, target, sizeof target) > 0);
    }
    umask(0137);
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t length = read(fd, line, sizeof line - 1);
    CHECK(length > 0);
    line[length] = '\0';
    CHECK(strstr(line, "\nUmask:\t0137\n") != NULL && close(fd) == 0);
}

int main(void)
{
    statuses();
    owners();
    files_of_proc();
    puts("statuses ok");
}
