/* What descriptors and mappings promise at their edges: close_range(2), fcntl(2), munmap(2). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PAGE 4096UL
#define CLOSE_RANGE_UNSHARE 2U
#define CLOSE_RANGE_CLOEXEC 4U
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define LARGE_FILE 0100000 /* of files that have an offset; musl's O_LARGEFILE is that, glibc's 0 */

static long close_range(unsigned first, unsigned last, unsigned flags)
{
    return syscall(SYS_close_range, first, last, flags);
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void flags(void)
{
    int pair[2], fd;
    CHECK(pipe2(pair, O_NONBLOCK) == 0);
    CHECK(fcntl(pair[0], F_GETFL) == (O_RDONLY | O_NONBLOCK) && fcntl(pair[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
    CHECK((fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
    CHECK(close(fd) == 0 && (fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 && fcntl(fd, F_GETFL) == O_RDWR);
    CHECK(close(fd) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && fcntl(pair[0], F_GETFL) == O_RDWR);
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
    CHECK((fd = open("/tmp", O_RDONLY | O_DIRECTORY)) >= 0 && (fcntl(fd, F_GETFL) & LARGE_FILE));
    CHECK(close(fd) == 0 && (fd = open("/tmp/descriptors.data", O_CREAT | O_RDWR | O_APPEND, 0600)) >= 0);
    CHECK(fcntl(fd, F_GETFL) == (O_RDWR | O_APPEND | LARGE_FILE) && close(fd) == 0);
    CHECK(unlink("/tmp/descriptors.data") == 0);
}

static int shared[2];

/* Its own copy is closed, or nothing at all is. */
static void *close_own(void *unused)
{
    if (close_range((unsigned)shared[0], (unsigned)shared[0], CLOSE_RANGE_UNSHARE) == 0) {
        CHECK(!is_open(shared[0]));
    } else {
        CHECK(is_open(shared[0]));
    }
    return unused;
}

static void ranges(void)
{
    pthread_t thread;
    int first = fcntl(0, F_DUPFD, 20);
    CHECK(first == 20 && dup2(0, 21) == 21 && dup2(0, 25) == 25);
    CHECK(close_range(20, 24, CLOSE_RANGE_CLOEXEC) == 0);
    CHECK(fcntl(20, F_GETFD) == FD_CLOEXEC && fcntl(21, F_GETFD) == FD_CLOEXEC && fcntl(25, F_GETFD) == 0);
    CHECK(close_range(21, 24, 0) == 0 && is_open(20) && !is_open(21) && is_open(25));
    FAILS(close_range(25, 20, 0), EINVAL);
    FAILS(close_range(20, 25, 1), EINVAL);
    CHECK(close_range(20, ~0U, CLOSE_RANGE_UNSHARE) == 0 && !is_open(20) && !is_open(25) && is_open(1));
    CHECK(pipe(shared) == 0 && pthread_create(&thread, NULL, close_own, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0 && is_open(shared[0]));
    CHECK(close(shared[0]) == 0 && close(shared[1]) == 0);
}

/* When there are as many mappings as there may be, whole ones can be given back all the same. */
static void mappings(void)
{
    size_t count = 140000, at = 0;
    char *all = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(all != MAP_FAILED);
    while (at < count && mprotect(all + at * PAGE, PAGE, PROT_READ) == 0) {
        at += 2;
    }
    CHECK(at < count && errno == ENOMEM && at > 1000);
    FAILS(mprotect(all + at * PAGE, PAGE, PROT_READ), ENOMEM);
    for (size_t given = 0; given < 100; given++) {
        CHECK(munmap(all + given * PAGE, PAGE) == 0);
    }
    CHECK(mprotect(all + at * PAGE, PAGE, PROT_READ) == 0);
    CHECK(munmap(all, count * PAGE) == 0);
}

int main(void)
{
    flags();
    ranges();
    mappings();
    puts("descriptors ok");
}
