/* The host's files, by plain system calls. */
#include "shim_host.h"

#include "shim_libos.h"

int *__errno_location(void);
int close(int fd);
long pread(int fd, void *to, size_t size, long offset);
long pwrite(int fd, const void *from, size_t size, long offset);
long read(int fd, void *to, size_t size);
long write(int fd, const void *from, size_t size);
int poll(void *entries, unsigned long count, int timeout);
int ftruncate(int fd, long size);
long lseek(int fd, long offset, int whence);

struct fault fault;
const char *image_path, *verity_path, *data_root, *volume_root;
uint64_t host_data_reads;

int64_t from_errno(long result)
{
    return result < 0 ? -*__errno_location() : result;
}

static int image_fd = -1, verity_fd = -1;

void shim_start(const char *image, const char *verity, const char *data, const char *volumes)
{
    image_path = image;
    verity_path = verity;
    data_root = data;
    volume_root = volumes;
    image_fd = open(image, 0);
    verity_fd = open(verity, 0);
}

static void apply_fault(enum fault_target target, uint64_t offset, uint8_t *bytes, int64_t size)
{
    static uint32_t reads;
    if (fault.target != target || fault.offset < offset || fault.offset >= offset + (uint64_t)size) {
        return;
    }
    if (fault.every == 0 || ++reads % fault.every == 0) {
        bytes[fault.offset - offset] ^= fault.mask;
    }
}

int64_t host_image_read(enum image_file file, uint64_t offset, void *to, size_t length)
{
    int64_t result = from_errno(pread(file == IMAGE_ROOTFS ? image_fd : verity_fd, to, length, (long)offset));
    apply_fault(file == IMAGE_ROOTFS ? FAULT_IMAGE : FAULT_VERITY, offset, to, result);
    return result;
}

static char *handle_paths[65536];

void join_path(char to[8192], const char *root, const char *path, size_t length)
{
    snprintf(to, 8192, "%s/%.*s", root, (int)length, path);
}

int host_data_open(const char *path, size_t path_length)
{
    char full[8192];
    join_path(full, data_root, path, path_length);
    int fd = (int)from_errno(open(full, 0400000)); /* O_NOFOLLOW */
    if (fd >= 0) {
        handle_paths[fd] = calloc(1, path_length + 1);
        memcpy(handle_paths[fd], path, path_length);
    }
    return fd;
}

int64_t host_data_read(int handle, uint64_t offset, void *to, size_t length)
{
    int64_t result = from_errno(pread(handle, to, length, (long)offset));
    __atomic_fetch_add(&host_data_reads, 1, __ATOMIC_RELAXED);
    if (fault.target == FAULT_DATA && strcmp(handle_paths[handle], fault.path) == 0) {
        apply_fault(FAULT_DATA, offset, to, result);
    }
    return result;
}

void host_data_close(int handle)
{
    free(handle_paths[handle]);
    handle_paths[handle] = NULL;
    close(handle);
}

int64_t host_read(int fd, void *to, size_t length)
{
    return from_errno(read(fd, to, length));
}

int64_t host_write(int fd, const void *from, size_t length)
{
    return from_errno(write(fd, from, length));
}

int64_t host_pread(int fd, void *to, size_t length, uint64_t offset)
{
    return from_errno(pread(fd, to, length, (long)offset));
}

int64_t host_pwrite(int fd, const void *from, size_t length, uint64_t offset)
{
    return from_errno(pwrite(fd, from, length, (long)offset));
}

int64_t host_append(int fd, const void *from, size_t length, uint64_t *end)
{
    long place = lseek(fd, 0, 2);
    int64_t result = from_errno(pwrite(fd, from, length, place));
    *end = (uint64_t)place + (uint64_t)(result > 0 ? result : 0);
    return result;
}

int host_allocate(int fd, uint32_t mode, uint64_t offset, uint64_t length)
{
    return (int)from_errno(syscall(285, fd, mode, offset, length));
}

/* network_test.c has a host of its own for these two. */
__attribute__((weak)) void host_close(int fd)
{
    close(fd);
}

__attribute__((weak)) int host_poll(struct host_poll *entries, size_t count, uint64_t timeout_ns)
{
    /* a wake ends it soon enough */
    uint64_t limit = timeout_ns == NO_TIMEOUT || timeout_ns > 50000000 ? 50 : timeout_ns / 1000000;
    return (int)from_errno(poll(entries, count, (int)limit));
}

#define SYS_NEWFSTATAT 262
#define AT_EMPTY_PATH 0x1000

int stat_at(int fd, const char *path, struct host_stat *to, int flags)
{
    uint64_t words[18];
    int64_t result = from_errno(syscall(SYS_NEWFSTATAT, fd, path, words, flags));
    if (result < 0) {
        return (int)result;
    }
    *to = (struct host_stat){
        .inode = words[1],
        .links = (uint32_t)words[2],
        .mode = (uint32_t)words[3],
        .uid = (uint32_t)(words[3] >> 32),
        .gid = (uint32_t)words[4],
        .rdev = words[5],
        .size = words[6],
        .blocks = words[8],
        .mtime_ns = (int64_t)(words[11] * NS_PER_SECOND + words[12]),
    };
    return 0;
}

int host_stat(int fd, struct host_stat *stat)
{
    return stat_at(fd, "", stat, AT_EMPTY_PATH);
}

int64_t host_ioctl(int fd, uint32_t request, void *data, size_t in, size_t out)
{
    (void)fd, (void)request, (void)data, (void)in, (void)out;
    return -ENOTTY;
}

int host_sync(int fd)
{
    (void)fd;
    return 0;
}

int host_sync_all(int fd)
{
    (void)fd;
    return 0;
}

int host_truncate(int fd, uint64_t length)
{
    return (int)from_errno(ftruncate(fd, (long)length));
}

int64_t host_file(enum host_file file, void *to, size_t length)
{
    static const char *const texts[] = {
        "127.0.0.1 localhost\n10.0.0.7 db # comment\n", "nameserver 10.0.0.1\nexec /bin/sh\n", "guest\n"};
    size_t size = strlen(texts[file]);
    memcpy(to, texts[file], size < length ? size : length);
    return (int64_t)size;
}
