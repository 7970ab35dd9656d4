/* mlock(2) and its kin: what is locked is counted and limited. */
#define _GNU_SOURCE
#include "check.h"
#include "docker_rights.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
enum { ON_FAULT = 1, ALL_ON_FAULT = 4 };

static long locked_pages(void)
{
    char line[256];
    long kibibytes = -1;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status);
    while (fgets(line, sizeof line, status)) {
        sscanf(line, "VmLck: %ld kB", &kibibytes);
    }
    fclose(status);
    return kibibytes / 4;
}

static char *map(size_t pages, int flags)
{
    return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
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

static void limit(rlim_t bytes)
{
    struct rlimit now;
    CHECK(getrlimit(RLIMIT_MEMLOCK, &now) == 0);
    now.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &now) == 0);
}

static void counts(void)
{
    long before = locked_pages();
    char *at = map(32, 0);
    CHECK(at != MAP_FAILED);
    CHECK(mlock(at + 1, PAGE) == 0 && locked_pages() == before + 2); /* it touches two */
    CHECK(mlock(at, 4 * PAGE) == 0 && locked_pages() == before + 4);
    CHECK(resident(at, 4) == 4);
    CHECK(syscall(SYS_mlock2, at + 8 * PAGE, 8 * PAGE, ON_FAULT) == 0 && locked_pages() == before + 12);
    CHECK(resident(at + 8 * PAGE, 8) == 0);
    at[9 * PAGE] = 1;
    CHECK(resident(at + 8 * PAGE, 8) == 1);
    CHECK(syscall(SYS_mlock2, at + 8 * PAGE, 8 * PAGE, 0) == 0 && locked_pages() == before + 12);
    CHECK(resident(at + 8 * PAGE, 8) == 8);
    FAILS(syscall(SYS_mlock2, at, PAGE, 2), EINVAL);
    CHECK(munlock(at + 2 * PAGE, 8 * PAGE) == 0 && locked_pages() == before + 8);
    CHECK(munmap(at, PAGE) == 0 && locked_pages() == before + 7);
    FAILS(mlock(at, 2 * PAGE), ENOMEM);
    CHECK(mprotect(at + PAGE, PAGE, PROT_NONE) == 0);
    FAILS(mlock(at + PAGE, PAGE), ENOMEM);
    CHECK(mlock(at + PAGE, 0) == 0);
    FAILS(munlock(at + PAGE, -PAGE), EINVAL);
    CHECK(mlock(at + PAGE, -1UL) == 0 && munlock(at + PAGE, -1UL) == 0); /* the length is rounded to 0 */
    CHECK(munmap(at, 32 * PAGE) == 0 && locked_pages() == before);
    at = map(4, MAP_LOCKED);
    CHECK(at != MAP_FAILED && locked_pages() == before + 4 && resident(at, 4) == 4);
    munmap(at, 4 * PAGE);
}

static void limits(void)
{
    char *at = map(32, 0);
    limit(8 * PAGE + 100);
    CHECK(mlock(at, 8 * PAGE) == 0);
    FAILS(mlock(at, 9 * PAGE), ENOMEM);
    FAILS(mlock(at + 8 * PAGE, PAGE), ENOMEM);
    FAILS(mlock(at + PAGE, -PAGE), ENOMEM);
    CHECK(mlock(at + PAGE, 2 * PAGE) == 0); /* nothing more */
    FAILS(map(1, MAP_LOCKED), EAGAIN);
    CHECK(munlock(at, 4 * PAGE) == 0 && map(4, MAP_LOCKED) != MAP_FAILED);
    FAILS(mremap(at + 4 * PAGE, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), EAGAIN);
    FAILS(mlockall(MCL_CURRENT), ENOMEM);
    CHECK(mlockall(MCL_FUTURE) == 0);
    FAILS(map(1, 0), EAGAIN);
    CHECK(munlockall() == 0 && locked_pages() == 0);
    limit(100);
    FAILS(mlock(at, PAGE), ENOMEM);
    limit(0);
    FAILS(mlock(at, PAGE), EPERM);
    FAILS(mlock(at, -1UL), EPERM);
    FAILS(mlockall(MCL_CURRENT), EPERM);
    FAILS(mlockall(0), EINVAL);
    FAILS(syscall(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EPERM); /* musl makes it ENOMEM */
    CHECK(munlock(at, PAGE) == 0);
    CHECK(mlockall(MCL_FUTURE | ALL_ON_FAULT) == -1);
    munmap(at, 32 * PAGE);
}

int main(void)
{
    keep_docker_rights();
    counts();
    limits();
    return 0;
}
