#define _GNU_SOURCE
#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define LAYERS_MAX 128U /* of an image, and one more for files with holes */
#define INDEX_NAME "index"

static struct {
    struct layer_index index;
    int files[LAYERS_MAX];
    uint32_t count;
} layers;

static int open_regular(int folder, const char *name)
{
    struct stat status;
    int descriptor = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (descriptor < 0) {
        return -errno;
    }
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(descriptor);
        return -EINVAL;
    }
    return descriptor;
}

static int map_index(int folder)
{
    struct stat status;
    int descriptor = open_regular(folder, INDEX_NAME);
    if (descriptor < 0) {
        return descriptor;
    }
    if (fstat(descriptor, &status) != 0 || status.st_size <= 0) {
        close(descriptor);
        return -EINVAL;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (bytes == MAP_FAILED) {
        return -errno;
    }
    layers.index = (struct layer_index){.bytes = bytes, .size = (size_t)status.st_size};
    return 0;
}

static int open_all(int folder)
{
    int error = map_index(folder);
    while (!error && layers.count < LAYERS_MAX) {
        char name[12];
        snprintf(name, sizeof(name), "%u", layers.count);
        int descriptor = open_regular(folder, name);
        if (descriptor == -ENOENT) {
            break;
        }
        error = descriptor < 0 ? descriptor : 0;
        if (!error) {
            layers.files[layers.count++] = descriptor;
        }
    }
    return error;
}

int layers_open(const char *path)
{
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int error = folder < 0 ? -errno : open_all(folder);
    if (folder >= 0) {
        close(folder);
    }
    if (error) {
        layers_close();
        return fail(error, "the image's layers in %s: %s", path, strerror(-error));
    }
    return 0;
}

void layers_close(void)
{
    if (layers.index.bytes) {
        munmap((void *)layers.index.bytes, layers.index.size);
    }
    while (layers.count > 0) {
        close(layers.files[--layers.count]);
    }
    layers.index = (struct layer_index){0};
}

bool layers_are_there(void)
{
    return layers.index.bytes;
}

int layers_open_file(const char *path, struct layer_range *range)
{
    if (!layer_index_find(&layers.index, path, range)) {
        return -ENOENT;
    }
    if (range->layer >= layers.count) {
        return -EIO;
    }
    int descriptor = fcntl(layers.files[range->layer], F_DUPFD_CLOEXEC, 0);
    return descriptor < 0 ? -errno : descriptor;
}
