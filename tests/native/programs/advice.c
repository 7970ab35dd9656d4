/* madvise(2): what is more than advice is done, what does not fit the mapping is refused. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
enum {
    ADVICE_COLD = 20, ADVICE_PAGEOUT = 21, ADVICE_POPULATE_READ = 22, ADVICE_POPULATE_WRITE = 23,
    ADVICE_DONTNEED_LOCKED = 24,
};

static char *map(size_t pages, int protection, int flags, int fd)
{
    char *at = mmap(NULL, pages * PAGE, protection, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int file_of(size_t pages)
{
    char page[PAGE];
    memset(page, 'f', sizeof page);
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    for (size_t at = 0; at < pages; at++) {
        CHECK(write(fd, page, PAGE) == (ssize_t)PAGE);
    }
    return fd;
}

static int resident(char *at, size_t pages)
{
    unsigned char there[64];
    int count = 0;
    CHECK(mincore(at, pages * PAGE, there) == 0);
    for (size_t page = 0; page < pages; page++) {
        count += there[page] & 1;
    }
    return count;
}

static void arguments(void)
{
    char *at = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
    FAILS(madvise(at + 1, PAGE, MADV_NORMAL), EINVAL);
    FAILS(madvise(at, PAGE, 5), EINVAL);
    FAILS(madvise(at, PAGE, 99), EINVAL);
    FAILS(madvise(at, PAGE, -1), EINVAL);
    FAILS(madvise(at, -PAGE * 3, MADV_NORMAL), EINVAL);
    FAILS(madvise(at, SIZE_MAX, MADV_NORMAL), EINVAL);
    CHECK(madvise(at, 0, MADV_REMOVE) == 0);
    CHECK(madvise(at, 1, MADV_DONTDUMP) == 0 && madvise(at, 1, MADV_DODUMP) == 0);
    CHECK(munmap(at + 2 * PAGE, PAGE) == 0);
    memset(at, 1, 2 * PAGE);
    memset(at + 3 * PAGE, 1, PAGE);
    FAILS(madvise(at, 8 * PAGE, MADV_DONTNEED), ENOMEM); /* all the same */
    CHECK(at[0] == 0 && at[3 * PAGE] == 0);
    FAILS(madvise(at + 2 * PAGE, PAGE, MADV_NORMAL), ENOMEM);
    munmap(at, 8 * PAGE);
}

static void refused(void)
{
    int fd = file_of(4), readable = open("/proc/self/exe", O_RDONLY);
    char *private = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
    char *shared = map(4, PROT_READ | PROT_WRITE, MAP_SHARED, -1);
    char *copy = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    char *file = map(4, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    char *measured = map(1, PROT_READ, MAP_SHARED, readable);
    FAILS(madvise(shared, PAGE, MADV_FREE), EINVAL);
    FAILS(madvise(copy, PAGE, MADV_FREE), EINVAL);
    CHECK(madvise(private, PAGE, MADV_FREE) == 0);
    FAILS(madvise(shared, PAGE, MADV_WIPEONFORK), EINVAL);
    FAILS(madvise(copy, PAGE, MADV_WIPEONFORK), EINVAL);
    CHECK(madvise(private, PAGE, MADV_WIPEONFORK) == 0 && madvise(private, PAGE, MADV_KEEPONFORK) == 0);
    CHECK(madvise(file, PAGE, MADV_DONTFORK) == 0 && madvise(file, PAGE, MADV_DOFORK) == 0);
    FAILS(madvise(private, PAGE, MADV_REMOVE), EINVAL);
    FAILS(madvise(copy, PAGE, MADV_REMOVE), EACCES);
    FAILS(madvise(measured, PAGE, MADV_REMOVE), EACCES);
    CHECK(mlock(private, 4 * PAGE) == 0 && mlock(file, 4 * PAGE) == 0);
    FAILS(madvise(private, PAGE, MADV_DONTNEED), EINVAL);
    FAILS(madvise(private, PAGE, MADV_FREE), EINVAL);
    FAILS(madvise(private, PAGE, ADVICE_COLD), EINVAL);
    FAILS(madvise(private, PAGE, ADVICE_PAGEOUT), EINVAL);
    FAILS(madvise(file, PAGE, MADV_REMOVE), EINVAL);
    private[0] = 1;
    CHECK(madvise(private, PAGE, ADVICE_DONTNEED_LOCKED) == 0 && private[0] == 0);
    CHECK(munlock(private, 4 * PAGE) == 0 && munlock(file, 4 * PAGE) == 0);
    CHECK(madvise(private, PAGE, ADVICE_COLD) == 0 && madvise(private, PAGE, ADVICE_PAGEOUT) == 0);
    munmap(private, 4 * PAGE), munmap(shared, 4 * PAGE), munmap(copy, 4 * PAGE), munmap(file, 4 * PAGE);
    close(fd), close(readable);
}

static void removed(void)
{
    int fd = file_of(8);
    char *file = map(8, PROT_READ | PROT_WRITE, MAP_SHARED, fd), byte;
    file[2 * PAGE] = 'x';
    CHECK(madvise(file + 2 * PAGE, 2 * PAGE, MADV_REMOVE) == 0);
    CHECK(file[2 * PAGE] == 0 && file[3 * PAGE + 5] == 0 && file[PAGE] == 'f' && file[4 * PAGE] == 'f');
    CHECK(pread(fd, &byte, 1, 3 * PAGE) == 1 && byte == 0);
    munmap(file, 8 * PAGE), close(fd);
    char *shared = map(8, PROT_READ | PROT_WRITE, MAP_SHARED, -1);
    memset(shared, 's', 8 * PAGE);
    CHECK(madvise(shared + PAGE, PAGE, MADV_REMOVE) == 0);
    CHECK(shared[PAGE] == 0 && shared[0] == 's' && shared[2 * PAGE] == 's');
    shared[PAGE] = 't';
    CHECK(shared[PAGE] == 't');
    munmap(shared, 8 * PAGE);
}

static void private_file_comes_back(void)
{
    int fd = file_of(40);
    for (size_t pages = 4; pages <= 40; pages += 36) {
        char *copy = map(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
        memset(copy, 'm', pages * PAGE);
        CHECK(madvise(copy + PAGE, PAGE, MADV_DONTNEED) == 0);
        CHECK(copy[0] == 'm' && copy[PAGE] == 'f' && copy[2 * PAGE - 1] == 'f' && copy[2 * PAGE] == 'm');
        munmap(copy, pages * PAGE);
    }
    close(fd);
}

static void populated(void)
{
    char *private = map(32, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
    char *shared = map(32, PROT_READ | PROT_WRITE, MAP_SHARED, -1);
    CHECK(resident(shared, 32) == 0);
    CHECK(madvise(shared, 8 * PAGE, ADVICE_POPULATE_WRITE) == 0 && resident(shared, 8) == 8);
    CHECK(madvise(private, 8 * PAGE, ADVICE_POPULATE_READ) == 0);
    CHECK(mprotect(private, 2 * PAGE, PROT_NONE) == 0 && mprotect(private + 2 * PAGE, 2 * PAGE, PROT_READ) == 0);
    FAILS(madvise(private, PAGE, ADVICE_POPULATE_READ), EINVAL);
    FAILS(madvise(private + 2 * PAGE, PAGE, ADVICE_POPULATE_WRITE), EINVAL);
    CHECK(madvise(private + 2 * PAGE, PAGE, ADVICE_POPULATE_READ) == 0);
    CHECK(munmap(private + 6 * PAGE, PAGE) == 0);
    FAILS(madvise(private + 4 * PAGE, 4 * PAGE, ADVICE_POPULATE_WRITE), ENOMEM);
    int fd = file_of(2);
    char *file = map(4, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    CHECK(madvise(file, 2 * PAGE, ADVICE_POPULATE_WRITE) == 0);
    FAILS(madvise(file, 4 * PAGE, ADVICE_POPULATE_READ), EFAULT);
    munmap(private, 32 * PAGE), munmap(shared, 32 * PAGE), munmap(file, 4 * PAGE);
    shared = map(32, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, -1);
    CHECK(resident(shared, 32) == 32);
    munmap(shared, 32 * PAGE);
    close(fd);
}

/* Nobody has set any aside. */
static void huge_pages(void)
{
    int fd = file_of(1);
    FAILS(mmap(NULL, 1 << 21, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), ENOMEM);
    FAILS(mmap(NULL, 1 << 21, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, fd, 0), EINVAL);
    close(fd);
}

int main(void)
{
    arguments();
    refused();
    removed();
    private_file_comes_back();
    populated();
    huge_pages();
    return 0;
}
