/* Calls that few programs make, without the rights of an administrator: what they tell, and which of their mistakes Linux sees first. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static void clock_adjustments(void)
{
    struct timex timex = {0};
    CHECK(adjtimex(&timex) >= 0 && timex.tick >= 9000 && timex.tick <= 11000 && timex.tolerance == 32768000 && timex.precision >= 1);
    long ahead = time(NULL) - timex.time.tv_sec;
    CHECK(ahead >= 0 && ahead < 60);
    timex.modes = ADJ_TICK;
    FAILS(adjtimex(&timex), EPERM);
    timex.modes = ADJ_OFFSET_SS_READ;
    CHECK(adjtimex(&timex) >= 0);
    timex.modes = 0x8000;
    FAILS(adjtimex(&timex), EINVAL);
    timex.modes = ADJ_OFFSET_SINGLESHOT;
    FAILS(adjtimex(&timex), EPERM);
    timex.modes = 0;
    CHECK(clock_adjtime(CLOCK_REALTIME, &timex) >= 0);
    FAILS(clock_adjtime(CLOCK_MONOTONIC, &timex), EOPNOTSUPP);
    FAILS(clock_adjtime(1000, &timex), EINVAL);
    FAILS(syscall(SYS_adjtimex, 8L), EFAULT);
}

static void administration(void)
{
    FAILS(syscall(SYS_acct, NULL), EPERM);
    FAILS(syscall(SYS_swapoff, "/nothing"), EPERM);
    FAILS(syscall(SYS_swapon, "/nothing", 0), EPERM);
    FAILS(syscall(SYS_swapon, "/nothing", 1 << 30), EINVAL);
    FAILS(syscall(SYS_setdomainname, "name", 4), EPERM);
    FAILS(syscall(SYS_sethostname, "name", 4), EPERM);
    FAILS(syscall(SYS_reboot, 0, 0, 0, NULL), EPERM);
}

static void namespaces(void)
{
    int null = open("/dev/null", O_RDONLY), self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    FAILS(syscall(SYS_setns, -1, 0), EBADF);
    FAILS(syscall(SYS_setns, null, CLONE_NEWUTS), EINVAL);
    FAILS(syscall(SYS_setns, self, 0), EINVAL);
    FAILS(syscall(SYS_setns, self, CLONE_FILES), EINVAL);
    FAILS(syscall(SYS_setns, self, CLONE_NEWUTS), EPERM);
    CHECK(close(null) == 0 && close(self) == 0);
}

struct handle {
    unsigned bytes;
    int type;
    unsigned char content[128];
};

static long handle_of(const char *name, struct handle *handle, unsigned room, int flags)
{
    int mount;
    handle->bytes = room;
    return syscall(SYS_name_to_handle_at, AT_FDCWD, name, handle, &mount, flags);
}

static void handles(void)
{
    struct handle one, other;
    unlink("/dev/shm/rare_calls");
    unlink("/dev/shm/rare_link");
    int fd = open("/dev/shm/rare_calls", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && symlink("rare_calls", "/dev/shm/rare_link") == 0);
    FAILS(handle_of("/dev/shm/rare_calls", &one, 0, 0), EOVERFLOW);
    unsigned size = one.bytes;
    CHECK(size > 0 && size <= 128 && handle_of("/dev/shm/rare_calls", &one, size, 0) == 0 && one.bytes == size);
    CHECK(handle_of("/dev/shm/rare_link", &other, size, AT_SYMLINK_FOLLOW) == 0 && other.type == one.type && memcmp(one.content, other.content, size) == 0);
    CHECK(handle_of("/dev/shm/rare_link", &other, size, 0) == 0 && memcmp(one.content, other.content, size) != 0);
    FAILS(handle_of("/dev/shm/rare_calls", &one, 129, 0), EINVAL);
    FAILS(handle_of("/dev/shm/rare_calls", &one, size, AT_SYMLINK_NOFOLLOW), EINVAL);
    FAILS(handle_of("/dev/shm/nothing", &one, size, 0), ENOENT);
    FAILS(handle_of("/proc/self", &one, size, 0), EOPNOTSUPP);
    FAILS(syscall(SYS_name_to_handle_at, AT_FDCWD, "/dev/shm/rare_calls", NULL, NULL, 0), EFAULT);
    handle_of("/dev/shm/rare_calls", &one, size, 0);
    FAILS(syscall(SYS_open_by_handle_at, AT_FDCWD, &one, O_RDONLY), EPERM);
    CHECK(close(fd) == 0 && unlink("/dev/shm/rare_calls") == 0 && unlink("/dev/shm/rare_link") == 0);
}

/* remap_file_pages(2) turns the pages of a window around. */
static void windows(void)
{
    enum { PAGES = 8 };
    long size = sysconf(_SC_PAGESIZE);
    int fd = memfd_create("windows", 0);
    CHECK(ftruncate(fd, PAGES * size) == 0);
    char *window = mmap(NULL, (size_t)(PAGES * size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(window != MAP_FAILED && private != MAP_FAILED);
    for (int at = 0; at < PAGES; at++) {
        window[at * size] = (char)('a' + at);
    }
    for (int at = 0; at < PAGES; at++) {
        CHECK(remap_file_pages(window + at * size, (size_t)size, 0, (size_t)(PAGES - 1 - at), 0) == 0);
    }
    for (int at = 0; at < PAGES; at++) {
        CHECK(window[at * size] == 'a' + PAGES - 1 - at);
        window[at * size + 1] = (char)('A' + at);
    }
    char bytes[2];
    for (int at = 0; at < PAGES; at++) {
        CHECK(pread(fd, bytes, 2, at * size) == 2 && bytes[0] == 'a' + at && bytes[1] == 'A' + PAGES - 1 - at);
    }
    CHECK(remap_file_pages(window, (size_t)(2 * size), 0, 0, 0) == 0); /* over two areas of one file */
    CHECK(window[0] == 'a' && window[size] == 'b');
    FAILS(remap_file_pages(window, (size_t)size, PROT_READ, 0, 0), EINVAL);
    FAILS(remap_file_pages(window, 0, 0, 0, 0), EINVAL);
    FAILS(remap_file_pages(private, (size_t)size, 0, 0, 0), EINVAL);
    CHECK(munmap(private, (size_t)size) == 0);
    FAILS(remap_file_pages(private, (size_t)size, 0, 0, 0), EINVAL);
    CHECK(munmap(window, (size_t)(PAGES * size)) == 0 && close(fd) == 0);
}

int main(void)
{
    CHECK(getuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0));
    clock_adjustments();
    administration();
    namespaces();
    handles();
    windows();
    puts("rare calls ok");
    return 0;
}
