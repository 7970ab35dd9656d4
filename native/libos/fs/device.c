#include "fs/device.h"

#include "fs/pty.h"
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

/* Linux, include/uapi/linux/random.h. */
enum random_request {
    RNDZAPENTCNT = 0x5204, RNDCLEARPOOL = 0x5206, RNDRESEEDCRNG = 0x5207,
    RNDADDTOENTCNT = 0x40045201, RNDADDENTROPY = 0x40085203, RNDGETENTCNT = 0x80045200,
};

/* What changes the pool is CAP_SYS_ADMIN's, which nobody has. */
static int64_t random_ioctl(struct file *file, uint32_t request, user_address argument)
{
    int32_t bits = ENTROPY_BITS;
    (void)file;
    switch (request) {
    case RNDGETENTCNT:
        return copy_to_user(argument, &bits, sizeof(bits));
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        return -EPERM;
    default:
        return -EINVAL;
    }
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

static const struct file_operations null_operations = {.read = read_nothing, .write = write_away, .stands = true};
static const struct file_operations zero_operations = {.read = read_zeros, .write = write_away, .stands = true};
static const struct file_operations full_operations = {.read = read_zeros, .write = write_full, .stands = true};
static const struct file_operations random_operations = {
    .read = read_random, .write = write_away, .ioctl = random_ioctl, .stands = true};

/* The controlling terminal. */
static int64_t open_terminal(struct file *file)
{
    struct pty *pty = controlling_pty();
    if (!pty) {
        return stream_open_terminal(file);
    }
    int64_t result = pty_open_slave(pty, file); /* takes the count over */
    if (result < 0) {
        inode_put(&pty->inode);
    }
    return result;
}

/* Numbers from Linux, Documentation/admin-guide/devices.txt: operations, or what opening does. */
static const struct {
    const char *name;
    uint32_t major, minor;
    const struct file_operations *operations;
    int64_t (*open)(struct file *file);
} devices[] = {
    {"null", 1, 3, &null_operations, NULL},
    {"zero", 1, 5, &zero_operations, NULL},
    {"full", 1, 7, &full_operations, NULL},
    {"random", 1, 8, &random_operations, NULL},
    {"urandom", 1, 9, &random_operations, NULL},
    {"tty", 5, 0, NULL, open_terminal},
    {"console", 5, 1, NULL, stream_open_terminal},
    {"ptmx", 5, 2, NULL, devpts_open_master},
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
            if (devices[at].open) {
                return devices[at].open(file);
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
    struct creation shm = {.mode = S_IFDIR | S_ISVTX | 0777}, pts = {.mode = S_IFDIR | 0755};
    if (result == 0 && (result = create(root, "shm", &shm)) == 0) {
        result = create(root, "pts", &pts);
    }
    *created = root;
    return result;
}
