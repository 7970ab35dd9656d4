/* inotify(7): which events, in which order, with which names. Prints what it hears, so that both sides can be compared. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/dev/shm/inotify"
#define UNHEARD ROOT ".unheard" /* beside what the listener watches */
#define EVENT_SIZE ((int)sizeof(struct inotify_event))

static int listener;
static int last_number; /* the kernel may give out numbers of its own choice: printed is which one it was */
static int numbers[64];

static int known(int number)
{
    for (int at = 0; at < last_number; at++) {
        if (numbers[at] == number) {
            return at + 1;
        }
    }
    return -1;
}

static int watch(const char *path, uint32_t mask)
{
    int number = inotify_add_watch(listener, path, mask);
    CHECK(number > 0);
    if (known(number) < 0) {
        numbers[last_number++] = number;
    }
    return number;
}

static void show(const char *what)
{
    char events[16384] __attribute__((aligned(8)));
    uint32_t first_cookie = 0;
    ssize_t size;
    printf("%s\n", what);
    while ((size = read(listener, events, sizeof events)) > 0) {
        for (char *at = events; at < events + size;) {
            const struct inotify_event *event = (const void *)at;
            first_cookie = first_cookie == 0 ? event->cookie : first_cookie;
            printf("  %d %08x +%u %u %s\n", known(event->wd), event->mask,
                event->cookie == 0 ? 0 : event->cookie - first_cookie + 1, event->len, event->len ? event->name : "-");
            at += sizeof *event + event->len;
        }
    }
    CHECK(errno == EAGAIN);
}

static int make(const char *path)
{
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void files(void)
{
    char byte;
    int fd = make("d/f");
    show("create");
    CHECK(close(creat("d/new", 0600)) == 0 && close(creat("d/new", 0600)) == 0 && unlink("d/new") == 0);
    show("creat of what is not there, and of what is");
    CHECK(write(fd, "abc", 3) == 3 && write(fd, "abc", 3) == 3);
    show("write twice");
    CHECK(pread(fd, &byte, 1, 0) == 1 && pread(fd, &byte, 0, 0) == 0 && pread(fd, &byte, 1, 99) == 0);
    show("read");
    watch("d/f", IN_ALL_EVENTS);
    CHECK(fchmod(fd, 0644) == 0);
    show("fchmod");
    CHECK(chmod("d/f", 0600) == 0 && chown("d/f", getuid(), -1) == 0);
    show("chmod, chown");
    CHECK(ftruncate(fd, 1) == 0);
    show("ftruncate");
    CHECK(truncate("d/f", 100) == 0 && fallocate(fd, 0, 0, 200) == 0);
    show("truncate, fallocate");
    CHECK(rename("d/f", "e/a-longer-name-of-it") == 0);
    show("rename");
    CHECK(write(fd, "x", 1) == 1 && close(fd) == 0);
    show("write and close under the new name");
    CHECK(close(open("e/a-longer-name-of-it", O_RDONLY)) == 0 && close(open("e/a-longer-name-of-it", O_PATH)) == 0);
    show("open, close");
    CHECK(link("e/a-longer-name-of-it", "d/h") == 0);
    show("link");
    CHECK(unlink("e/a-longer-name-of-it") == 0);
    show("unlink one");
    fd = open("d/h", O_RDONLY);
    CHECK(fd >= 0 && unlink("d/h") == 0);
    show("unlink the other, open");
    CHECK(close(fd) == 0);
    show("close it");
    CHECK(close(make("d/gone")) == 0);
    watch("d/gone", IN_ALL_EVENTS);
    CHECK(unlink("d/gone") == 0);
    show("unlink");
}

static void times(void)
{
    struct timespec times[2] = {{1, 0}, {2, 0}};
    CHECK(close(make("d/t")) == 0);
    CHECK(utimensat(AT_FDCWD, "d/t", times, 0) == 0);
    times[1].tv_nsec = UTIME_OMIT;
    show("utimes");
    CHECK(utimensat(AT_FDCWD, "d/t", times, 0) == 0);
    show("access time");
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = 0;
    CHECK(utimensat(AT_FDCWD, "d/t", times, 0) == 0 && unlink("d/t") == 0);
    show("modification time, unlink");
}

static void renames(void)
{
    CHECK(close(make("d/1")) == 0 && close(make("d/2")) == 0);
    watch("d/1", IN_MOVE_SELF);
    watch("d/2", IN_ALL_EVENTS);
    show("two files");
    CHECK(rename("d/1", "d/2") == 0);
    show("rename over one that is watched");
    CHECK(syscall(SYS_renameat2, AT_FDCWD, "d/2", AT_FDCWD, "e", 2) == 0);
    show("exchange");
    CHECK(syscall(SYS_renameat2, AT_FDCWD, "e", AT_FDCWD, "d/2", 2) == 0 && unlink("d/2") == 0);
    show("and back");
}

static void directories(void)
{
    char entries[4096];
    CHECK(mkdir("d/sub", 0700) == 0);
    show("mkdir");
    watch("d/sub", IN_ALL_EVENTS);
    CHECK(rename("d/sub", "e/sub") == 0);
    show("rename");
    CHECK(chmod("e/sub", 0711) == 0 && rmdir("e/sub") == 0);
    show("chmod, rmdir");
    CHECK(symlink("x", "d/l") == 0 && mkfifo("d/p", 0600) == 0 && unlink("d/l") == 0 && unlink("d/p") == 0);
    show("symlink, mkfifo, unlink");
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    show("open");
    CHECK(syscall(SYS_getdents64, fd, entries, sizeof entries) > 0);
    show("getdents");
    CHECK(close(fd) == 0);
    show("close");
}

static void masks(void)
{
    int number = watch("d", IN_CREATE);
    CHECK(watch("d", IN_DELETE | IN_MASK_ADD) == number);
    CHECK(inotify_add_watch(listener, "d", IN_DELETE | 0x10000000) == -1 && errno == EEXIST);
    CHECK(close(make("d/m")) == 0 && unlink("d/m") == 0);
    show("create and delete alone");
    watch("d", IN_OPEN | IN_CLOSE | IN_MODIFY | IN_EXCL_UNLINK);
    int fd = make("d/m");
    CHECK(unlink("d/m") == 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    show("nothing after unlink");
    watch("d", IN_CREATE | IN_ONESHOT);
    CHECK(close(make("d/m")) == 0 && unlink("d/m") == 0);
    show("once");
    watch("d", IN_ALL_EVENTS);
    CHECK(symlink("d", "link") == 0);
    watch("link", IN_ALL_EVENTS | IN_DONT_FOLLOW);
    CHECK(unlink("link") == 0 && rename("d", "dd") == 0 && rename("dd", "d") == 0);
    show("link and moved directory");
}

static void refusals(void)
{
    CHECK(inotify_init1(1) == -1 && errno == EINVAL);
    CHECK(inotify_add_watch(listener, "d", 0) == -1 && errno == EINVAL);
    CHECK(inotify_add_watch(listener, "d", 0x00010000) == -1 && errno == EINVAL);
    CHECK(inotify_add_watch(listener, "d", IN_OPEN | IN_MASK_ADD | 0x10000000) == -1 && errno == EINVAL);
    CHECK(inotify_add_watch(0x7FFF, "d", IN_OPEN) == -1 && errno == EBADF);
    CHECK(inotify_add_watch(listener, "none", IN_OPEN) == -1 && errno == ENOENT);
    CHECK(inotify_add_watch(listener, "d/file", IN_OPEN | IN_ONLYDIR) == -1 && errno == ENOTDIR);
    CHECK(inotify_add_watch(listener, (char *)1, IN_OPEN) == -1 && errno == EFAULT);
    int fd = open("d/file", O_RDONLY);
    CHECK(inotify_add_watch(fd, "d", IN_OPEN) == -1 && errno == EINVAL);
    CHECK(inotify_rm_watch(fd, 1) == -1 && errno == EINVAL && close(fd) == 0);
    CHECK(inotify_rm_watch(listener, 12345) == -1 && errno == EINVAL);
    CHECK(write(listener, "x", 1) == -1 && errno == EBADF);
    show("refusals");
}

static void *make_later(void *argument)
{
    usleep(20000);
    CHECK(close(make("d/later")) == 0 && unlink("d/later") == 0);
    return argument;
}

static void reading(void)
{
    char events[4096];
    pthread_t thread;
    int waiting, other = inotify_init();
    struct pollfd look = {.fd = other, .events = POLLIN};
    CHECK(fcntl(other, F_GETFL) == O_RDONLY && fcntl(listener, F_GETFD) == FD_CLOEXEC);
    int number = inotify_add_watch(other, "d", IN_CREATE | IN_DELETE);
    CHECK(poll(&look, 1, 0) == 0 && ioctl(other, FIONREAD, &waiting) == 0 && waiting == 0);
    CHECK(pthread_create(&thread, NULL, make_later, NULL) == 0);
    CHECK(poll(&look, 1, -1) == 1 && look.revents == POLLIN && pthread_join(thread, NULL) == 0);
    CHECK(ioctl(other, FIONREAD, &waiting) == 0 && waiting == 2 * (EVENT_SIZE + 16));
    CHECK(read(other, events, EVENT_SIZE) == -1 && errno == EINVAL);
    struct iovec parts[] = {{events, EVENT_SIZE}, {events + EVENT_SIZE, 16}}; /* no event is divided among pieces */
    CHECK(readv(other, parts, 2) == -1 && errno == EINVAL);
    CHECK(read(other, events, EVENT_SIZE + 16 + 5) == EVENT_SIZE + 16);
    CHECK(read(other, events, sizeof events) == EVENT_SIZE + 16);
    CHECK(pthread_create(&thread, NULL, make_later, NULL) == 0);
    ssize_t first = read(other, events, EVENT_SIZE + 16);
    CHECK(first == EVENT_SIZE + 16 && pthread_join(thread, NULL) == 0);
    struct iovec pieces[] = {{events, EVENT_SIZE + 16}, {events + EVENT_SIZE + 16, sizeof events - EVENT_SIZE - 16}};
    CHECK(inotify_rm_watch(other, number) == 0 && readv(other, pieces, 2) == 2 * EVENT_SIZE + 16);
    CHECK(((struct inotify_event *)(void *)(events + EVENT_SIZE + 16))->mask == IN_IGNORED && close(other) == 0);
    show("others");
}

static void overflow(void)
{
    char events[4096] __attribute__((aligned(8))), limit[16] = "";
    int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY), other = inotify_init1(IN_NONBLOCK);
    CHECK(fd >= 0 && read(fd, limit, sizeof limit - 1) > 0 && close(fd) == 0);
    int total = 0, most = atoi(limit), last = 0;
    CHECK(close(make(UNHEARD)) == 0 && inotify_add_watch(other, UNHEARD, IN_OPEN | IN_CLOSE) > 0);
    for (int at = 0; at < most / 2 + 10; at++) {
        CHECK(close(open(UNHEARD, O_RDONLY)) == 0);
    }
    for (ssize_t size; (size = read(other, events, sizeof events)) > 0; total += (int)size / EVENT_SIZE) {
        const struct inotify_event *event = (const void *)(events + size - EVENT_SIZE);
        last = event->mask == IN_Q_OVERFLOW && event->wd == -1;
    }
    CHECK(total == most + 1 && last && close(other) == 0 && unlink(UNHEARD) == 0);
    show("overflow");
}

static void links_of_proc(void)
{
    char path[64], target[300];
    int fd = make("d/before");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(rename("d/before", "e/after") == 0);
    ssize_t length = readlink(path, target, sizeof target - 1);
    CHECK(length == (ssize_t)sizeof ROOT "/e/after" - 1 && memcmp(target, ROOT "/e/after", (size_t)length) == 0);
    int again = open(path, O_RDONLY);
    CHECK(again >= 0 && unlink("e/after") == 0);
    length = readlink(path, target, sizeof target - 1);
    CHECK(length > 0 && strncmp(target, ROOT "/e/after (deleted)", (size_t)length) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", again);
    CHECK(readlink(path, target, sizeof target - 1) == length && close(fd) == 0 && close(again) == 0);
    show("descriptors");
}

int main(void)
{
    mkdir(ROOT, 0700);
    CHECK(chdir(ROOT) == 0 && mkdir("d", 0700) == 0 && mkdir("e", 0700) == 0);
    listener = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(listener >= 0);
    watch(".", IN_ALL_EVENTS);
    watch("d", IN_ALL_EVENTS);
    watch("e", IN_ALL_EVENTS);
    files();
    times();
    renames();
    directories();
    masks();
    CHECK(close(make("d/file")) == 0);
    refusals();
    reading();
    overflow();
    links_of_proc();
    CHECK(unlink("d/file") == 0 && rmdir("d") == 0 && rmdir("e") == 0);
    show("all removed");
    CHECK(chdir("/") == 0 && rmdir(ROOT) == 0);
    show("root removed");
    puts("inotify ok");
}
