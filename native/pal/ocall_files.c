#define _GNU_SOURCE
#include "ocall_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "layers.h"
#include "process.h"
#include "read_ahead.h"

#define FIRST_HANDLE 3U
#ifndef SYS_pwritev2
#define SYS_pwritev2 328
#endif
#ifndef RWF_APPEND
#define RWF_APPEND 16
#endif

/* What the enclave calls a descriptor is an index here, so that it can name nothing else of this process. 0: free. */
static int handles[HANDLES_MAX];
/* The part of the file that one for OCALL_DATA_READ stands for. */
static struct {
    uint64_t start;
    uint64_t size;
} parts[HANDLES_MAX];
static uint32_t handle_hint;
static pthread_mutex_t handles_mutex = PTHREAD_MUTEX_INITIALIZER;

int host_descriptor(int64_t fd)
{
    if (fd >= 0 && fd < FIRST_HANDLE) {
        return process.stdio[fd];
    }
    if (fd < 0 || fd >= HANDLES_MAX) {
        return -1;
    }
    return __atomic_load_n(&handles[fd], __ATOMIC_ACQUIRE) - 1;
}

static int64_t add_handle(int descriptor, uint64_t start, uint64_t size)
{
    int64_t found = -EMFILE;
    pthread_mutex_lock(&handles_mutex);
    for (uint32_t step = 0; step < HANDLES_MAX - FIRST_HANDLE; step++) {
        uint32_t index = FIRST_HANDLE + (handle_hint + step) % (HANDLES_MAX - FIRST_HANDLE);
        if (handles[index] == 0) {
            parts[index].start = start;
            parts[index].size = size;
            __atomic_store_n(&handles[index], descriptor + 1, __ATOMIC_RELEASE);
            handle_hint = index - FIRST_HANDLE + 1;
            found = index;
            break;
        }
    }
    pthread_mutex_unlock(&handles_mutex);
    if (found < 0) {
        close(descriptor);
    }
    return found;
}

int64_t host_descriptor_add(int descriptor)
{
    return add_handle(descriptor, 0, INT64_MAX);
}

static int64_t close_handle(int64_t handle)
{
    if (handle < FIRST_HANDLE || handle >= HANDLES_MAX) {
        return -EBADF;
    }
    read_ahead_stop(handle, true);
    pthread_mutex_lock(&handles_mutex);
    int descriptor = handles[handle] - 1;
    handles[handle] = 0;
    handle_hint = (uint32_t)handle - FIRST_HANDLE;
    pthread_mutex_unlock(&handles_mutex);
    return descriptor < 0 ? -EBADF : close(descriptor) == 0 ? 0 : -errno;
}

void host_descriptor_remove(int64_t fd)
{
    close_handle(fd);
}

int take_path(const struct request *call, uint64_t offset, uint64_t length, char *path)
{
    if (offset > EXCHANGE_DATA_SIZE || length > EXCHANGE_DATA_SIZE - offset) {
        return -EINVAL;
    }
    if (length >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(path, call->data + offset, length);
    path[length] = '\0';
    return strlen(path) == length ? 0 : -EINVAL;
}

static int64_t result_of(long result)
{
    return result < 0 ? -errno : result;
}

/* arguments: fd, length */
static int64_t transfer(struct request *call, long number)
{
    int descriptor = host_descriptor((int64_t)call->arguments[0]);
    return blocking_syscall(call->thread, number, descriptor, (long)call->data, (long)call->arguments[1], 0);
}

int64_t ocall_read(struct request *call)
{
    return transfer(call, SYS_read);
}

int64_t ocall_write(struct request *call)
{
    return transfer(call, SYS_write);
}

/* Files that have places: no signal ends what is done there, so nothing waits for the next call either (signal(7)). */
int64_t ocall_pread(struct request *call)
{
    int descriptor = host_descriptor((int64_t)call->arguments[0]);
    return result_of(pread(descriptor, call->data, call->arguments[1], (off_t)call->arguments[2]));
}

int64_t ocall_pwrite(struct request *call)
{
    int descriptor = host_descriptor((int64_t)call->arguments[0]);
    return result_of(pwrite(descriptor, call->data, call->arguments[1], (off_t)call->arguments[2]));
}

/* RWF_APPEND (Linux 4.16); where there is none, the end may have moved before it is written to. */
static int64_t append(int descriptor, struct iovec part)
{
    struct stat status;
    long written = syscall(SYS_pwritev2, descriptor, &part, 1L, -1L, -1L, RWF_APPEND);
    if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) {
        return result_of(written);
    }
    if (fstat(descriptor, &status) != 0 || lseek(descriptor, status.st_size, SEEK_SET) < 0) {
        return -errno;
    }
    return result_of(write(descriptor, part.iov_base, part.iov_len));
}

/* The enclave appends to one file one call after the other, so the descriptor's place is where this one has ended. */
int64_t ocall_append(struct request *call)
{
    int descriptor = host_descriptor((int64_t)call->arguments[0]);
    int64_t result = append(descriptor, (struct iovec){.iov_base = call->data, .iov_len = call->arguments[1]});
    if (result >= 0) {
        uint64_t end = (uint64_t)lseek(descriptor, 0, SEEK_CUR);
        memcpy(call->data, &end, sizeof(end));
    }
    return result;
}

int64_t ocall_allocate(struct request *call)
{
    int descriptor = host_descriptor((int64_t)call->arguments[0]);
    return result_of(fallocate(descriptor, (int)call->arguments[1], (off_t)call->arguments[2], (off_t)call->arguments[3]));
}

int64_t ocall_close(struct request *call)
{
    return close_handle((int64_t)call->arguments[0]);
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void put_stat(struct request *call, const struct stat *status)
{
    const struct host_stat answer = {
        .mode = status->st_mode, .links = (uint32_t)status->st_nlink, .uid = status->st_uid, .gid = status->st_gid,
        .size = (uint64_t)status->st_size, .rdev = status->st_rdev, .inode = status->st_ino,
        .blocks = (uint64_t)status->st_blocks, .atime_ns = nanoseconds(status->st_atim),
        .mtime_ns = nanoseconds(status->st_mtim), .ctime_ns = nanoseconds(status->st_ctim),
    };
    memcpy(call->data, &answer, sizeof(answer));
}

int64_t ocall_stat(struct request *call)
{
    struct stat status;
    if (fstat(host_descriptor((int64_t)call->arguments[0]), &status) != 0) {
        return -errno;
    }
    put_stat(call, &status);
    return 0;
}

/* Requests for terminals and sockets, with the size of what they read and write. struct termios is the kernel's, 36 bytes. */
#define KERNEL_TERMIOS_SIZE 36
static const struct {
    uint32_t request;
    uint16_t in;
    uint16_t out;
    bool by_value;
} TERMINAL_REQUESTS[] = {
    {TCGETS, 0, KERNEL_TERMIOS_SIZE, false}, {TCSETS, KERNEL_TERMIOS_SIZE, 0, false}, {TCSETSW, KERNEL_TERMIOS_SIZE, 0, false},
    {TCSETSF, KERNEL_TERMIOS_SIZE, 0, false}, {TIOCGWINSZ, 0, sizeof(struct winsize), false},
    {TIOCSWINSZ, sizeof(struct winsize), 0, false}, {TIOCGPGRP, 0, sizeof(pid_t), false}, {TIOCGSID, 0, sizeof(pid_t), false},
    {FIONREAD, 0, sizeof(int), false}, {TCSBRK, sizeof(int), 0, true}, {TCFLSH, sizeof(int), 0, true},
    {TCXONC, sizeof(int), 0, true},
};

static int64_t stream_ioctl(struct request *call)
{
    struct host_stream asked;
    int value = 0;
    int64_t fd = (int64_t)call->arguments[0];
    memcpy(&asked, call->data, sizeof(asked));
    const struct host_message message = {.socket = asked.socket, .aheads = asked.aheads};
    if (!read_ahead_receives(fd, &message)) {
        return -EAGAIN;
    }
    int64_t result = result_of(ioctl(host_descriptor(fd), call->arguments[1], &value));
    read_ahead_looked(fd);
    memcpy(call->data, &value, sizeof(value));
    return result;
}

int64_t ocall_ioctl(struct request *call)
{
    int descriptor = host_descriptor((int64_t)call->arguments[0]);
    uint64_t request = call->arguments[1];
    bool is_of_stream = request == FIONREAD || request == TIOCOUTQ || request == SIOCATMARK;
    if (is_of_stream && call->arguments[2] == sizeof(struct host_stream) && call->arguments[3] == sizeof(int)) {
        return stream_ioctl(call);
    }
    for (size_t index = 0; index < sizeof(TERMINAL_REQUESTS) / sizeof(TERMINAL_REQUESTS[0]); index++) {
        if (TERMINAL_REQUESTS[index].request != call->arguments[1]) {
            continue;
        }
        int value = 0;
        if (call->arguments[2] < TERMINAL_REQUESTS[index].in || call->arguments[3] < TERMINAL_REQUESTS[index].out) {
            return -EINVAL;
        }
        memcpy(&value, call->data, sizeof(value));
        long argument = TERMINAL_REQUESTS[index].by_value ? value : (long)call->data;
        return blocking_syscall(call->thread, SYS_ioctl, descriptor, (long)call->arguments[1], argument, 0);
    }
    return -ENOTTY;
}

int64_t ocall_sync(struct request *call)
{
    return result_of(fsync(host_descriptor((int64_t)call->arguments[0])));
}

int64_t ocall_sync_all(struct request *call)
{
    return result_of(syncfs(host_descriptor((int64_t)call->arguments[0])));
}

int64_t ocall_truncate(struct request *call)
{
    return result_of(ftruncate(host_descriptor((int64_t)call->arguments[0]), (off_t)call->arguments[1]));
}

/* A whole piece of a regular file, or up to its end. */
static int64_t read_fully(int descriptor, uint64_t offset, uint64_t length, uint8_t *to)
{
    uint64_t done = 0;
    if (offset > (uint64_t)INT64_MAX - length) {
        return -EINVAL;
    }
    while (done < length) {
        ssize_t result = pread(descriptor, to + done, length - done, (off_t)(offset + done));
        if (result < 0 && errno == EINTR) {
            continue;
        }
        if (result < 0) {
            return -errno;
        }
        if (result == 0) {
            break;
        }
        done += (uint64_t)result;
    }
    return (int64_t)done;
}

int64_t ocall_image_read(struct request *call)
{
    if (call->arguments[0] > IMAGE_VERITY) {
        return -EINVAL;
    }
    return read_fully(process.image_files[call->arguments[0]], call->arguments[2], call->arguments[1], call->data);
}

/* A file's data in its layer. */
static int64_t open_in_layer(const char *path)
{
    struct layer_range range;
    int descriptor = layers_open_file(path, &range);
    return descriptor < 0 ? descriptor : add_handle(descriptor, range.offset, range.size);
}

/* A regular file's data, whatever else the host may have put there: opening a FIFO or a device must neither block nor do anything. */
int64_t ocall_data_open(struct request *call)
{
    char path[PATH_MAX];
    struct stat status;
    int error = take_path(call, 0, call->arguments[0], path);
    if (error) {
        return error;
    }
    if (layers_are_there()) {
        return open_in_layer(path);
    }
    int descriptor = open_below_root(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (descriptor < 0) {
        return descriptor;
    }
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(descriptor);
        return -EINVAL;
    }
    return host_descriptor_add(descriptor);
}

int64_t ocall_data_read(struct request *call)
{
    int64_t handle = (int64_t)call->arguments[0];
    uint64_t length = call->arguments[1], offset = call->arguments[2];
    if (handle < FIRST_HANDLE || handle >= HANDLES_MAX) {
        return -EBADF;
    }
    uint64_t left = offset < parts[handle].size ? parts[handle].size - offset : 0;
    return read_fully(host_descriptor(handle), parts[handle].start + offset, length < left ? length : left, call->data);
}

int64_t ocall_data_close(struct request *call)
{
    return close_handle((int64_t)call->arguments[0]);
}

int64_t ocall_host_file(struct request *call)
{
    static const char *const paths[] = {"etc/hosts", "etc/resolv.conf", "etc/hostname"};
    uint64_t room = call->arguments[1];
    if (call->arguments[0] >= sizeof(paths) / sizeof(paths[0])) {
        return -EINVAL;
    }
    int descriptor = open_in_root(paths[call->arguments[0]], O_RDONLY | O_NONBLOCK);
    if (descriptor < 0) {
        return descriptor;
    }
    struct stat status;
    bool fits = fstat(descriptor, &status) == 0 && status.st_size >= 0 && (uint64_t)status.st_size <= room;
    int64_t size = fits ? read_fully(descriptor, 0, room, call->data) : -EFBIG;
    close(descriptor);
    return size;
}
