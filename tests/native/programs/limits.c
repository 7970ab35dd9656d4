/* Limits that are told are kept to, and those that are set are remembered: getrlimit(2). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEBIBYTE (1UL << 20)

static struct rlimit get(int resource)
{
    struct rlimit limit;
    CHECK(getrlimit(resource, &limit) == 0);
    return limit;
}

static void set(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};
    CHECK(setrlimit(resource, &limit) == 0);
    limit = get(resource);
    CHECK(limit.rlim_cur == soft && limit.rlim_max == hard);
}

static void descriptors(void)
{
    rlim_t hard = get(RLIMIT_NOFILE).rlim_max;
    set(RLIMIT_NOFILE, 32, hard);
    int last = -1, fd, pair[2];
    while ((fd = open("/dev/null", O_RDONLY)) >= 0) {
        last = fd;
    }
    CHECK(errno == EMFILE && last == 31);
    CHECK(dup2(0, 32) == -1 && errno == EBADF);
    CHECK(dup2(0, 31) == 31);
    CHECK(fcntl(0, F_DUPFD, 32) == -1 && errno == EINVAL);
    CHECK(pipe(pair) == -1 && errno == EMFILE);
    struct pollfd none[33] = {{.fd = -1}};
    CHECK(poll(none, 33, 0) == -1 && errno == EINVAL);
    set(RLIMIT_NOFILE, 64, hard);
    CHECK(dup2(0, 63) == 63);
    while (last > 2) {
        close(last--);
    }
    CHECK(close(63) == 0);
    set(RLIMIT_NOFILE, 64, 64);
    struct rlimit more = {64, 65};
    if (getuid() != 0) {
        CHECK(setrlimit(RLIMIT_NOFILE, &more) == -1 && errno == EPERM);
    }
    more.rlim_cur = 66;
    CHECK(setrlimit(RLIMIT_NOFILE, &more) == -1 && errno == EINVAL);
    CHECK(setrlimit(99, &more) == -1 && errno == EINVAL);
    more.rlim_cur = 60;
    CHECK(prlimit(0x3FFFFFFF, RLIMIT_NOFILE, &more, NULL) == -1 && errno == ESRCH);
}

static volatile int too_large;

static void count(int signal)
{
    (void)signal;
    too_large++;
}

static void file_sizes(void)
{
    char bytes[100] = {0};
    CHECK(signal(SIGXFSZ, count) != SIG_ERR);
    int fd = open("/tmp/limits.data", O_CREAT | O_TRUNC | O_RDWR, 0600);
    CHECK(fd >= 0);
    set(RLIMIT_FSIZE, 150, RLIM_INFINITY);
    CHECK(write(fd, bytes, 100) == 100);
    CHECK(write(fd, bytes, 100) == 50 && too_large == 0);
    CHECK(write(fd, bytes, 1) == -1 && errno == EFBIG && too_large == 1);
    CHECK(ftruncate(fd, 151) == -1 && errno == EFBIG && too_large == 2);
    CHECK(ftruncate(fd, 150) == 0 && ftruncate(fd, 10) == 0);
    CHECK(pwrite(fd, bytes, 1, 149) == 1);
    CHECK(posix_fallocate(fd, 0, 200) == EFBIG && too_large == 3);
    set(RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY);
    CHECK(pwrite(fd, bytes, 100, 149) == 100);
    CHECK(close(fd) == 0 && unlink("/tmp/limits.data") == 0);
}

static void *map(size_t size, int protection, int type)
{
    return mmap(NULL, size, protection, type | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void memory(void)
{
    set(RLIMIT_DATA, 32 * MEBIBYTE, RLIM_INFINITY);
    CHECK(map(64 * MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED && errno == ENOMEM);
    void *read_only = map(64 * MEBIBYTE, PROT_READ, MAP_PRIVATE);
    CHECK(read_only != MAP_FAILED);
    CHECK(munmap(read_only, 64 * MEBIBYTE) == 0);
    set(RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY);
    set(RLIMIT_AS, 64 * MEBIBYTE, RLIM_INFINITY);
    CHECK(map(256 * MEBIBYTE, PROT_NONE, MAP_PRIVATE) == MAP_FAILED && errno == ENOMEM);
    char *small = map(MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK(small != MAP_FAILED);
    CHECK(mremap(small, MEBIBYTE, 128 * MEBIBYTE, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
    CHECK(mmap(small, MEBIBYTE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == small);
    CHECK(munmap(small, MEBIBYTE) == 0);
    set(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
    CHECK(map(256 * MEBIBYTE, PROT_NONE, MAP_PRIVATE) != MAP_FAILED);
}

/* supervisord and others begin with this. */
static void processes(void)
{
    set(RLIMIT_NPROC, 200, get(RLIMIT_NPROC).rlim_max);
}

/* Remembered: who limits what is dumped, or forbids it, is not refused. */
static void dumps(void)
{
    struct rlimit limit;
    CHECK(setrlimit(RLIMIT_CORE, &(struct rlimit){1, 1}) == 0);
    CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 1 && limit.rlim_max == 1);
    CHECK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
}

int main(void)
{
    descriptors();
    file_sizes();
    memory();
    processes();
    dumps();
    puts("limits ok");
}
