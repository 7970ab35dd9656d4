/*
 * One call is one transfer, whatever pieces of memory it names and however many others write at the same time: records that are appended by several
 * threads, through one open file or through one each, stay whole (generic_file_write_iter() of Linux holds the file's lock for all of a call).
 *
 *     whole_transfers ROUNDS
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME "/tmp/whole_transfers"
#define WRITERS 3
#define LARGE 300000 /* more than one look at the application's memory takes */

static struct {
    int fd; /* negative: each opens the file for itself, to append */
    int rounds;
    size_t size;
    off_t offset; /* negative: behind one another */
    pthread_barrier_t begin;
} job;

/* A record is its writer's letter, so often that a part is told from the whole. In pieces, one of them empty. */
static void *write_records(void *letter)
{
    size_t size = job.size;
    char *bytes = malloc(size);
    int fd = job.fd >= 0 ? job.fd : open(NAME, O_WRONLY | O_APPEND);
    CHECK(bytes != NULL && fd >= 0);
    memset(bytes, *(const char *)letter, size);
    const struct iovec pieces[] = {{bytes, 1}, {NULL, 0}, {bytes + 1, size / 2 - 1}, {bytes + size / 2, size - size / 2}};
    pthread_barrier_wait(&job.begin);
    for (int round = 0; round < job.rounds; round++) {
        CHECK((job.offset < 0 ? writev(fd, pieces, 4) : pwritev(fd, pieces, 4, job.offset)) == (ssize_t)size);
    }
    CHECK(job.fd >= 0 || close(fd) == 0);
    free(bytes);
    return NULL;
}

static void write_by_all(int fd, int rounds, size_t size, off_t offset)
{
    static const char letters[WRITERS] = "abc";
    pthread_t threads[WRITERS];
    job.fd = fd;
    job.rounds = rounds;
    job.size = size;
    job.offset = offset;
    CHECK(pthread_barrier_init(&job.begin, NULL, WRITERS) == 0);
    for (int writer = 0; writer < WRITERS; writer++) {
        CHECK(pthread_create(&threads[writer], NULL, write_records, (void *)&letters[writer]) == 0);
    }
    for (int writer = 0; writer < WRITERS; writer++) {
        CHECK(pthread_join(threads[writer], NULL) == 0);
    }
    CHECK(pthread_barrier_destroy(&job.begin) == 0);
}

static void check_records(int rounds, size_t size)
{
    static char record[LARGE];
    int counts[WRITERS] = {0}, fd = open(NAME, O_RDONLY);
    for (ssize_t got; (got = read(fd, record, size)) != 0;) {
        CHECK(got == (ssize_t)size && record[0] >= 'a' && record[0] < 'a' + WRITERS);
        CHECK(memcmp(record, record + 1, size - 1) == 0);
        counts[record[0] - 'a']++;
    }
    for (int writer = 0; writer < WRITERS; writer++) {
        CHECK(counts[writer] == rounds);
    }
    CHECK(close(fd) == 0);
}

static int made(int flags)
{
    int fd = open(NAME, flags | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void records(int rounds, size_t size)
{
    int fd = made(O_RDWR);
    write_by_all(-1, rounds, size, -1); /* appended, by a file each */
    check_records(rounds, size);
    CHECK(ftruncate(fd, 0) == 0);
    write_by_all(fd, rounds, size, -1); /* one file, whose position all share */
    check_records(rounds, size);
    CHECK(ftruncate(fd, 0) == 0);
    write_by_all(fd, rounds, size, 0); /* over one another: one of them is the last */
    CHECK(lseek(fd, 0, SEEK_END) == (off_t)size);
    static char last[LARGE];
    CHECK(pread(fd, last, size, 0) == (ssize_t)size && memcmp(last, last + 1, size - 1) == 0);
    CHECK(close(fd) == 0);
}

/* Pairs of numbers, which several threads read, each pair by one call into two places. */
static struct {
    int fd, count, read;
} pairs;

static void *read_pairs(void *unused)
{
    int one, other;
    const struct iovec pieces[] = {{&one, sizeof(one)}, {&other, sizeof(other)}};
    for (ssize_t got; (got = readv(pairs.fd, pieces, 2)) != 0;) {
        CHECK(got == sizeof(one) + sizeof(other) && other == one + 1 && one % 2 == 0);
        __atomic_fetch_add(&pairs.read, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void shared_position(int count)
{
    pthread_t threads[WRITERS];
    int *numbers = malloc((size_t)count * 2 * sizeof(int));
    CHECK(numbers != NULL);
    for (int at = 0; at < count * 2; at++) {
        numbers[at] = at;
    }
    pairs.fd = made(O_RDWR);
    CHECK(write(pairs.fd, numbers, (size_t)count * 2 * sizeof(int)) == (ssize_t)((size_t)count * 2 * sizeof(int)) && lseek(pairs.fd, 0, SEEK_SET) == 0);
    for (int at = 0; at < WRITERS; at++) {
        CHECK(pthread_create(&threads[at], NULL, read_pairs, NULL) == 0);
    }
    for (int at = 0; at < WRITERS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    CHECK(pairs.read == count && close(pairs.fd) == 0);
    free(numbers);
}

/* Of a pipe, too, all that there is goes into all of the pieces, packet by packet where it has such. */
static void pipes(void)
{
    int ends[2];
    char first[4], second[100];
    const struct iovec pieces[] = {{first, sizeof(first)}, {NULL, 0}, {second, sizeof(second)}};
    CHECK(pipe(ends) == 0 && write(ends[1], "headtail", 8) == 8);
    CHECK(readv(ends[0], pieces, 3) == 8 && memcmp(first, "head", 4) == 0 && memcmp(second, "tail", 4) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(pipe2(ends, O_DIRECT) == 0 && write(ends[1], "packet", 6) == 6 && write(ends[1], "other", 5) == 5);
    CHECK(readv(ends[0], pieces, 3) == 6 && memcmp(first, "pack", 4) == 0 && memcmp(second, "et", 2) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* The limit cuts a transfer; only one that begins there is refused, and a signal tells of it. */
static void limits(void)
{
    char bytes[100] = {0};
    const struct iovec pieces[] = {{bytes, 60}, {bytes, 40}, {bytes, 100}};
    struct rlimit old, limit;
    int fd = made(O_RDWR);
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0 && signal(SIGXFSZ, count_signal) != SIG_ERR);
    limit = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(writev(fd, pieces, 3) == 100 && signals == 0);
    FAILS(writev(fd, pieces, 3), EFBIG);
    CHECK(signals == 1 && setrlimit(RLIMIT_FSIZE, &old) == 0 && signal(SIGXFSZ, SIG_DFL) != SIG_ERR && close(fd) == 0);
}

/* Memory that is not there ends a transfer where it begins. */
static void missing_memory(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && munmap(pages + 4096, 4096) == 0);
    const struct iovec pieces[] = {{pages, 10}, {pages + 4090, 10}, {pages, 10}};
    int fd = made(O_RDWR), ends[2];
    CHECK(writev(fd, pieces, 3) == 16 && lseek(fd, 0, SEEK_CUR) == 16 && lseek(fd, 0, SEEK_END) == 16);
    FAILS(writev(fd, &(struct iovec){pages + 4096, 10}, 1), EFAULT);
    CHECK(lseek(fd, 0, SEEK_END) == 16 && pwrite(fd, "0123456789abcdefghijklmnopqrst", 30, 0) == 30);
    CHECK(preadv(fd, pieces, 3, 0) == 16 && memcmp(pages, "0123456789", 10) == 0 && memcmp(pages + 4090, "abcdef", 6) == 0);
    CHECK(pipe(ends) == 0);
    FAILS(writev(ends[1], pieces, 3), EFAULT);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(fd) == 0 && munmap(pages, 4096) == 0);
}

/* Who watches hears of a call once. */
static void watched(void)
{
    char bytes[10] = {0}, events[4 * sizeof(struct inotify_event)];
    const struct iovec pieces[] = {{bytes, 4}, {bytes, 4}};
    int fd = made(O_RDWR), watch = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(watch, NAME, IN_MODIFY | IN_ACCESS) > 0);
    CHECK(writev(fd, pieces, 2) == 8 && preadv(fd, pieces, 2, 0) == 8 && pwritev(fd, pieces, 2, 0) == 8);
    CHECK(read(watch, events, sizeof(events)) == 3 * sizeof(struct inotify_event));
    CHECK(close(watch) == 0 && close(fd) == 0);
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 2000;
    records(rounds, 60);
    records(rounds / 4, 5000);
    records(rounds / 100 + 2, LARGE);
    shared_position(rounds * 4);
    pipes();
    limits();
    missing_memory();
    watched();
    CHECK(unlink(NAME) == 0);
    puts("whole transfers ok");
    return 0;
}
