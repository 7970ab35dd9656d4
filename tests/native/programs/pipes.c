/* pipe(7), fifo(7): how much fits, sizes, packets, and what opening a FIFO waits for. */
#define _GNU_SOURCE
#include "check.h"
#include "docker_rights.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIFO "/dev/shm/fifo"

static char data[2 << 20];

static size_t fill(int fd, size_t piece)
{
    size_t total = 0;
    ssize_t done;
    while ((done = write(fd, data, piece)) > 0) {
        total += (size_t)done;
    }
    CHECK(errno == EAGAIN);
    return total;
}

static int proc_number(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
    return atoi(text);
}

static void sizes(void)
{
    int ends[2], used;
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(fcntl(ends[0], F_GETPIPE_SZ) == 65536);
    CHECK(fcntl(ends[0], F_GETFL) == (O_RDONLY | O_NONBLOCK) && fcntl(ends[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
    CHECK(fill(ends[1], sizeof data) == 65536);
    CHECK(ioctl(ends[0], FIONREAD, &used) == 0 && used == 65536);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) == -1 && errno == EBUSY);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 65537) == 131072 && fcntl(ends[0], F_GETPIPE_SZ) == 131072);
    CHECK(fill(ends[1], sizeof data) == 65536);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
    CHECK(fill(ends[1], sizeof data) == (1 << 20) - 131072);
    CHECK(ioctl(ends[0], FIONREAD, &used) == 0 && used == 1 << 20);
    while (read(ends[0], data, sizeof data) > 0) {
    }
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 0) == 4096 && fcntl(ends[1], F_SETPIPE_SZ, 1) == 4096);
    CHECK(fill(ends[1], 1) == 4096);
    CHECK(read(ends[0], data, 100) == 100 && write(ends[1], data, 1) == -1 && errno == EAGAIN);
    CHECK(read(ends[0], data, 4000) == 3996);
    int most = proc_number("/proc/sys/fs/pipe-max-size");
    CHECK(most == 1 << 20 && proc_number("/proc/sys/fs/pipe-user-pages-soft") == 16384);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, most) == most);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, most + 1) == -1 && errno == EPERM);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 0x80000001U) == -1 && errno == EINVAL);
    int null = open("/dev/null", O_RDWR);
    CHECK(fcntl(null, F_GETPIPE_SZ) == -1 && errno == EBADF);
    CHECK(fcntl(null, F_SETPIPE_SZ, 4096) == -1 && errno == EBADF);
    CHECK(close(null) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* Small writes share a page, as long as the whole write fits there. */
static void merging(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(fill(ends[1], 4095) == 16 * 4095 && fill(ends[1], 1) == 1);
    CHECK(read(ends[0], data, sizeof data) == 16 * 4095 + 1);
    CHECK(fill(ends[1], 3000) == 16 * 3000 && fill(ends[1], 1000) == 1000 && fill(ends[1], 97) == 0);
    CHECK(fill(ends[1], 96) == 96);
    CHECK(read(ends[0], data, 3000) == 3000);
    struct pollfd poll_end = {.fd = ends[1], .events = POLLOUT};
    CHECK(poll(&poll_end, 1, 0) == 1);
    CHECK(close(ends[0]) == 0);
    CHECK(poll(&poll_end, 1, 0) == 1 && (poll_end.revents & POLLERR));
    CHECK(write(ends[1], data, 1) == -1 && errno == EPIPE && close(ends[1]) == 0);
}

static void packets(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK | O_DIRECT) == 0);
    CHECK(fcntl(ends[1], F_GETFL) == (O_WRONLY | O_NONBLOCK | O_DIRECT));
    CHECK(write(ends[1], "one", 3) == 3 && write(ends[1], "second", 6) == 6 && write(ends[1], "3", 1) == 1);
    CHECK(read(ends[0], data, 100) == 3 && memcmp(data, "one", 3) == 0);
    CHECK(read(ends[0], data, 2) == 2 && memcmp(data, "se", 2) == 0);
    CHECK(read(ends[0], data, 100) == 1 && data[0] == '3');
    CHECK(write(ends[1], data, 5000) == 5000);
    CHECK(read(ends[0], data, 9000) == 4096 && read(ends[0], data, 9000) == 904);
    CHECK(fill(ends[1], 1) == 16);
    CHECK(read(ends[0], data, 100) == 1);
    CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 && fill(ends[1], 2) == 4096);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void *open_writer(void *argument)
{
    usleep(20000);
    int fd = open(FIFO, O_WRONLY);
    CHECK(fd >= 0 && write(fd, "late", 4) == 4 && close(fd) == 0);
    return argument;
}

static void fifos(void)
{
    pthread_t thread;
    struct pollfd look = {.events = POLLIN};
    unlink(FIFO);
    CHECK(mkfifo(FIFO, 0600) == 0);
    CHECK(open(FIFO, O_WRONLY | O_NONBLOCK) == -1 && errno == ENXIO);
    int reader = look.fd = open(FIFO, O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0 && read(reader, data, 10) == 0);
    CHECK(poll(&look, 1, 0) == 0); /* nobody has left yet */
    int writer = open(FIFO, O_WRONLY);
    CHECK(writer >= 0 && read(reader, data, 10) == -1 && errno == EAGAIN);
    CHECK(write(writer, "hello", 5) == 5 && close(writer) == 0);
    CHECK(poll(&look, 1, 0) == 1 && look.revents == (POLLIN | POLLHUP));
    CHECK(read(reader, data, 3) == 3);
    CHECK(close(reader) == 0);
    reader = open(FIFO, O_RDONLY | O_NONBLOCK); /* what nobody read is gone */
    CHECK(read(reader, data, 10) == 0 && close(reader) == 0);
    CHECK(pthread_create(&thread, NULL, open_writer, NULL) == 0);
    reader = open(FIFO, O_RDONLY); /* waits for the writer */
    CHECK(read(reader, data, 10) == 4 && read(reader, data, 10) == 0 && close(reader) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    int both = open(FIFO, O_RDWR);
    CHECK(fcntl(both, F_GETPIPE_SZ) == 65536 && write(both, "x", 1) == 1 && read(both, data, 9) == 1);
    CHECK(close(both) == 0 && unlink(FIFO) == 0);
}

static int open_again(int fd, int flags)
{
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return open(name, flags);
}

/* A pipe's ends have one inode, by which /proc opens either, and nobody waits for the other end. */
static void other_openings(void)
{
    int ends[2], on = 1;
    struct stat reader, writer;
    CHECK(pipe(ends) == 0 && fstat(ends[0], &reader) == 0 && fstat(ends[1], &writer) == 0);
    CHECK(reader.st_ino == writer.st_ino);
    int second = open_again(ends[0], O_WRONLY);
    CHECK(second >= 0 && close(ends[1]) == 0 && write(second, "hey", 3) == 3);
    int third = open_again(second, O_RDONLY);
    CHECK(third >= 0 && read(third, data, 9) == 3 && close(second) == 0);
    CHECK(read(ends[0], data, 9) == 0 && read(third, data, 9) == 0);
    int fourth = open_again(third, O_RDONLY);
    CHECK(fourth >= 0 && read(fourth, data, 9) == 0);
    CHECK(ioctl(third, FIOASYNC, &on) == 0);
    on = 0;
    CHECK(ioctl(third, FIOASYNC, &on) == 0);
    CHECK(close(ends[0]) == 0 && close(third) == 0 && close(fourth) == 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    keep_docker_rights();
    sizes();
    merging();
    packets();
    fifos();
    other_openings();
    puts("pipes ok");
}
