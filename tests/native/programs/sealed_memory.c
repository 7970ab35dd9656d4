/* mseal(2): what a program cannot take back any more. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define SYS_SEAL 462
#define DONTNEED_LOCKED 24

static long seal(void *start, unsigned long length, unsigned long flags)
{
    return syscall(SYS_SEAL, start, length, flags);
}

static char *map_pages(int count, int protection)
{
    char *start = mmap(NULL, (unsigned long)count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED);
    return start;
}

static void arguments(void)
{
    char *start = map_pages(4, PROT_READ | PROT_WRITE);
    FAILS(seal(start + 1, PAGE, 0), EINVAL);
    FAILS(seal(start, PAGE, 1), EINVAL);
    FAILS(seal(start, -1UL, 0), EINVAL);
    FAILS(seal(start, -PAGE, 0), EINVAL);
    CHECK(seal(start, 0, 0) == 0 && munmap(start + PAGE, PAGE) == 0);
    FAILS(seal(start, 4 * PAGE, 0), ENOMEM);
    FAILS(seal(start + PAGE, PAGE, 0), ENOMEM);
    CHECK(munmap(start, 4 * PAGE) == 0); /* nothing of it was sealed */
}

static void stays(char *start, unsigned long length)
{
    FAILS(munmap(start, length), EPERM);
    FAILS(mprotect(start, length, PROT_READ), EPERM);
    FAILS((long)mmap(start, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
    FAILS((long)mremap(start, length, length + PAGE, MREMAP_MAYMOVE), EPERM);
    FAILS((long)mremap(start, length, PAGE / 2, 0), EPERM);
}

static void one_in_the_middle(void)
{
    char *start = map_pages(5, PROT_READ | PROT_WRITE), *other = map_pages(1, PROT_READ | PROT_WRITE);
    memset(start, 'a', 5 * PAGE);
    CHECK(seal(start + 2 * PAGE, 1, 0) == 0 && seal(start + 2 * PAGE, PAGE, 0) == 0);
    stays(start + 2 * PAGE, PAGE);
    FAILS(munmap(start, 5 * PAGE), EPERM);
    FAILS((long)mmap(start, 5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
    FAILS((long)mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, start + 2 * PAGE), EPERM);
    for (int at = 0; at < 5; at++) {
        CHECK(start[at * PAGE] == 'a');
    }
    start[2 * PAGE] = 'b'; /* it can be written, and so be emptied */
    CHECK(madvise(start + 2 * PAGE, PAGE, MADV_DONTNEED) == 0 && start[2 * PAGE] == 0);
    CHECK(munmap(start, 2 * PAGE) == 0 && munmap(start + 3 * PAGE, 2 * PAGE) == 0 && munmap(other, PAGE) == 0);
    stays(start + 2 * PAGE, PAGE);
}

/* A range of several areas, of which a later one is sealed. */
static void moved_together(void)
{
    char *start = map_pages(3, PROT_READ | PROT_WRITE), *target = map_pages(1, PROT_READ | PROT_WRITE);
    CHECK(seal(start + PAGE, PAGE, 0) == 0);
    FAILS((long)mremap(start, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target), EPERM);
}

static void only_readable(void)
{
    static const int discarding[] = {MADV_DONTNEED, MADV_FREE, MADV_DONTFORK, MADV_WIPEONFORK, DONTNEED_LOCKED};
    char *start = map_pages(1, PROT_READ | PROT_WRITE);
    start[0] = 'r';
    CHECK(mprotect(start, PAGE, PROT_READ) == 0 && seal(start, PAGE, 0) == 0);
    for (size_t at = 0; at < sizeof discarding / sizeof *discarding; at++) {
        FAILS(madvise(start, PAGE, discarding[at]), EPERM);
    }
    CHECK(madvise(start, PAGE, MADV_WILLNEED) == 0 && madvise(start, PAGE, MADV_DOFORK) == 0 && start[0] == 'r');
    CHECK(mlock(start, PAGE) == 0 && munlock(start, PAGE) == 0);
    stays(start, PAGE);
}

static void of_a_file(void)
{
    int fd = memfd_create("sealed", 0);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)PAGE) == 0 && pwrite(fd, "f", 1, 0) == 1);
    char *start = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(start != MAP_FAILED && seal(start, PAGE, 0) == 0 && madvise(start, PAGE, MADV_DONTNEED) == 0);
    CHECK(pwrite(fd, "g", 1, 0) == 1 && start[0] == 'g' && close(fd) == 0);
    stays(start, PAGE);
}

static void segment(void)
{
    int id = shmget(IPC_PRIVATE, PAGE, 0600);
    char *start = shmat(id, NULL, 0);
    CHECK(id >= 0 && start != (void *)-1 && seal(start, PAGE, 0) == 0);
    start[0] = 's';
    CHECK(shmdt(start) == 0 && start[0] == 's'); /* nothing is said, and nothing is done */
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void children(void)
{
    char *start = map_pages(1, PROT_READ | PROT_WRITE);
    int status;
    CHECK(seal(start, PAGE, 0) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        stays(start, PAGE);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void heap(void)
{
    char *end = sbrk(0), *start = (char *)(((unsigned long)end + PAGE - 1) & ~(PAGE - 1));
    CHECK(syscall(SYS_brk, start + 2 * PAGE) == (long)(start + 2 * PAGE) && seal(start + PAGE, PAGE, 0) == 0);
    CHECK(syscall(SYS_brk, start) == (long)(start + 2 * PAGE));
}

/* Kernels before 6.10 have no such call. */
static int is_there(void)
{
    struct utsname name;
    return seal(NULL, 0, 0) == 0 || errno != ENOSYS || (uname(&name) == 0 && strstr(name.release, "enclavize") != NULL);
}

int main(void)
{
    if (is_there()) {
        arguments();
        one_in_the_middle();
        moved_together();
        only_readable();
        of_a_file();
        segment();
        children();
        heap();
    }
    puts("sealed memory ok");
    return 0;
}
