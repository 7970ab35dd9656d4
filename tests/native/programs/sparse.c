/* st_blocks is what is stored: holes take nothing, fallocate(2) sets aside. In a file system in memory. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096L

static long pages_of(int fd)
{
    struct stat now;
    CHECK(fstat(fd, &now) == 0 && now.st_blocks % 8 == 0);
    return now.st_blocks / 8;
}

int main(void)
{
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && pages_of(fd) == 0);
    CHECK(ftruncate(fd, 1000 * PAGE) == 0 && pages_of(fd) == 0);
    CHECK(pwrite(fd, "x", 1, 10 * PAGE + 5) == 1 && pages_of(fd) == 1);
    CHECK(pwrite(fd, "xy", 2, 21 * PAGE - 1) == 2 && pages_of(fd) == 3);
    char *map = mmap(NULL, 1000 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    map[10 * PAGE] = 'a';
    CHECK(pages_of(fd) == 3);
    CHECK(fallocate(fd, 0, 100 * PAGE, 50 * PAGE) == 0 && pages_of(fd) == 53);
    CHECK(lseek(fd, 30 * PAGE, SEEK_DATA) == -1 && errno == ENXIO); /* set aside is not written */
    CHECK(pwrite(fd, "x", 1, 110 * PAGE) == 1 && pages_of(fd) == 53);
    CHECK(lseek(fd, 30 * PAGE, SEEK_DATA) == 110 * PAGE && lseek(fd, 110 * PAGE, SEEK_HOLE) == 111 * PAGE);
    map[120 * PAGE] = 'b';
    CHECK(lseek(fd, 111 * PAGE, SEEK_DATA) == 120 * PAGE);
    map[200 * PAGE] = 'c';
    CHECK(pages_of(fd) == 54 && lseek(fd, 121 * PAGE, SEEK_DATA) == 200 * PAGE && lseek(fd, 200 * PAGE, SEEK_HOLE) == 201 * PAGE);
    map[203 * PAGE] = 'd';
    CHECK(pages_of(fd) == 55);
    unsigned char there[16];
    CHECK(mincore(map + 192 * PAGE, 16 * PAGE, there) == 0 && there[8] == 1 && there[9] == 0 && there[11] == 1);
    CHECK(pwrite(fd, "z", 1, 202 * PAGE) == 1 && pages_of(fd) == 56);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 200 * PAGE, 10 * PAGE) == 0 && pages_of(fd) == 53);
    map[300 * PAGE] = 'e';
    CHECK(munmap(map, 1000 * PAGE) == 0 && pages_of(fd) == 54);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 300 * PAGE, PAGE) == 0 && pages_of(fd) == 53);
    CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1000 * PAGE, 10 * PAGE) == 0 && pages_of(fd) == 63);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 * PAGE, 40 * PAGE) == 0 && pages_of(fd) == 23);
    CHECK(ftruncate(fd, 11 * PAGE) == 0 && pages_of(fd) == 1);
    CHECK(fallocate(fd, 0, 0, 1L << 45) == -1 && (errno == ENOSPC || errno == EFBIG));
    CHECK(pages_of(fd) == 1);
    struct stat folder;
    CHECK(stat("/dev/shm", &folder) == 0);
    return 0;
}
