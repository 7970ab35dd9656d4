#include "fs/volume.h"

#include "boundary/boundary.h"
#include "fs/buffer.h"
#include "fs/pipe.h"
#include "fs/volume_xattr.h"

#define AT_REMOVEDIR 0x200U
#define HOST_OPEN_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_DIRECTORY | O_SYNC | O_DSYNC)
#define UNCHANGED UINT32_MAX

static const struct inode_operations operations;

static void volume_unused(struct inode *inode)
{
    struct volume_inode *volume = volume_of(inode);
    volume_names_remove(volume);
    if (volume->pipe) {
        pipe_forget(volume->pipe);
    }
    host_descriptor_put(volume->descriptor);
    inode_place(inode, NULL, (struct name){0});
    release(volume, sizeof(*volume));
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
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK && !is_meeting_place(type)) {
        return -EACCES; /* devices of the host stay outside */
    }
    if ((int64_t)stat->size < 0 || (inode->mode != 0 && (inode->mode & S_IFMT) != type)) {
        return -EIO;
    }
    inode->mode = type | (stat->mode & PERMISSION_BITS);
    inode->uid = stat->uid;
    inode->gid = stat->gid;
    inode->links = stat->links;
    inode->number = stat->inode;
    volume_of(inode)->blocks = stat->blocks;
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
    int result = volume->descriptor ? host_stat(host_descriptor_fd(volume->descriptor), &stat)
                 : volume->length > 0 ? host_volume_stat(volume->path, volume->length, &stat)
                                      : -ENOENT;
    if (result < 0 && volume->length == 0) {
        inode->links = 0;
    }
    if (result == 0 && is_meeting_place(inode->mode) && (stat.inode != inode->number || (stat.mode ^ inode->mode) & S_IFMT)) {
        result = -ENOENT; /* somebody outside has put another file there */
    }
    return result < 0 ? 0 : take_stat(inode, &stat); /* removed meanwhile: the last known state */
}

/* is_new: it was made just now. */
static int64_t find_inode(
    const struct file_system *file_system, const char *path, size_t length, bool is_new, struct inode **found)
{
    struct host_stat stat;
    int64_t result = host_volume_stat(path, length, &stat);
    if (result < 0) {
        return result;
    }
    struct volume_inode *met = volume_names_meet(file_system, &stat, is_new);
    if (met) {
        *found = &met->inode;
        result = take_stat(*found, &stat);
        result = result == 0 ? volume_names_set(met, path, length) : result;
        if (result < 0) {
            inode_put(*found);
        }
        return result;
    }
    struct volume_inode *volume = allocate(sizeof(struct volume_inode));
    if (!volume) {
        return -ENOMEM;
    }
    volume->inode.operations = &operations;
    volume->inode.file_system = file_system;
    volume->inode.references = 1;
    result = take_stat(&volume->inode, &stat);
    if (result == 0) {
        result = volume_names_add(volume, path, length);
    }
    if (result < 0) {
        release(volume, sizeof(*volume));
        return result;
    }
    *found = &volume->inode;
    return 0;
}

/* The host's path of a name in a directory, in a path buffer. */
static int64_t join(struct inode *directory, struct name name, char **path, size_t *length)
{
    const struct volume_inode *parent = volume_of(directory);
    *length = parent->length + 1 + name.length;
    if (parent->length == 0) {
        return -ENOENT; /* it was removed */
    }
    if (*length >= PATH_BUFFER_SIZE) {
        return -ENAMETOOLONG;
    }
    *path = buffer_take(&path_buffers);
    if (!*path) {
        return -ENOMEM;
    }
    memcpy(*path, parent->path, parent->length);
    (*path)[parent->length] = '/';
    memcpy(*path + parent->length + 1, name.bytes, name.length);
    (*path)[*length] = '\0';
    return 0;
}

static int64_t find_name(struct inode *directory, struct name name, bool is_new, struct inode **found)
{
    char *path;
    size_t length;
    int64_t result = join(directory, name, &path, &length);
    if (result < 0) {
        return result;
    }
    result = find_inode(directory->file_system, path, length, is_new, found);
    buffer_give(&path_buffers, path);
    if (result == 0 && is_directory(*found)) {
        result = inode_place(*found, directory, name);
        if (result < 0) {
            inode_put(*found);
        }
    }
    return result;
}

static int64_t volume_lookup(struct inode *directory, struct name name, struct inode **found)
{
    return find_name(directory, name, false, found);
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
            name.length > 0 && name.length <= NAME_LENGTH_MAX && !memchr(name.bytes, '/', name.length);
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
    int64_t result = !block ? -ENOMEM : 0;
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
    uint32_t mode = creation->mode & PERMISSION_BITS & ~creation->mode_mask;
    switch (creation->mode & S_IFMT) {
    case S_IFREG: {
        int fd = host_volume_open(path, length, O_RDWR | O_CREAT | O_EXCL, mode);
        if (fd >= 0) {
            host_close(fd);
        }
        return fd < 0 ? fd : 0;
    }
    case S_IFDIR:
        return host_volume_mkdir(path, length, mode);
    case S_IFLNK:
        return host_volume_symlink(creation->target, strlen(creation->target), path, length);
    case S_IFIFO:
    case S_IFSOCK:
        return host_volume_mknod(path, length, (creation->mode & S_IFMT) | mode);
    default:
        return -EPERM;
    }
}

/* Who creates a file owns it. A host process that cannot give files away keeps it for itself. */
static int64_t give_to_creator(const struct inode *directory, struct inode *created)
{
    struct volume_inode *volume = volume_of(created);
    uint32_t uid = credentials()->user.file_system;
    uint32_t gid = (directory->mode & S_ISGID) ? directory->gid : credentials()->group.file_system;
    if (created->uid == uid && created->gid == gid) {
        return 0;
    }
    int result = host_volume_chown(volume->path, volume->length, uid, gid);
    return result < 0 ? 0 : volume_refresh(created);
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
    if (result == 0 && (result = find_name(directory, name, true, created)) == 0) {
        bool is_it = (((*created)->mode ^ creation->mode) & S_IFMT) == 0;
        result = is_it ? give_to_creator(directory, *created) : -EIO;
        if (result < 0) {
            inode_put(*created);
        }
    }
    return result;
}

static int64_t volume_link(struct inode *directory, struct name name, struct inode *inode)
{
    const struct volume_inode *volume = volume_of(inode);
    char *path;
    size_t length;
    if (volume->length == 0) {
        return -ENOENT; /* it may have other names, but nobody knows them */
    }
    int64_t result = join(directory, name, &path, &length);
    if (result == 0) {
        result = host_volume_link(volume->path, volume->length, path, length);
        buffer_give(&path_buffers, path);
    }
    return result;
}

static int64_t volume_unlink(struct inode *directory, struct name name, struct inode *inode)
{
    char *path;
    size_t length;
    int64_t result = join(directory, name, &path, &length);
    if (result < 0) {
        return result;
    }
    result = host_volume_unlink(path, length, is_directory(inode) ? AT_REMOVEDIR : 0);
    if (result == 0) {
        volume_names_forget(inode->file_system, path, length);
    }
    buffer_give(&path_buffers, path);
    return result;
}

static int64_t volume_rename(
    struct inode *from, struct name from_name, struct inode *inode, struct inode *to, struct name to_name)
{
    char *old_path, *new_path;
    size_t old_length, new_length;
    int64_t result = join(from, from_name, &old_path, &old_length);
    if (result < 0) {
        return result;
    }
    result = join(to, to_name, &new_path, &new_length);
    if (result == 0) {
        result = host_volume_rename(old_path, old_length, new_path, new_length);
        if (result == 0) {
            volume_names_forget(inode->file_system, new_path, new_length);
            volume_names_move(inode->file_system, old_path, old_length, to, to_name, new_path, new_length);
        }
        buffer_give(&path_buffers, new_path);
    }
    buffer_give(&path_buffers, old_path);
    return result;
}

static int64_t volume_read_link(struct inode *link, char *to, size_t size)
{
    const struct volume_inode *volume = volume_of(link);
    int64_t length = host_volume_readlink(volume->path, volume->length, to, size);
    return length > 0 && memchr(to, '\0', (size_t)length) ? -EIO : length;
}

static int64_t volume_change(struct inode *inode, const struct attributes *attributes)
{
    const struct volume_inode *volume = volume_of(inode);
    int64_t result = 0;
    if (volume->length == 0) {
        return -ENOENT;
    }
    if (attributes->which & (ATTRIBUTE_UID | ATTRIBUTE_GID)) {
        result = host_volume_chown(volume->path, volume->length,
            (attributes->which & ATTRIBUTE_UID) ? attributes->uid : UNCHANGED,
            (attributes->which & ATTRIBUTE_GID) ? attributes->gid : UNCHANGED);
    }
    if (result == 0 && (attributes->which & ATTRIBUTE_MODE)) {
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
    int64_t result;
    if (host_descriptor_writes(volume->descriptor)) {
        result = volume_file_truncate(inode, host_descriptor_fd(volume->descriptor), size);
    } else {
        int fd = volume->length == 0 ? -ENOENT : host_volume_open(volume->path, volume->length, O_WRONLY, 0);
        if (fd < 0) {
            return fd;
        }
        result = volume_file_truncate(inode, fd, size);
        host_close(fd);
    }
    return result < 0 ? result : volume_refresh(inode);
}

/* Whoever else has the file open, inside or outside, may have changed it. */
static uint64_t volume_size_now(struct inode *inode)
{
    const struct host_descriptor *descriptor = __atomic_load_n(&volume_of(inode)->descriptor, __ATOMIC_ACQUIRE);
    struct host_stat stat;
    bool is_known = descriptor && host_stat(host_descriptor_fd(descriptor), &stat) == 0 && (int64_t)stat.size >= 0;
    if (is_known) {
        __atomic_store_n(&inode->size, stat.size, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);
}

static uint64_t volume_block_count(struct inode *inode)
{
    return volume_of(inode)->blocks;
}

/* Names that were made and taken away in a directory are as safe as a file system of the host makes them. */
static int64_t sync_directory(struct file *file)
{
    const struct volume_inode *volume = volume_of(file->inode);
    namespace_lock();
    int fd = volume->length == 0 ? -ENOENT : host_volume_open(volume->path, volume->length, O_RDONLY | O_DIRECTORY, 0);
    namespace_unlock();
    if (fd < 0) {
        return fd == -ENOENT ? 0 : fd; /* it was removed */
    }
    int64_t result = host_sync(fd);
    host_close(fd);
    return result;
}

static const struct file_operations directory_operations = {.sync = sync_directory};

static int64_t volume_open(struct inode *inode, struct file *file)
{
    struct volume_inode *volume = volume_of(inode);
    if (is_directory(inode)) {
        file->operations = &directory_operations;
        return 0;
    }
    if ((inode->mode & S_IFMT) == S_IFIFO) {
        return pipe_open_fifo(&volume->pipe, file);
    }
    if (!is_regular(inode)) {
        return -ENXIO;
    }
    int fd = volume->length == 0 ? -ENOENT
                                 : host_volume_open(volume->path, volume->length, file->flags & HOST_OPEN_FLAGS, 0);
    int64_t result = fd < 0 ? fd : volume_file_open(file, fd);
    if (result < 0 && fd >= 0) {
        host_close(fd);
    }
    if (result == 0 && !volume->descriptor) {
        __atomic_store_n(&volume->descriptor, volume_file_descriptor(file), __ATOMIC_RELEASE);
    }
    return result;
}

static const struct inode_operations operations = {
    .lookup = volume_lookup,
    .list = volume_list,
    .create = volume_create_inode,
    .link = volume_link,
    .unlink = volume_unlink,
    .rename = volume_rename,
    .rename_replaces = true,
    .read_link = volume_read_link,
    .open = volume_open,
    .refresh = volume_refresh,
    .change = volume_change,
    .truncate = volume_truncate,
    .size_now = volume_size_now,
    .block_count = volume_block_count,
    .next_xattr = volume_next_xattr,
    .read_xattr = volume_read_xattr,
    .set_xattr = volume_set_xattr,
    .unused = volume_unused,
};

/* Of a file as well: a volume may be one. */
static int64_t sync_volume(struct inode *root)
{
    const struct volume_inode *volume = volume_of(root);
    namespace_lock();
    int fd = host_volume_open(volume->path, volume->length, O_RDONLY, 0);
    namespace_unlock();
    if (fd < 0) {
        return fd;
    }
    int64_t result = host_sync_all(fd);
    host_close(fd);
    return result;
}

int64_t volume_create(const char *path, uint32_t flags, struct inode **root)
{
    static uint32_t device = 0x40;
    struct file_system *file_system = allocate(sizeof(struct file_system));
    if (!file_system) {
        return -ENOMEM;
    }
    *file_system = (struct file_system){
        .type = "virtiofs",
        .magic = 0x65735546, /* FUSE_SUPER_MAGIC */
        .device = device++,
        .read_only = (flags & VOLUME_READ_ONLY) != 0,
        .forbids_exec = (flags & VOLUME_EXECUTABLE) == 0,
        .sync = sync_volume,
    };
    int64_t result = find_inode(file_system, path, strlen(path), false, root);
    if (result == 0 && is_meeting_place((*root)->mode)) {
        inode_put(*root);
        result = -EACCES; /* who is to be met there is outside: a socket of the host's */
    }
    if (result < 0) {
        release(file_system, sizeof(struct file_system));
    }
    return result;
}
