/* Memory that ends before a transfer does: what went over counts, and EFAULT is left for when there was nothing. Access modes that neither read nor write;
 * requests that Linux ignores. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096L
#define NEITHER 3 /* O_ACCMODE, in which musl counts O_PATH */

static char *memory; /* two pages, and nothing behind them */

/* So that `room` bytes are left. */
static char *near_end(long room)
{
    return memory + 2 * PAGE - room;
}

static void reads(int file)
{
    memset(memory, 0, 2 * PAGE);
    CHECK(pread(file, near_end(100), PAGE, 0) == 100);
    CHECK(memcmp(near_end(100), "aaaaaaaaaa", 10) == 0);
    CHECK(lseek(file, 5, SEEK_SET) == 5 && read(file, near_end(100), 3 * PAGE) == 100 && lseek(file, 0, SEEK_CUR) == 105);
    FAILS(read(file, near_end(0), 10), EFAULT);
    CHECK(lseek(file, 0, SEEK_CUR) == 105);
    FAILS(pread(file, (char *)-PAGE, 10, 0), EFAULT);
    struct iovec parts[] = {{near_end(10), 10}, {near_end(20), 30}, {memory, 10}};
    CHECK(preadv(file, parts, 3, 0) == 30);
    parts[1].iov_base = near_end(0);
    CHECK(preadv(file, parts, 3, 0) == 10);
}

static void writes(int file)
{
    memset(memory, 'b', 2 * PAGE);
    CHECK(pwrite(file, near_end(100), PAGE, 0) == 100);
    CHECK(lseek(file, 200, SEEK_SET) == 200 && write(file, near_end(10), 20) == 10 && lseek(file, 0, SEEK_CUR) == 210);
    FAILS(write(file, near_end(0), 10), EFAULT);
    CHECK(lseek(file, 0, SEEK_CUR) == 210);
    struct iovec parts[] = {{near_end(10), 10}, {near_end(20), 30}, {memory, 10}};
    CHECK(pwritev(file, parts, 3, 0) == 30);
    char text[3] = "";
    CHECK(pread(file, text, 2, 99) == 2 && strcmp(text, "ba") == 0);
}

static void generated(void)
{
    int file = open("/proc/self/status", O_RDONLY);
    CHECK(read(file, near_end(10), 100) == 10 && read(file, near_end(10), 10) == 10);
    FAILS(read(file, near_end(0), 100), EFAULT);
    CHECK(close(file) == 0);
}

static void neither_mode(const char *path)
{
    char byte = 0;
    int file = open(path, NEITHER);
    CHECK(file >= 0 && (fcntl(file, F_GETFL) & 3) == NEITHER);
    FAILS(read(file, &byte, 1), EBADF);
    FAILS(write(file, &byte, 1), EBADF);
    FAILS(ftruncate(file, 0), EINVAL);
    FAILS((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0), EACCES);
    CHECK(close(file) == 0);
    FAILS(open("/tmp", NEITHER), EISDIR);
    CHECK(mkfifo("/tmp/fifo", 0600) == 0);
    FAILS(open("/tmp/fifo", NEITHER), EINVAL);
    FAILS(open("/tmp/fifo", NEITHER | O_NONBLOCK), EINVAL);
    CHECK(unlink("/tmp/fifo") == 0);
}

int main(void)
{
    static const char path[] = "/tmp/short_transfers";
    memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && munmap(memory + 2 * PAGE, PAGE) == 0);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(memory, 'a', 2 * PAGE);
    CHECK(file >= 0 && write(file, memory, 2 * PAGE) == 2 * PAGE);
    reads(file);
    writes(file);
    CHECK(flock(file, 32 | LOCK_SH) == 0 && flock(-1, 32) == 0); /* LOCK_MAND */
    CHECK(close(file) == 0);
    generated();
    neither_mode(path);
    CHECK(unlink(path) == 0);
    return 0;
}
