/* What each kind of file says of itself, and refuses: the names of what has none, lseek(2), O_DIRECT, attributes, fcntl(2), what epoll(7) is told. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NEITHER 3 /* O_ACCMODE, in which musl counts O_PATH */
#define GET_HINT 1035
#define SET_HINT 1036
#define BLOCK_SIZE_REQUEST 2 /* FIGETBSZ */

static int made_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    return signalfd(-1, &set, 0);
}

static void nameless(void)
{
    const struct {
        int descriptor;
        const char *name;
    } kinds[] = {{epoll_create1(0), "anon_inode:[eventpoll]"}, {eventfd(0, 0), "anon_inode:[eventfd]"},
        {timerfd_create(CLOCK_MONOTONIC, 0), "anon_inode:[timerfd]"}, {made_signal(), "anon_inode:[signalfd]"},
        {inotify_init(), "anon_inode:inotify"}};
    for (size_t at = 0; at < sizeof kinds / sizeof kinds[0]; at++) {
        char path[64], name[64] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", kinds[at].descriptor);
        CHECK(readlink(path, name, sizeof name - 1) > 0 && strcmp(name, kinds[at].name) == 0);
        CHECK(lseek(kinds[at].descriptor, 7, SEEK_SET) == 0 && lseek(kinds[at].descriptor, -1, SEEK_END) == 0);
        FAILS(lseek(kinds[at].descriptor, 0, 9), EINVAL);
        FAILS(fcntl(kinds[at].descriptor, F_SETFL, O_DIRECT), EINVAL);
        CHECK(close(kinds[at].descriptor) == 0);
    }
}

static void timer_tells(void)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec set = {.it_interval = {7, 5}, .it_value = {1000000, 0}};
    char path[64], text[1024] = "";
    CHECK(timerfd_settime(timer, 0, &set, NULL) == 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", timer);
    int file = open(path, O_RDONLY);
    CHECK(read(file, text, sizeof text - 1) > 0 && close(file) == 0 && close(timer) == 0);
    CHECK(strstr(text, "clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (999") != NULL);
    CHECK(strstr(text, "\nit_interval: (7, 5)\n") != NULL);
}

static void devices(void)
{
    static const char *const paths[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"};
    for (size_t at = 0; at < sizeof paths / sizeof paths[0]; at++) {
        int file = open(paths[at], O_RDWR);
        CHECK(file >= 0 && lseek(file, 5, SEEK_SET) == 0 && lseek(file, -1, SEEK_SET) == 0);
        FAILS(fcntl(file, F_SETFL, O_DIRECT), EINVAL);
        CHECK(close(file) == 0);
        FAILS(open(paths[at], O_RDWR | O_DIRECT), EINVAL);
    }
    FAILS(open("/proc", O_RDONLY | O_DIRECTORY | O_DIRECT), EINVAL);
    FAILS(open("/proc/self/stat", O_RDONLY | O_DIRECT), EINVAL);
}

static void attributes(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    FAILS(fsetxattr(ends[0], "user.a", "b", 1, 0), EPERM); /* files and directories have those */
    FAILS(fremovexattr(ends[0], "user.a"), EPERM);
    FAILS(fgetxattr(ends[0], "user.a", NULL, 0), ENODATA);
    CHECK(fcntl(ends[0], F_SETFL, O_DIRECT) == 0); /* packets */
    int file = open("/proc/self/status", O_RDONLY);
    FAILS(fsync(file), EINVAL);
    CHECK(close(file) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void files(void)
{
    static const char path[] = "/tmp/file_kinds";
    unsigned long hint = 9;
    int size = 0, file = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fcntl(file, GET_HINT, &hint) == 0 && hint == 0);
    hint = 4;
    CHECK(fcntl(file, SET_HINT, &hint) == 0 && (hint = 0, fcntl(file, GET_HINT, &hint)) == 0 && hint == 4);
    hint = 6;
    FAILS(fcntl(file, SET_HINT, &hint), EINVAL);
    CHECK(ioctl(file, BLOCK_SIZE_REQUEST, &size) == 0 && size == 4096);
    CHECK(close(file) == 0 && (file = open(path, NEITHER)) >= 0);
    FAILS(flock(file, LOCK_SH), EBADF);
    CHECK(flock(file, LOCK_UN) == 0 && close(file) == 0 && unlink(path) == 0);
    FAILS(mknod(path, S_IFDIR | 0700, 0), EPERM);
}

static int change(int epoll, int operation, int file, unsigned events)
{
    struct epoll_event event = {.events = events};
    return epoll_ctl(epoll, operation, file, &event);
}

static void exclusive(void)
{
    int epoll = epoll_create1(0), inner = epoll_create1(0), ends[2];
    CHECK(pipe(ends) == 0);
    FAILS(change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLEXCLUSIVE | EPOLLIN), EINVAL);
    FAILS(change(epoll, EPOLL_CTL_ADD, ends[0], EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
    FAILS(change(epoll, EPOLL_CTL_ADD, ends[0], EPOLLEXCLUSIVE | EPOLLPRI), EINVAL);
    FAILS(change(epoll, EPOLL_CTL_ADD, inner, EPOLLEXCLUSIVE | EPOLLIN), EINVAL);
    CHECK(change(epoll, EPOLL_CTL_ADD, ends[0], EPOLLEXCLUSIVE | EPOLLIN | EPOLLET) == 0);
    FAILS(change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN), EINVAL);
    CHECK(change(epoll, EPOLL_CTL_DEL, ends[0], 0) == 0);
    CHECK(close(epoll) == 0 && close(inner) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static short ready(int descriptor)
{
    struct pollfd entry = {.fd = descriptor, .events = 0x3ff};
    CHECK(poll(&entry, 1, 0) >= 0);
    return entry.revents;
}

static void events(void)
{
    int event = eventfd(1, 0), ends[2];
    CHECK(ready(event) == (POLLIN | POLLOUT) && close(event) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && ready(ends[0]) == (POLLOUT | POLLWRNORM | POLLWRBAND));
    struct iovec nothing = {NULL, 0};
    CHECK(close(ends[1]) == 0 && writev(ends[0], &nothing, 1) == 0 && writev(ends[0], NULL, 0) == 0 && close(ends[0]) == 0);
}

int main(void)
{
    nameless();
    timer_tells();
    devices();
    attributes();
    files();
    exclusive();
    events();
    puts("kinds ok");
    return 0;
}
