#include "fs/device.h"

#include "fs/stream.h"
#include "fs/tree.h"

static int64_t read_nothing(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)file, (void)to, (void)length, (void)offset;
    return 0;
}

static int64_t read_zeros(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)file, (void)offset;
    memset(to, 0, length);
    return (int64_t)length;
}

static int64_t read_random(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)file, (void)offset;
    random_bytes(to, length);
    return (int64_t)length;
}

static int64_t write_away(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    (void)file, (void)from, (void)offset;
    return (int64_t)length;
}

static int64_t write_full(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    (void)file, (void)from, (void)length, (void)offset;
    return -ENOSPC;
}

static const struct file_operations null_operations = {.read = read_nothing, .write = write_away};
static const struct file_operations zero_operations = {.read = read_zeros, .write = write_away};
static const struct file_operations full_operations = {.read = read_zeros, .write = write_full};
static const struct file_operations random_operations = {.read = read_random, .write = write_away};

/* Numbers from Linux, Documentation/admin-guide/devices.txt. Without operations: the terminal. */
static const struct {
    const char *name;
    uint32_t major, minor;
    const struct file_operations *operations;
} devices[] = {
    {"null", 1, 3, &null_operations},
    {"zero", 1, 5, &zero_operations},
    {"full", 1, 7, &full_operations},
    {"random", 1, 8, &random_operations},
    {"urandom", 1, 9, &random_operations},
    {"tty", 5, 0, NULL},
    {"console", 5, 1, NULL},
};

static const struct {
    const char *name;
    const char *target;
} links[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
};

static uint64_t number_of(uint32_t major, uint32_t minor)
{
    return (uint64_t)major << 8 | minor;
}

int64_t device_open(struct inode *inode, struct file *file)
{
    for (size_t at = 0; at < ARRAY_LENGTH(devices); at++) {
        if (inode->rdev == number_of(devices[at].major, devices[at].minor)) {
            if (devices[at].operations == NULL) {
                return stream_open_terminal(file);
            }
            file->operations = devices[at].operations;
            return 0;
        }
    }
    return -ENXIO;
}

static int64_t create(struct inode *root, const char *text, const struct creation *creation)
{
    struct inode *inode;
    struct name name = {.bytes = text, .length = strlen(text)};
    int64_t result = root->operations->create(root, name, creation, &inode);
    if (result == 0) {
        inode->uid = 0;
        inode->gid = 0;
        inode_put(inode);
    }
    return result;
}

int64_t device_create_directory(struct inode **created)
{
    struct inode *root;
    int64_t result = tree_create(&memory_file_system, 0755, &root);
    if (result < 0) {
        return result;
    }
    root->uid = 0;
    root->gid = 0;
    for (size_t at = 0; at < ARRAY_LENGTH(devices) && result == 0; at++) {
        struct creation device = {
            .mode = S_IFCHR | 0666, .rdev = number_of(devices[at].major, devices[at].minor)};
        result = create(root, devices[at].name, &device);
    }
    for (size_t at = 0; at < ARRAY_LENGTH(links) && result == 0; at++) {
        struct creation link = {.mode = S_IFLNK | 0777, .target = links[at].target};
        result = create(root, links[at].name, &link);
    }
    struct creation shm = {.mode = S_IFDIR | S_ISVTX | 0777};
    if (result == 0) {
        result = create(root, "shm", &shm);
    }
    *created = root;
    return result;
}
