/* Files of /proc about the process, as libraries and tools read them. */
#define _GNU_SOURCE
#include "check.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <unistd.h>

#define PAGE 4096UL

/* What stands behind the name in the part of smaps about the mapping that begins there. */
static long field_of(const char *path, const char *start, const char *name)
{
    char line[512], first[32];
    long value = -1;
    int is_there = start == NULL;
    FILE *file = fopen(path, "r");
    CHECK(file);
    snprintf(first, sizeof first, "%lx-", (unsigned long)start);
    while (fgets(line, sizeof line, file)) {
        unsigned long from, to;
        if (start != NULL && sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            is_there = strncmp(line, first, strlen(first)) == 0;
        } else if (is_there && strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            value = atol(line + strlen(name) + 1);
        }
    }
    fclose(file);
    return value;
}

static int flag_is_set(const char *start, const char *flag)
{
    char line[512], first[32];
    int is_there = 0, is_set = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    snprintf(first, sizeof first, "%lx-", (unsigned long)start);
    while (fgets(line, sizeof line, file)) {
        is_there = strstr(line, "-p ") || strchr(line, '-') == line + strlen(first) - 1 ? strncmp(line, first, strlen(first)) == 0 : is_there;
        is_set |= is_there && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag) != NULL;
    }
    fclose(file);
    return is_set;
}

static void maps_of_memory(void)
{
    /* apart from its neighbours, so that no mapping is joined with it */
    char *room = mmap(NULL, 102 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at = room + PAGE;
    CHECK(mprotect(at, 100 * PAGE, PROT_READ | PROT_WRITE) == 0);
    memset(at, 1, 32 * PAGE);
    CHECK(field_of("/proc/self/smaps", at, "Size") == 400 && field_of("/proc/self/smaps", at, "KernelPageSize") == 4);
    long resident = field_of("/proc/self/smaps", at, "Rss");
    CHECK(resident >= 128 && resident < 400);
    CHECK(field_of("/proc/self/smaps", at, "Private_Dirty") == resident && field_of("/proc/self/smaps", at, "Anonymous") == resident);
    CHECK(field_of("/proc/self/smaps", at, "Locked") == 0 && mlock(at, 100 * PAGE) == 0);
    CHECK(field_of("/proc/self/smaps", at, "Locked") == 400 && field_of("/proc/self/smaps", at, "Rss") == 400);
    CHECK(flag_is_set(at, " lo") && flag_is_set(at, " wr") && !flag_is_set(at, " ex") && munlock(at, 100 * PAGE) == 0);
    long all = field_of("/proc/self/smaps_rollup", NULL, "Rss");
    CHECK(all >= 400 && field_of("/proc/self/smaps_rollup", NULL, "Pss_Anon") >= 400);
    CHECK(field_of("/proc/self/status", NULL, "VmHWM") >= all);

    uint64_t entries[4];
    int pagemap = open("/proc/self/pagemap", O_RDONLY);
    CHECK(pagemap >= 0 && madvise(at, 16 * PAGE, MADV_DONTNEED) == 0);
    CHECK(pread(pagemap, entries, sizeof entries, (off_t)((uintptr_t)(at + 14 * PAGE) / PAGE * 8)) == sizeof entries);
    CHECK(entries[0] >> 63 == 0 && entries[1] >> 63 == 0 && entries[2] >> 63 == 1 && (entries[2] >> 61 & 3) == 0);
    FAILS(pread(pagemap, entries, 7, 0), EINVAL);
    FAILS(pread(pagemap, entries, 8, 4), EINVAL);
    CHECK(pread(pagemap, entries, 8, 1L << 50) == 0);
    CHECK(close(pagemap) == 0 && munmap(room, 102 * PAGE) == 0);
    char *shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared[0] = 1;
    CHECK(field_of("/proc/self/smaps", shared, "Size") == 16 && field_of("/proc/self/smaps", shared, "Anonymous") == 0);
    CHECK(flag_is_set(shared, " sh") && munmap(shared, 4 * PAGE) == 0);
}

/* The names by which tools know the stack and the heap. */
static void names(void)
{
    char line[512], *heap = sbrk(4096);
    int has_stack = 0, has_heap = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        sscanf(line, "%lx-%lx", &from, &to);
        has_stack |= strstr(line, "[stack]\n") != NULL && (unsigned long)line >= from && (unsigned long)line < to;
        has_heap |= strstr(line, "[heap]\n") != NULL && (unsigned long)heap >= from && (unsigned long)heap < to;
    }
    fclose(maps);
    CHECK(has_stack && (heap == (void *)-1L || has_heap));
}

static void vector(void)
{
    Elf64_auxv_t entries[64];
    int fd = open("/proc/self/auxv", O_RDONLY);
    ssize_t got = read(fd, entries, sizeof entries);
    CHECK(got > 0 && got % sizeof entries[0] == 0 && entries[got / sizeof entries[0] - 1].a_type == AT_NULL);
    for (size_t at = 0; entries[at].a_type != AT_NULL; at++) {
        CHECK(getauxval(entries[at].a_type) == entries[at].a_un.a_val);
    }
    CHECK(getauxval(AT_PHDR) != 0 && close(fd) == 0);
}

static void transfers(void)
{
    char page[PAGE];
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    memset(page, 0, sizeof page);
    long written = field_of("/proc/self/io", NULL, "wchar"), writes = field_of("/proc/self/io", NULL, "syscw");
    CHECK(write(fd, page, PAGE) == (ssize_t)PAGE && pwrite(fd, page, 10, 0) == 10);
    CHECK(field_of("/proc/self/io", NULL, "wchar") == written + (long)PAGE + 10 && field_of("/proc/self/io", NULL, "syscw") == writes + 2);
    long read_before = field_of("/proc/self/io", NULL, "rchar");
    CHECK(pread(fd, page, PAGE, 0) == (ssize_t)PAGE && field_of("/proc/self/io", NULL, "rchar") > read_before + (long)PAGE);
    CHECK(close(fd) == 0);
}

static long written_by_all(void)
{
    return field_of("/proc/self/io", NULL, "wchar");
}

static void *write_in_thread(void *of_process)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    CHECK(write(fd, "12345", 5) == 5 && close(fd) == 0);
    CHECK(field_of("/proc/thread-self/io", NULL, "wchar") == 5 && written_by_all() == *(long *)of_process + 5);
    return NULL;
}

/* A thread's are its own, and stay the process's when it has ended. */
static void transfers_of_threads(void)
{
    pthread_t thread;
    long before = written_by_all(), own = field_of("/proc/thread-self/io", NULL, "wchar");
    CHECK(pthread_create(&thread, NULL, write_in_thread, &before) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(written_by_all() == before + 5 && field_of("/proc/thread-self/io", NULL, "wchar") == own);
}

static void info_of(int fd, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    ssize_t got = read(info, text, size - 1);
    CHECK(info >= 0 && got > 0 && close(info) == 0);
    text[got] = '\0';
}

static void descriptors(void)
{
    char text[512];
    long long position;
    unsigned flags;
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CHECK(lseek(fd, 77, SEEK_SET) == 77);
    info_of(fd, text, sizeof text);
    CHECK(sscanf(text, "pos:\t%lld\nflags:\t%o\nmnt_id:\t", &position, &flags) == 2 && position == 77);
    CHECK((flags & O_ACCMODE) == O_RDWR && (flags & O_CLOEXEC) && strstr(text, "\nino:\t"));
    CHECK(close(fd) == 0);
    fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    info_of(fd, text, sizeof text);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\nPid:\t%d\n", getpid());
    CHECK(strstr(text, wanted) && close(fd) == 0);
    fd = eventfd(0x1F, 0);
    info_of(fd, text, sizeof text);
    CHECK(strstr(text, "\neventfd-count:               1f\n") && strstr(text, "\neventfd-id: ") && close(fd) == 0);
    fd = inotify_init1(0);
    CHECK(inotify_add_watch(fd, "/tmp", IN_CREATE | IN_DELETE) == 1);
    info_of(fd, text, sizeof text);
    CHECK(strstr(text, "\ninotify wd:1 ino:") && strstr(text, " mask:300 ") && close(fd) == 0);
    FAILS(open("/proc/self/fdinfo/999", O_RDONLY), ENOENT);
}

static void usage(void)
{
    struct rusage before, after;
    struct tms now;
    CHECK(getrusage(RUSAGE_SELF, &before) == 0 && before.ru_maxrss > 100);
    for (int round = 0; round < 20000; round++) { /* the kernel works, too; hosts tell by samples */
        char *at = mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        CHECK(at != MAP_FAILED && munmap(at, 256 * PAGE) == 0);
        CHECK(getrusage(RUSAGE_SELF, &after) == 0);
        CHECK(!timercmp(&after.ru_utime, &before.ru_utime, <) && !timercmp(&after.ru_stime, &before.ru_stime, <));
        before = after;
        CHECK(times(&now) != -1);
        if (now.tms_stime > 1) {
            break;
        }
    }
    CHECK(now.tms_stime > 1 && (after.ru_stime.tv_sec > 0 || after.ru_stime.tv_usec > 0));
    CHECK(getrusage(RUSAGE_THREAD, &after) == 0 && after.ru_stime.tv_sec * 1000000L + after.ru_stime.tv_usec > 0);
}

/* Is the mount with this number at the path (0: any one)? Its parent's number goes to *parent. */
static int is_mounted(const char *path, int wanted, int *parent)
{
    char line[4096], where[4096];
    int number, above, is_there = 0;
    FILE *file = fopen("/proc/self/mountinfo", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%d %d %*s %*s %4095s", &number, &above, where) == 3 && strcmp(where, path) == 0 &&
            (wanted == 0 || number == wanted)) {
            is_there = 1;
            *parent = above;
        }
    }
    fclose(file);
    return is_there;
}

static void mounts(void)
{
    int above, unused;
    if (is_mounted("/dev", 0, &unused) && is_mounted("/dev/shm", 0, &above)) {
        CHECK(is_mounted("/dev", above, &unused) || is_mounted("/dev/shm", above, &unused)); /* hosts have two there, too */
    }
}

int main(void)
{
    mounts();
    maps_of_memory();
    names();
    vector();
    transfers();
    transfers_of_threads();
    descriptors();
    usage();
    return 0;
}
