#include "fs/volume.h"

#include "boundary/boundary.h"
#include "fs/buffer.h"
#include "fs/volume_file.h"

#define AT_REMOVEDIR 0x200U
#define HOST_OPEN_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_DIRECTORY)

struct volume_inode {
    struct inode inode;
    size_t length;
    char path[]; /* as the host is asked */
};

static const struct inode_operations operations;

static struct volume_inode *volume_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct volume_inode, inode);
}

static void volume_unused(struct inode *inode)
{
    size_t length = volume_of(inode)->length;
    inode_place(inode, NULL, (struct name){0});
    release(volume_of(inode), sizeof(struct volume_inode) + length + 1);
}

static struct timespec from_ns(int64_t ns)
{
    int64_t seconds = ns / (int64_t)NS_PER_SECOND;
    return ns < 0
               ? (struct timespec){0}
               : (struct timespec){.seconds = seconds, .nanoseconds = ns - seconds * (int64_t)NS_PER_SECOND};
}

static int64_t take_stat(struct inode *inode, const struct host_stat *stat)
{
    uint32_t type = stat->mode & S_IFMT;
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK) {
        return -EACCES; /* devices, FIFOs and sockets of the host stay outside */
    }
    if ((int64_t)stat->size < 0 || (inode->mode != 0 && (inode->mode & S_IFMT) != type)) {
        return -EIO;
    }
    inode->mode = type | (stat->mode & PERMISSION_BITS);
    inode->uid = stat->uid;
    inode->gid = stat->gid;
    inode->links = stat->links > 0 ? stat->links : 1;
    inode->number = stat->inode;
    __atomic_store_n(&inode->size, stat->size, __ATOMIC_RELEASE);
    inode->atime = from_ns(stat->atime_ns);
    inode->mtime = from_ns(stat->mtime_ns);
    inode->ctime = from_ns(stat->ctime_ns);
    return 0;
}

static int64_t volume_refresh(struct inode *inode)
{
    struct host_stat stat;
    struct volume_inode *volume = volume_of(inode);
    int result = host_volume_stat(volume->path, volume->length, &stat);
    return result < 0 ? 0 : take_stat(inode, &stat); /* removed meanwhile: the last known state */
}

static int64_t create_inode(
    const struct file_system *file_system, const char *path, size_t length, struct inode **created)
{
    struct host_stat stat;
    int64_t result = host_volume_stat(path, length, &stat);
    if (result < 0) {
        return result;
    }
    struct volume_inode *volume = allocate(sizeof(struct volume_inode) + length + 1);
    if (volume == NULL) {
        return -ENOMEM;
    }
    volume->inode.operations = &operations;
    volume->inode.file_system = file_system;
    volume->inode.references = 1;
    volume->length = length;
    memcpy(volume->path, path, length);
    result = take_stat(&volume->inode, &stat);
    if (result < 0) {
        volume_unused(&volume->inode);
        return result;
    }
    *created = &volume->inode;
    return 0;
}

/* The host's path of a name in a directory, in a path buffer. */
static int64_t join(struct inode *directory, struct name name, char **path, size_t *length)
{
    const struct volume_inode *parent = volume_of(directory);
    *length = parent->length + 1 + name.length;
    if (*length >= PATH_BUFFER_SIZE) {
        return -ENAMETOOLONG;
    }
    *path = buffer_take(&path_buffers);
    if (*path == NULL) {
        return -ENOMEM;
    }
    memcpy(*path, parent->path, parent->length);
    (*path)[parent->length] = '/';
    memcpy(*path + parent->length + 1, name.bytes, name.length);
    (*path)[*length] = '\0';
    return 0;
}

static int64_t volume_lookup(struct inode *directory, struct name name, struct inode **found)
{
    char *path;
    size_t length;
    int64_t result = join(directory, name, &path, &length);
    if (result < 0) {
        return result;
    }
    result = create_inode(directory->file_system, path, length, found);
    buffer_give(&path_buffers, path);
    if (result == 0 && is_directory(*found)) {
        result = inode_place(*found, directory, name);
        if (result < 0) {
            inode_put(*found);
        }
    }
    return result;
}

struct host_record {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
} __attribute__((packed));

/* One block of linux_dirent64 records from the host. Every length is checked against the block. 1: the sink
 * is full. */
static int64_t give_records(
    const uint8_t *block, size_t size, uint64_t *index, uint64_t cookie, entry_sink *sink, void *context)
{
    for (size_t at = 0; at < size;) {
        struct host_record record;
        if (size - at < sizeof(record)) {
            return -EIO;
        }
        memcpy(&record, block + at, sizeof(record));
        if (record.length <= sizeof(record) || record.length > size - at) {
            return -EIO;
        }
        struct name name = {.bytes = (const char *)block + at + sizeof(record)};
        name.length = strnlen(name.bytes, record.length - sizeof(record));
        bool sound =
            name.length > 0 && name.length <= NAME_LENGTH_MAX && memchr(name.bytes, '/', name.length) == NULL;
        if (!sound) {
            return -EIO;
        }
        at += record.length;
        bool dot = name.bytes[0] == '.' && (name.length == 1 || (name.length == 2 && name.bytes[1] == '.'));
        if (dot || ++*index <= cookie) {
            continue;
        }
        if (!sink(context, name, record.inode, (uint32_t)record.type << 12, *index)) {
            return 1;
        }
    }
    return 0;
}

/* Cookies count entries: what the host says of offsets is not relied on. */
static int64_t volume_list(struct inode *directory, uint64_t cookie, entry_sink *sink, void *context)
{
    const struct volume_inode *volume = volume_of(directory);
    int fd = host_volume_open(volume->path, volume->length, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return fd;
    }
    uint8_t *block = buffer_take(&data_buffers);
    uint64_t index = 0;
    int64_t result = block == NULL ? -ENOMEM : 0;
    while (result == 0) {
        int64_t size = host_volume_list(fd, block, EXCHANGE_DATA_SIZE);
        if (size <= 0) {
            result = size;
            break;
        }
        result = give_records(block, (size_t)size, &index, cookie, sink, context);
    }
    buffer_give(&data_buffers, block);
    host_close(fd);
    return result < 0 ? result : 0;
}

static int64_t create_on_host(const char *path, size_t length, const struct creation *creation)
{
    switch (creation->mode & S_IFMT) {
    case S_IFREG: {
        int fd = host_volume_open(path, length, O_RDWR | O_CREAT | O_EXCL, creation->mode & PERMISSION_BITS);
        if (fd >= 0) {
            host_close(fd);
        }
        return fd < 0 ? fd : 0;
    }
    case S_IFDIR:
        return host_volume_mkdir(path, length, creation->mode & PERMISSION_BITS);
    case S_IFLNK:
        return host_volume_symlink(creation->target, strlen(creation->target), path, length);
    default:
        return -EPERM;
    }
}

static int64_t volume_create_inode(
    struct inode *directory, struct name name, const struct creation *creation, struct inode **created)
{
    char *path;
    size_t length;
    int64_t result = join(directory, name, &path, &length);
    if (result < 0) {
        return result;
    }
    result = create_on_host(path, length, creation);
    buffer_give(&path_buffers, path);
    return result < 0 ? result : volume_lookup(directory, name, created);
}

static int64_t volume_unlink(struct inode *directory, struct name name, struct inode *inode)
{
    const struct volume_inode *volume = volume_of(inode);
    (void)directory, (void)name;
    return host_volume_unlink(volume->path, volume->length, is_directory(inode) ? AT_REMOVEDIR : 0);
}

static int64_t volume_rename(
    struct inode *from, struct name from_name, struct inode *inode, struct inode *to, struct name to_name)
{
    const struct volume_inode *volume = volume_of(inode);
    char *path;
    size_t length;
    (void)from, (void)from_name;
    int64_t result = join(to, to_name, &path, &length);
    if (result < 0) {
        return result;
    }
    result = host_volume_rename(volume->path, volume->length, path, length);
    buffer_give(&path_buffers, path);
    return result;
}

static int64_t volume_read_link(struct inode *link, char *to, size_t size)
{
    const struct volume_inode *volume = volume_of(link);
    int64_t length = host_volume_readlink(volume->path, volume->length, to, size);
    return length > 0 && memchr(to, '\0', (size_t)length) != NULL ? -EIO : length;
}

static int64_t volume_change(struct inode *inode, const struct attributes *attributes)
{
    const struct volume_inode *volume = volume_of(inode);
    int64_t result = 0;
    if (attributes->which & (ATTRIBUTE_UID | ATTRIBUTE_GID)) {
        return -EPERM;
    }
    if (attributes->which & ATTRIBUTE_MODE) {
        result = host_volume_chmod(volume->path, volume->length, attributes->mode);
    }
    if (result == 0 && (attributes->which & (ATTRIBUTE_ATIME | ATTRIBUTE_MTIME))) {
        struct timespec atime = (attributes->which & ATTRIBUTE_ATIME) ? attributes->atime : inode->atime;
        struct timespec mtime = (attributes->which & ATTRIBUTE_MTIME) ? attributes->mtime : inode->mtime;
        result = host_volume_utime(volume->path, volume->length,
            atime.seconds * (int64_t)NS_PER_SECOND + atime.nanoseconds,
            mtime.seconds * (int64_t)NS_PER_SECOND + mtime.nanoseconds);
    }
    return result;
}

static int64_t volume_truncate(struct inode *inode, uint64_t size)
{
    const struct volume_inode *volume = volume_of(inode);
    int fd = host_volume_open(volume->path, volume->length, O_WRONLY, 0);
    if (fd < 0) {
        return fd;
    }
    int64_t result = volume_file_truncate(inode, fd, size);
    host_close(fd);
    return result < 0 ? result : volume_refresh(inode);
}

static int64_t volume_open(struct inode *inode, struct file *file)
{
    const struct volume_inode *volume = volume_of(inode);
    if (is_directory(inode)) {
        return 0;
    }
    if (!is_regular(inode)) {
        return -ENXIO;
    }
    int fd = host_volume_open(volume->path, volume->length, file->flags & HOST_OPEN_FLAGS, 0);
    int64_t result = fd < 0 ? fd : volume_file_open(file, fd);
    if (result < 0 && fd >= 0) {
        host_close(fd);
    }
    return result;
}

static const struct inode_operations operations = {
    .lookup = volume_lookup,
    .list = volume_list,
    .create = volume_create_inode,
    .unlink = volume_unlink,
    .rename = volume_rename,
    .read_link = volume_read_link,
    .open = volume_open,
    .refresh = volume_refresh,
    .change = volume_change,
    .truncate = volume_truncate,
    .unused = volume_unused,
};

int64_t volume_create(const char *path, uint32_t flags, struct inode **root)
{
    static uint32_t device = 0x40;
    struct file_system *file_system = allocate(sizeof(struct file_system));
    if (file_system == NULL) {
        return -ENOMEM;
    }
    *file_system = (struct file_system){
        .type = "virtiofs",
        .magic = 0x65735546, /* FUSE_SUPER_MAGIC */
        .device = device++,
        .read_only = (flags & VOLUME_READ_ONLY) != 0,
        .forbids_exec = (flags & VOLUME_EXECUTABLE) == 0,
    };
    int64_t result = create_inode(file_system, path, strlen(path), root);
    if (result < 0) {
        release(file_system, sizeof(struct file_system));
    }
    return result;
}
