/* lseek(2) finds data and holes, fallocate(2) makes holes; in files in memory. Prints maps, so that both sides can be compared. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static char data[16 * PAGE], found[16 * PAGE];

static void show(const char *what, int fd)
{
    off_t size = lseek(fd, 0, SEEK_END), at = 0;
    printf("%s: size %lld", what, (long long)size);
    while (at < size) {
        off_t from = lseek(fd, at, SEEK_DATA);
        if (from < 0) {
            CHECK(errno == ENXIO);
            break;
        }
        at = lseek(fd, from, SEEK_HOLE);
        CHECK(at > from);
        printf(" [%lld %lld)", (long long)from, (long long)at);
    }
    puts("");
    CHECK(lseek(fd, size, SEEK_DATA) == -1 && errno == ENXIO && lseek(fd, size, SEEK_HOLE) == -1 && errno == ENXIO);
    CHECK(lseek(fd, -1, SEEK_DATA) == -1 && errno == ENXIO);
}

int main(void)
{
    memset(data, 'x', sizeof data);
    int fd = memfd_create("holes", 0);
    show("empty", fd);
    CHECK(ftruncate(fd, 100 * PAGE + 5) == 0);
    show("all a hole", fd);
    CHECK(pwrite(fd, data, 10, 3 * PAGE + 7) == 10 && pwrite(fd, data, 2 * PAGE, 10 * PAGE + 1) == 2 * PAGE);
    show("two pieces", fd);
    CHECK(lseek(fd, 3 * PAGE + 100, SEEK_DATA) == 3 * PAGE + 100 && lseek(fd, 5 * PAGE + 9, SEEK_HOLE) == 5 * PAGE + 9);
    CHECK(pwrite(fd, data, 5, 100 * PAGE) == 5);
    show("data at the end", fd);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE + 100, 2 * PAGE) == 0);
    show("punched", fd);
    CHECK(pread(fd, found, 3 * PAGE, 10 * PAGE) == 3 * PAGE && found[99] == 'x' && found[100] == 0);
    CHECK(found[2 * PAGE] == 0 && memcmp(found + PAGE, found + PAGE + 1, PAGE - 1) == 0);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 99 * PAGE, 1000 * PAGE) == 0);
    show("punched over the end", fd);
    CHECK(ftruncate(fd, 3 * PAGE + 8) == 0 && ftruncate(fd, 20 * PAGE) == 0);
    CHECK(pread(fd, found, PAGE, 3 * PAGE) == PAGE && found[7] == 'x' && found[8] == 0);
    show("cut and grown", fd);
    char *map = mmap(NULL, 20 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    map[15 * PAGE] = 'm';
    CHECK(lseek(fd, 15 * PAGE, SEEK_DATA) == 15 * PAGE);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 15 * PAGE, PAGE) == 0 && map[15 * PAGE] == 0);
    CHECK(munmap(map, 20 * PAGE) == 0);
    CHECK(fallocate(fd, 0, 30 * PAGE, 1) == 0);
    CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 40 * PAGE, 1) == 0);
    CHECK(lseek(fd, 0, SEEK_END) == 30 * PAGE + 1);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE) == -1 && errno == EOPNOTSUPP);
    CHECK(fallocate(fd, 0x8, 0, PAGE) == -1 && errno == EOPNOTSUPP);
    CHECK(fallocate(fd, 0x20, 0, PAGE) == -1 && errno == EOPNOTSUPP);
    CHECK(fallocate(fd, 0x1000, 0, PAGE) == -1 && errno == EOPNOTSUPP);
    CHECK(fallocate(fd, 0, -1, PAGE) == -1 && errno == EINVAL && fallocate(fd, 0, 0, 0) == -1 && errno == EINVAL);
    CHECK(close(fd) == 0);
    puts("holes ok");
}
