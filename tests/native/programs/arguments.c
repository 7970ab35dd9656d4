/* Arguments are checked before 0 is answered, and what was set is told again: scheduling, mappings, futexes, names, edges. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 0x3FFFFFFF
#define PAGE 4096UL

static void scheduling(void)
{
    cpu_set_t all, one, now;
    struct sched_param parameters = {.sched_priority = 0};
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) >= 1);
    CPU_ZERO(&one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == -1 && errno == EINVAL);
    int first = 0;
    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    CPU_SET(first, &one);
    CHECK(sched_setaffinity(NOBODY, sizeof one, &one) == -1 && errno == ESRCH);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &one));
    CHECK(sched_getcpu() == first);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    CHECK(syscall(SYS_sched_getscheduler, -1L) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_sched_getscheduler, (long)NOBODY) == -1 && errno == ESRCH);
    CHECK(syscall(SYS_sched_setscheduler, 0L, 99L, &parameters) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_sched_setscheduler, 0L, 3L, &parameters) == 0); /* SCHED_BATCH */
    CHECK(syscall(SYS_sched_getscheduler, 0L) == 3);
    parameters.sched_priority = 7;
    CHECK(syscall(SYS_sched_setscheduler, 0L, 0L, &parameters) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_sched_setparam, 0L, NULL) == -1 && errno == EINVAL);
    CHECK(getpriority(99, 0) == -1 && errno == EINVAL);
    CHECK(getpriority(PRIO_PROCESS, NOBODY) == -1 && errno == ESRCH);
    CHECK(setpriority(PRIO_PROCESS, NOBODY, 1) == -1 && errno == ESRCH);
    CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
    CHECK(syscall(SYS_ioprio_get, 1L, 0L) >= 0);
    CHECK(syscall(SYS_ioprio_set, 1L, 0L, 3L << 13) == 0 && syscall(SYS_ioprio_get, 1L, 0L) == 3 << 13);
    CHECK(syscall(SYS_ioprio_set, 1L, 0L, 4L << 13) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_ioprio_set, 1L, (long)NOBODY, 0L) == -1 && errno == ESRCH);
    CHECK(syscall(SYS_ioprio_get, 0L, 0L) == -1 && errno == EINVAL);
    CHECK(setpriority(PRIO_PROCESS, 0, 99) == 0 && getpriority(PRIO_PROCESS, 0) == 19);
}

static void mappings(void)
{
    int file = open("/tmp/arguments", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0);
    CHECK(mmap(NULL, PAGE, PROT_READ, 3 | 0x80000, file, 0) == MAP_FAILED && errno == EOPNOTSUPP); /* MAP_SYNC */
    CHECK(mmap(NULL, PAGE, PROT_READ, 3, file, 0) != MAP_FAILED);
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    CHECK(mprotect(page, PAGE, PROT_READ | 0x01000000) == -1 && errno == EINVAL); /* PROT_GROWSDOWN */
    CHECK(madvise(page, PAGE, 63) == -1 && errno == EINVAL);
    CHECK(madvise(page, PAGE, MADV_WILLNEED) == 0 && madvise(page, PAGE, MADV_NOHUGEPAGE) == 0);
    CHECK(close(file) == 0 && unlink("/tmp/arguments") == 0);
    CHECK(syscall(SYS_memfd_create, "name", 0x800L) == -1 && errno == EINVAL);
    FAILS(syscall(SYS_mmap, NULL, PAGE, 1L, 0L, -1L, 0L), EBADF); /* before the type is looked at */
    FAILS(syscall(SYS_mmap, NULL, PAGE, 1L, 0x20L, -1L, 0L), EINVAL);
    FAILS(syscall(SYS_mmap, NULL, -1L, 1L, 0x20L, -1L, 0L), ENOMEM);
    FAILS(syscall(SYS_mmap, NULL, 0L, 1L, 0x40022L, -1L, 0L), EINVAL);
    FAILS(syscall(SYS_mremap, page, PAGE, PAGE, 5L, page + 1), EINVAL); /* MREMAP_DONTUNMAP */
    FAILS(syscall(SYS_mremap, page, PAGE, PAGE, 5L, page), EINVAL);
    CHECK(msync(page, (size_t)-1, MS_SYNC) == 0); /* in whole pages, nothing */
    FAILS(msync(page, (size_t)-(long)PAGE, MS_SYNC), ENOMEM);
    CHECK(munmap(page, PAGE) == 0);
    CHECK(syscall(SYS_futex, page, 1L, 1L) == -1 && errno == EFAULT); /* FUTEX_WAKE, not private */
    CHECK(syscall(SYS_futex, page + 1, 1L, 1L) == -1 && errno == EINVAL);
}

/* MCE: when broken memory is told of. */
static void broken_memory(void)
{
    CHECK(prctl(PR_MCE_KILL_GET, 0L, 0L, 0L, 0L) == PR_MCE_KILL_DEFAULT);
    CHECK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0L, 0L) == 0 && prctl(PR_MCE_KILL_GET, 0L, 0L, 0L, 0L) == PR_MCE_KILL_EARLY);
    FAILS(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, 3L, 0L, 0L), EINVAL);
    FAILS(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1L, 0L, 0L), EINVAL);
    FAILS(prctl(PR_MCE_KILL, 2L, 0L, 0L, 0L), EINVAL);
    CHECK(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0L, 0L, 0L) == 0 && prctl(PR_MCE_KILL_GET, 0L, 0L, 0L, 0L) == PR_MCE_KILL_DEFAULT);
}

static void names(void)
{
    char text[32] = "";
    CHECK(prctl(PR_SET_NAME, "renamed") == 0);
    int file = open("/proc/self/comm", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text) == 8 && strncmp(text, "renamed\n", 8) == 0);
    CHECK(prctl(PR_SET_TIMERSLACK, 1234L) == 0 && prctl(PR_GET_TIMERSLACK) == 1234);
    CHECK(prctl(PR_SET_TIMERSLACK, 0L) == 0 && prctl(PR_GET_TIMERSLACK) == 50000);
    CHECK(syscall(SYS_utimensat, file, NULL, NULL, (long)AT_SYMLINK_NOFOLLOW) == -1 && errno == EINVAL);
    CHECK(close(file) == 0);
}

static void edges(void)
{
    int ends[2], watcher = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET}, found[600];
    char bytes[8] = "12345678";
    CHECK(pipe(ends) == 0 && watcher >= 0);
    CHECK(epoll_ctl(watcher, EPOLL_CTL_ADD, ends[0], &event) == 0);
    CHECK(write(ends[1], bytes, 8) == 8);
    CHECK(epoll_wait(watcher, found, 1, 0) == 1);
    CHECK(read(ends[0], bytes, 3) == 3);
    CHECK(epoll_wait(watcher, found, 1, 0) == 0); /* a read is no news */
    CHECK(write(ends[1], bytes, 1) == 1);
    CHECK(epoll_wait(watcher, found, 1, 0) == 1 && epoll_wait(watcher, found, 1, 0) == 0);
    event.events = EPOLLOUT | EPOLLET;
    CHECK(epoll_ctl(watcher, EPOLL_CTL_ADD, ends[1], &event) == 0 && epoll_wait(watcher, found, 2, 0) == 1);
    CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], "full", 1) == 1) {
    }
    CHECK(epoll_wait(watcher, found, 2, 0) >= 0);
    CHECK(epoll_wait(watcher, found, 2, 0) == 0);
    static char much[65536];
    CHECK(read(ends[0], much, sizeof much) > 60000);
    CHECK(epoll_wait(watcher, found, 2, 0) == 1 && (found[0].events & EPOLLOUT));
    CHECK(close(ends[1]) == 0 && epoll_wait(watcher, found, 2, 0) == 1 && (found[0].events & EPOLLHUP));
    CHECK(close(ends[0]) == 0);
    event.events = EPOLLIN;
    for (int count = 0; count < 600; count++) {
        CHECK(epoll_ctl(watcher, EPOLL_CTL_ADD, eventfd(1, 0), &event) == 0);
    }
    CHECK(epoll_wait(watcher, found, 600, 0) == 600);
}

/* What O_PATH opens is not open for reading, writing, waiting, locking or changing. */
static void paths(void)
{
    int file = open("/tmp/paths", O_CREAT | O_RDWR, 0600), path = open("/tmp/paths", O_PATH);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd entry = {.fd = path, .events = POLLIN};
    char text[8];
    CHECK(file >= 0 && path >= 0 && epoll >= 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, path, &event) == -1 && errno == EBADF);
    CHECK(epoll_wait(path, &event, 1, 0) == -1 && errno == EBADF);
    CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLNVAL);
    CHECK(ftruncate(path, 0) == -1 && errno == EBADF);
    CHECK(syscall(SYS_fallocate, path, 0L, 0L, 1L) == -1 && errno == EBADF);
    CHECK(syscall(SYS_syncfs, path) == -1 && errno == EBADF);
    CHECK(syscall(SYS_sync_file_range, path, 0L, 0L, 0L) == -1 && errno == EBADF);
    CHECK(syscall(SYS_utimensat, path, NULL, NULL, 0L) == -1 && errno == EBADF);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0) == MAP_FAILED && errno == EBADF);
    CHECK(dup2(path, epoll) == epoll && fcntl(epoll, F_GETFL) == O_PATH);
    CHECK(readlink("", text, sizeof text) == -1 && errno == ENOENT);
    CHECK(mmap(NULL, 0, PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, PROT_READ, 3 | 0x200, file, 0) == MAP_FAILED && errno == EOPNOTSUPP);
    CHECK(close(file) == 0 && close(path) == 0 && close(epoll) == 0 && unlink("/tmp/paths") == 0);
    int zeros = open("/dev/zero", O_RDONLY);
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, zeros, 0);
    CHECK(page != MAP_FAILED && mprotect(page, PAGE, PROT_WRITE) == -1 && errno == EACCES);
    CHECK(munmap(page, PAGE) == 0 && close(zeros) == 0);
    CHECK(chroot("/tmp/paths") == -1 && errno == ENOENT);
    CHECK(syscall(SYS_arch_prctl, 0x1011L, 0L) == 1); /* ARCH_GET_CPUID */
}

#define OUTSIDE ((void *)-4096L)

/* A pointer that leads nowhere is found where it is used: not before a worse argument, and before data is gone. */
static void pointers(void)
{
    int pipes[2];
    char byte = 0, *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && pipe2(pipes, O_NONBLOCK) == 0 && write(pipes[1], "x", 1) == 1);
    CHECK(syscall(SYS_read, pipes[0], OUTSIDE, 1L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_read, pipes[0], page, 1L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_read, pipes[0], &byte, 1L) == 1 && byte == 'x');
    FAILS(syscall(SYS_read, pipes[0], page, 1L), EAGAIN); /* of an empty one */
    FAILS(syscall(SYS_read, pipes[0], OUTSIDE, 1L), EFAULT);
    CHECK(syscall(SYS_write, pipes[1], OUTSIDE, 1L) == -1 && errno == EFAULT);
    while (write(pipes[1], page, PAGE) > 0) {
    }
    FAILS(syscall(SYS_write, pipes[1], (void *)8, 1L), EAGAIN); /* to a full one */
    FAILS(syscall(SYS_write, pipes[1], OUTSIDE, 1L), EFAULT);
    CHECK(syscall(SYS_read, -1L, OUTSIDE, 1L) == -1 && errno == EBADF);
    CHECK(syscall(SYS_write, -1L, OUTSIDE, 1L) == -1 && errno == EBADF);
    CHECK(syscall(SYS_fstat, -1L, OUTSIDE) == -1 && errno == EBADF);
    CHECK(syscall(SYS_readlink, "/nowhere", OUTSIDE, 9L) == -1 && errno == ENOENT);
    CHECK(syscall(SYS_getrandom, OUTSIDE, 9L, 99L) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_getrandom, OUTSIDE, 9L, 0L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_getcwd, OUTSIDE, 1L) == -1 && errno == ERANGE);
    CHECK(syscall(SYS_setrlimit, 99L, OUTSIDE) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_getrlimit, 99L, OUTSIDE) == -1 && errno == EINVAL);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0 && munmap(page, PAGE) == 0);
}

/* One mistake at a time, and what looks like one and is none. */
static void small_things(void)
{
    uint64_t set = 1;
    char byte;
    struct stat status;
    CHECK(syscall(SYS_rt_sigpending, &set, 0) == 0 && set == 1 && syscall(SYS_rt_sigpending, &set, 8) == 0 && set == 0);
    FAILS(syscall(SYS_rt_sigpending, &set, 9), EINVAL);
    FAILS(syscall(SYS_getrandom, &byte, 1, 6), EINVAL); /* GRND_RANDOM and GRND_INSECURE */
    FAILS(setpgid(-1, 0), EINVAL);
    CHECK(syscall(SYS_sigaltstack, &(stack_t){0}, NULL) == 0); /* no change; libraries look at the size themselves */
    FAILS(syscall(SYS_sigaltstack, &(stack_t){.ss_sp = &byte}, NULL), ENOMEM);
    int zero = open("/dev/zero", O_RDWR);
    CHECK(zero >= 0 && pread(zero, &byte, 1, INT64_MAX - 1) == 1);
    FAILS(pread(zero, &byte, 1, INT64_MAX), EINVAL);
    FAILS(pwrite(zero, &byte, 1, INT64_MAX), EINVAL);
    CHECK(lseek(zero, 0, 99) == -1 && errno == EINVAL && close(zero) == 0);
    CHECK(syscall(SYS_newfstatat, AT_FDCWD, "/", &status, 0x4000) == 0); /* AT_STATX_DONT_SYNC */
}

/* Pipes and sockets, those among them that a program is started with, have an owner and permissions. */
static void owners_without_names(void)
{
    int ends[2], pair[2], counter = eventfd(0, 0);
    struct stat status;
    CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && counter >= 0);
    const int files[] = {ends[0], pair[1]};
    for (size_t at = 0; at < sizeof files / sizeof *files; at++) {
        CHECK(fchmod(files[at], 0640) == 0 && fchown(files[at], getuid(), getgid()) == 0);
        CHECK(fstat(files[at], &status) == 0 && (status.st_mode & 07777) == 0640 && status.st_uid == getuid());
    }
    CHECK(fstat(ends[1], &status) == 0 && (status.st_mode & 07777) == 0640);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0 && close(counter) == 0);
    CHECK(fstat(1, &status) == 0);
    if (S_ISFIFO(status.st_mode)) { /* and no device of the machine's */
        CHECK(fchmod(1, 0622) == 0 && fstat(1, &status) == 0 && (status.st_mode & 07777) == 0622);
        CHECK(fchown(1, getuid(), getgid()) == 0);
    }
}

int main(void)
{
    small_things();
    owners_without_names();
    paths();
    pointers();
    scheduling();
    mappings();
    names();
    broken_memory();
    edges();
    puts("arguments ok");
}
