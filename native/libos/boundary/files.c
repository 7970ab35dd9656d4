/* Files of the host: standard streams, the image, the container's data, and what volumes have opened. */
#include "boundary/ocall.h"

int64_t host_read(int fd, void *to, size_t length)
{
    return ocall_make(to, OCALL_READ, (uint64_t)fd, at_most_data(length), 0, 0);
}

int64_t host_write(int fd, const void *from, size_t length)
{
    return ocall_transfer(OCALL_WRITE, (uint64_t)fd, NULL, from, length, 0);
}

int64_t host_pread(int fd, void *to, size_t length, uint64_t offset)
{
    return ocall_transfer(OCALL_PREAD, (uint64_t)fd, to, NULL, length, offset);
}

int64_t host_pwrite(int fd, const void *from, size_t length, uint64_t offset)
{
    return ocall_transfer(OCALL_PWRITE, (uint64_t)fd, NULL, from, length, offset);
}

int64_t host_append(int fd, const void *from, size_t length, uint64_t *end)
{
    size_t size = at_most_data(length);
    exchange_put(0, from, size);
    int64_t result = ocall_make(end, OCALL_APPEND, (uint64_t)fd, size, sizeof(*end), 0);
    if (result > 0 && (*end < (uint64_t)result || *end > INT64_MAX)) {
        log_line(LOG_ERROR, "the host has appended %ld bytes that end at %lu", result, *end);
        return -EPERM;
    }
    return result;
}

int host_allocate(int fd, uint32_t mode, uint64_t offset, uint64_t length)
{
    return (int)ocall_make(NULL, OCALL_ALLOCATE, (uint64_t)fd, mode, offset, length);
}

int64_t host_image_read(enum image_file file, uint64_t offset, void *to, size_t length)
{
    return ocall_transfer(OCALL_IMAGE_READ, file, to, NULL, length, offset);
}

int64_t host_data_read(int handle, uint64_t offset, void *to, size_t length)
{
    return ocall_transfer(OCALL_DATA_READ, (uint64_t)handle, to, NULL, length, offset);
}

void host_close(int fd)
{
    ocall_make(NULL, OCALL_CLOSE, (uint64_t)fd, 0, 0, 0);
}

int host_poll(struct host_poll *entries, size_t count, uint64_t timeout_ns)
{
    if (count > EXCHANGE_DATA_SIZE / sizeof(*entries)) {
        return -EINVAL;
    }
    enum { ALWAYS_REPORTED = 0x08 | 0x10 | 0x20 }; /* POLLERR, POLLHUP, POLLNVAL */
    exchange_put(0, entries, count * sizeof(*entries));
    int result = (int)ocall_make(NULL, OCALL_POLL, count, timeout_ns, 0, 0);
    if (result < 0) {
        return result == -EINTR && !attention_is_pending() ? 0 : result;
    }
    const volatile struct host_poll *answers = exchange_data();
    int ready = 0;
    for (size_t index = 0; index < count; index++) {
        entries[index].revents = answers[index].revents & (entries[index].events | ALWAYS_REPORTED);
        ready += entries[index].revents != 0;
    }
    return ready;
}

int host_stat(int fd, struct host_stat *stat)
{
    return (int)ocall_make(stat, OCALL_STAT, (uint64_t)fd, 0, 0, 0);
}

int64_t host_ioctl(int fd, uint32_t request, void *data, size_t in, size_t out)
{
    if (in > EXCHANGE_DATA_SIZE) {
        return -EINVAL;
    }
    exchange_put(0, data, in);
    return ocall_make(data, OCALL_IOCTL, (uint64_t)fd, request, in, out);
}

int host_sync(int fd)
{
    return (int)ocall_make(NULL, OCALL_SYNC, (uint64_t)fd, 0, 0, 0);
}

int host_sync_all(int fd)
{
    return (int)ocall_make(NULL, OCALL_SYNC_ALL, (uint64_t)fd, 0, 0, 0);
}

int host_truncate(int fd, uint64_t length)
{
    return (int)ocall_make(NULL, OCALL_TRUNCATE, (uint64_t)fd, length, 0, 0);
}

int host_data_open(const char *path, size_t path_length)
{
    return (int)ocall_with_path(NULL, OCALL_DATA_OPEN, path, path_length, 0, 0);
}

void host_data_close(int handle)
{
    ocall_make(NULL, OCALL_DATA_CLOSE, (uint64_t)handle, 0, 0, 0);
}

int64_t host_file(enum host_file file, void *to, size_t length)
{
    return ocall_make(to, OCALL_HOST_FILE, file, at_most_data(length), 0, 0);
}
