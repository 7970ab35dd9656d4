/* What files hold: those of the image, those written over it, those that are made when they are read, and those of a volume. */
#include "calls.h"

void test_reading(void)
{
    static uint8_t whole[4 << 20], part[1 << 20];
    int64_t descriptor = open_file("/sizes/3145733", O_RDONLY, 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(whole), sizeof(whole)), 3145733);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(whole), 10), 0);
    for (uint32_t at = 1; at < 60; at++) {
        uint64_t offset = at * 1000003ULL % 3145733, length = at * 7919ULL % sizeof(part);
        int64_t expected = offset + length > 3145733 ? (int64_t)(3145733 - offset) : (int64_t)length;
        CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(part), length, offset), expected);
        CHECK(memcmp(part, whole + offset, (size_t)expected), 0);
    }
    struct iovec vector[3] = {{USER(part), 10}, {USER(part + 10), 0}, {USER(part + 10), 5000}};
    CHECK(CALL_LIBOS(preadv, (uint64_t)descriptor, USER(vector), 3, 4090, 0), 5010);
    CHECK(memcmp(part, whole + 4090, 5010), 0);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, (uint64_t)-5, 2), 3145728);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(part), 100), 5);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, (uint64_t)-5, 0), -EINVAL);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(part), 1, (uint64_t)-1), -EINVAL);
    CHECK(write_file(descriptor, "x"), -EBADF);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, 0, 0), 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, 16, 1), -EFAULT);
    CHECK(CALL_LIBOS(lseek, (uint64_t)descriptor, 0, 1), 0);
    CHECK(close_file(descriptor), 0);
    CHECK(close_file(descriptor), -EBADF);
    CHECK(CALL_LIBOS(read, (uint64_t)open_file("/etc", 0, 0), USER(part), 1), -EISDIR);
}

/* The image's files can be written: what was written shows, the rest stays what was measured. */
void test_writing_over_the_image(void)
{
    static uint8_t before[600000], after[600000];
    int64_t descriptor = open_file("/sizes/524289", O_RDWR, 0);
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(before), sizeof(before)), 524289);
    CHECK(CALL_LIBOS(pwrite64, (uint64_t)descriptor, USER("hello"), 5, 4094), 5);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(after), sizeof(after), 0), 524289);
    CHECK(memcmp(after + 4094, "hello", 5), 0);
    CHECK(memcmp(after, before, 4094), 0);
    CHECK(memcmp(after + 4099, before + 4099, 524289 - 4099), 0);
    CHECK(CALL_LIBOS(ftruncate, (uint64_t)descriptor, 10000), 0);
    CHECK(CALL_LIBOS(ftruncate, (uint64_t)descriptor, 20000), 0);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(after), sizeof(after), 0), 20000);
    CHECK(memcmp(after + 4099, before + 4099, 10000 - 4099), 0);
    uint32_t sum = 0;
    for (size_t at = 10000; at < 20000; at++) {
        sum += after[at];
    }
    CHECK(sum, 0);
    CHECK(CALL_LIBOS(fallocate, (uint64_t)descriptor, 3, 100, 5000), 0);
    CHECK(CALL_LIBOS(pread64, (uint64_t)descriptor, USER(after), 200, 0), 200);
    CHECK(memcmp(after, before, 100), 0);
    CHECK(after[100] | after[199], 0);
    CHECK(close_file(descriptor), 0);
    CHECK(stat_file("/sizes/524289"), 0);
    CHECK(status.size, 20000);
    CHECK(status.blocks, 40);

    CHECK(make_file("/sizes/65", "short"), 5);
    CHECK(content_is("/sizes/65", "short"), 1);
    descriptor = open_file("/sizes/65", O_WRONLY | O_APPEND, 0);
    CHECK(write_file(descriptor, "er"), 2);
    close_file(descriptor);
    CHECK(content_is("/sizes/65", "shorter"), 1);
    CHECK(CALL_LIBOS(truncate, USER("/sizes/4097"), 4096), 0);
    CHECK(CALL_LIBOS(chmod, USER("/sizes/4097"), 0600), 0);
    CHECK(stat_file("/sizes/4097"), 0);
    CHECK(status.mode, 0100600);
    CHECK(status.size, 4096);
}

void test_synthetic_files(void)
{
    char text[4096];
    bool found;
    CHECK(count_names("/proc/self/fd", "0", &found) >= 5, 1);
    CHECK(CALL_LIBOS(readlink, USER("/proc/self"), USER(text), sizeof(text)), 1);
    int64_t descriptor = open_file("/etc/hosts", 0, 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)descriptor);
    memset(text, 0, sizeof(text));
    CHECK(CALL_LIBOS(readlink, USER(path), USER(text), sizeof(text)), 10);
    CHECK(strcmp(text, "/etc/hosts"), 0);
    struct stat_words through;
    CHECK(CALL_LIBOS(stat, USER(path), USER(&through)), 0);
    CHECK(stat_file("/etc/hosts"), 0);
    CHECK(through.inode, status.inode);
    close_file(descriptor);
    CHECK(stat_file(path), -ENOENT);
    static const char *const readable[] = {
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/uptime",
        "/proc/version",
        "/proc/loadavg",
        "/proc/filesystems",
        "/proc/mounts",
        "/proc/self/status",
        "/proc/self/stat",
        "/proc/self/statm",
        "/proc/self/maps",
        "/proc/self/mountinfo",
        "/proc/self/limits",
        "/proc/self/comm",
        "/proc/self/cgroup",
        "/proc/self/oom_score_adj",
        "/proc/thread-self/comm",
        "/proc/self/task/1/status",
        "/proc/sys/kernel/random/uuid",
        "/proc/sys/kernel/hostname",
        "/sys/devices/system/cpu/online",
    };
    for (size_t at = 0; at < ARRAY_LENGTH(readable); at++) {
        descriptor = open_file(readable[at], O_RDONLY, 0);
        int64_t size = CALL_LIBOS(read, (uint64_t)descriptor, USER(text), sizeof(text));
        if (size <= 0) {
            printf("%s: %lld\n", readable[at], (long long)size);
            failures++;
        }
        close_file(descriptor);
    }
    CHECK(count_names("/proc", "self", &found) > 10, 1);
    CHECK(found, 1);
    CHECK(count_names("/", "proc", &found) > 5, 1);
    CHECK(found, 0); /* the image has no such directory: it is there, but not listed */
    CHECK(make_file("/proc/x", ""), -EROFS);
    descriptor = open_file("/dev/zero", O_RDWR, 0);
    text[0] = 1;
    CHECK(CALL_LIBOS(read, (uint64_t)descriptor, USER(text), 10), 10);
    CHECK(text[0], 0);
    CHECK(write_file(descriptor, "abc"), 3);
    close_file(descriptor);
    descriptor = open_file("/dev/full", O_RDWR, 0);
    CHECK(write_file(descriptor, "abc"), -ENOSPC);
    close_file(descriptor);
    CHECK(CALL_LIBOS(read, (uint64_t)open_file("/dev/null", 0, 0), USER(text), 10), 0);
    CHECK(open_file("/dev/tty", O_RDWR, 0), -ENXIO);
    CHECK(stat_file("/dev/fd/0"), 0);
    CHECK(make_file("/dev/shm/x", "y"), 1);
    CHECK(stat_file("/dev/shm"), 0);
    CHECK(status.mode, 0041777);
}

/* One FIFO by two names of the host's, one that takes the place of another that is open, and what the host may not make. */
static void test_volume_fifos(void)
{
    char bytes[8];
    CHECK(CALL_LIBOS(mknod, USER("/mnt/volume/fifo"), 0010600, 0), 0);
    CHECK(CALL_LIBOS(mknod, USER("/mnt/volume/fifo"), 0010600, 0), -EEXIST);
    CHECK(CALL_LIBOS(link, USER("/mnt/volume/fifo"), USER("/mnt/volume/twin")), 0);
    CHECK(open_file("/mnt/volume/fifo", O_WRONLY | O_NONBLOCK, 0), -ENXIO);
    int64_t reader = open_file("/mnt/volume/fifo", O_RDONLY | O_NONBLOCK, 0);
    int64_t writer = open_file("/mnt/volume/twin", O_WRONLY | O_NONBLOCK, 0);
    CHECK(write_file(writer, "both"), 4);
    CHECK(CALL_LIBOS(read, (uint64_t)reader, USER(bytes), 8), 4);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/fifo")), 0);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/twin")), 0);
    CHECK(CALL_LIBOS(mknod, USER("/mnt/volume/fifo"), 0010600, 0), 0);
    CHECK(open_file("/mnt/volume/fifo", O_WRONLY | O_NONBLOCK, 0), -ENXIO);
    CHECK(write_file(writer, "old"), 3);
    CHECK(CALL_LIBOS(read, (uint64_t)reader, USER(bytes), 8), 3);
    close_file(writer);
    close_file(reader);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/fifo")), 0);
    CHECK(CALL_LIBOS(mknod, USER("/mnt/volume/socket"), 0140600, 0), 0);
    CHECK(open_file("/mnt/volume/socket", O_RDONLY, 0), -ENXIO);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/socket")), 0);
    CHECK(CALL_LIBOS(mknod, USER("/mnt/volume/device"), 0020600, 0x103), -EPERM);
}

void test_volume(void)
{
    bool found;
    test_volume_fifos();
    CHECK(count_names("/mnt/volume", "given", &found), 3);
    CHECK(found, 1);
    CHECK(content_is("/mnt/volume/given", "from the host"), 1);
    CHECK(make_file("/mnt/volume/made", "inside"), 6);
    CHECK(content_is("/mnt/volume/made", "inside"), 1);
    CHECK(CALL_LIBOS(mkdir, USER("/mnt/volume/directory"), 0755), 0);
    CHECK(CALL_LIBOS(rename, USER("/mnt/volume/made"), USER("/mnt/volume/directory/made")), 0);
    CHECK(stat_file("/mnt/volume/directory/../directory/made"), 0);
    CHECK(status.size, 6);
    CHECK(CALL_LIBOS(symlink, USER("directory/made"), USER("/mnt/volume/link")), 0);
    CHECK(content_is("/mnt/volume/link", "inside"), 1);
    CHECK(CALL_LIBOS(rmdir, USER("/mnt/volume/directory")), -ENOTEMPTY);
    CHECK(CALL_LIBOS(truncate, USER("/mnt/volume/link"), 2), 0);
    CHECK(content_is("/mnt/volume/link", "in"), 1);
    struct file *file;
    int64_t descriptor = open_file("/mnt/volume/link", O_RDWR | O_APPEND, 0);
    CHECK(write_file(descriptor, "side"), 4);
    CHECK(content_is("/mnt/volume/link", "inside"), 1);
    file = file_upcalls.of_descriptor((int)descriptor);
    CHECK(file_upcalls.check_mapping(file, 1, 2), 0);
    CHECK(file_upcalls.check_mapping(file, 5, 2), -EPERM);
    file_upcalls.put(file);
    close_file(descriptor);
    CHECK(CALL_LIBOS(chmod, USER("/mnt/volume/link"), 0755), 0);
    CHECK(process_upcalls.open_executable(AT_FDCWD, "/mnt/volume/link", 0, &file), -EACCES);
    CHECK(CALL_LIBOS(link, USER("/mnt/volume/given"), USER("/mnt/volume/hard")), 0);
    CHECK(content_is("/mnt/volume/hard", "from the host"), 1);
    CHECK(CALL_LIBOS(link, USER("/mnt/volume/given"), USER("/tmp/hard")), -EXDEV);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/hard")), 0);
    CHECK(CALL_LIBOS(rename, USER("/mnt/volume/given"), USER("/tmp/given")), -EXDEV);
    CHECK(CALL_LIBOS(unlink, USER("/mnt/volume/directory/made")), 0);
    CHECK(stat_file("/mnt/volume/link"), 0);
    CHECK(open_file("/mnt/volume/link", 0, 0), -ENOENT);
}
