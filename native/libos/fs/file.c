#include "fs/file.h"

#include "fs/dnotify.h"
#include "fs/epoll.h"
#include "fs/file_lock.h"
#include "fs/lease.h"
#include "fs/notify.h"
#include "fs/open_name.h"
#include "fs/owner.h"
#include "fs/path.h"
#include "fs/seal.h"
#include "process/process.h"

static const struct file_operations directory_operations = {0};
static const struct file_operations path_operations = {0}; /* O_PATH: nothing but the inode */

static struct file *allocate_file(struct inode *inode, uint32_t flags)
{
    struct file *file = allocate(sizeof(struct file));
    if (file) {
        file->inode = inode_get(inode);
        if (is_directory(inode)) {
            inode_pin(inode);
        }
        file->flags = flags & ~(O_CREAT | O_EXCL | O_CLOEXEC);
        file->references = 1;
    }
    return file;
}

static void free_file(struct file *file)
{
    bool was_last = open_name_put(file->name);
    if (is_directory(file->inode)) {
        inode_unpin(file->inode);
    } else if (was_last && __atomic_load_n(&file->inode->links, __ATOMIC_RELAXED) == 0) {
        notify_end(file->inode);
    }
    inode_put(file->inode);
    release(file, sizeof(struct file));
}

/* i_readcount and i_writecount of Linux. */
static void count_open(const struct file *file, int32_t by)
{
    if ((file->flags & O_PATH) == 0) {
        uint32_t *count = is_writable(file) ? &file->inode->open_to_write : &file->inode->open_to_read;
        __atomic_fetch_add(count, (uint32_t)by, __ATOMIC_SEQ_CST);
    }
}

int64_t file_create(struct inode *inode, uint32_t flags, struct file **created)
{
    struct file *file = allocate_file(inode, flags);
    if (!file) {
        return -ENOMEM;
    }
    file->operations = (flags & O_PATH) ? &path_operations : &directory_operations;
    int64_t result = 0;
    if ((flags & O_PATH) == 0) {
        result = inode->operations->open ? inode->operations->open(inode, file) : -ENXIO;
    }
    if (result < 0) {
        free_file(file);
        return result;
    }
    file->flags &= ~(O_TRUNC | O_NOCTTY);
    count_open(file, 1);
    *created = file;
    return 0;
}

static const struct file_system anonymous_file_system = {
    .type = "anon_inodefs", .magic = 0x09041934, .device = 0x0E};

int64_t inode_begin_anonymous(struct inode *inode, const char *kind, uint32_t mode)
{
    inode->file_system = &anonymous_file_system;
    inode->references = 1;
    inode->mode = mode;
    inode->uid = credentials()->user.file_system;
    inode->gid = credentials()->group.file_system;
    inode->links = 1;
    inode->number = new_inode_number();
    inode->atime = inode->mtime = inode->ctime = time_now();
    char text[64];
    bool is_numbered = (mode & S_IFMT) != 0; /* pipefs and sockfs; all of anon_inode is one inode in Linux */
    size_t length = is_numbered ? format_text(text, sizeof(text), "%s:[%llu]", kind, (unsigned long long)inode->number)
                                : format_text(text, sizeof(text), "%s", kind);
    inode->name = allocate(length + 1);
    if (!inode->name) {
        return -ENOMEM;
    }
    memcpy(inode->name, text, length);
    inode->name_length = length;
    return 0;
}

void inode_end_anonymous(struct inode *inode)
{
    if (inode->name) {
        release(inode->name, inode->name_length + 1);
    }
}

static void anonymous_unused(struct inode *inode)
{
    inode_end_anonymous(inode);
    release(inode, sizeof(struct inode));
}

int64_t inode_change_anonymous(struct inode *inode, const struct attributes *attributes)
{
    uint32_t type = inode->mode & S_IFMT;
    if (type != S_IFIFO && type != S_IFSOCK) {
        return -EOPNOTSUPP;
    }
    inode_take_attributes(inode, attributes);
    return 0;
}

static const struct inode_operations anonymous_operations = {.change = inode_change_anonymous, .unused = anonymous_unused};

int64_t file_create_anonymous(const struct file_operations *operations, const char *kind, uint32_t mode,
    uint32_t flags, void *state, struct file **created)
{
    struct inode *inode = allocate(sizeof(struct inode));
    if (!inode) {
        return -ENOMEM;
    }
    inode->operations = &anonymous_operations;
    int64_t result = inode_begin_anonymous(inode, kind, mode);
    struct file *file = result == 0 ? allocate_file(inode, flags) : NULL;
    inode_put(inode);
    if (!file) {
        return -ENOMEM;
    }
    file->operations = operations;
    file->state = state;
    *created = file;
    return 0;
}

void file_get(struct file *file)
{
    __atomic_fetch_add(&file->references, 1, __ATOMIC_RELAXED);
}

void file_put(struct file *file)
{
    if (!file || __atomic_sub_fetch(&file->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    if (__atomic_load_n(&file->items, __ATOMIC_ACQUIRE)) {
        epoll_forget(file);
    }
    if (file->announced) {
        notify_file(file, is_writable(file) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    }
    file_unlock_description(file);
    lease_forget(file);
    dnotify_forget(file);
    if (file->flags & O_ASYNC) {
        owner_forget(file);
    }
    if (file->operations->release) {
        file->operations->release(file);
    }
    count_open(file, -1);
    free_file(file);
}

void file_describe(struct file *file, struct file_facts *facts)
{
    struct inode *inode = file->inode;
    *facts = (struct file_facts){
        .device = inode->file_system->device,
        .inode = inode->number,
        .size = size_now_of(inode),
        .mode = inode->mode,
        .uid = inode->uid,
        .gid = inode->gid,
        .has_last_offset = is_regular(inode) || (inode->mode & S_IFMT) == S_IFSOCK,
        .zeros = (inode->mode & S_IFMT) == S_IFCHR && inode->rdev == ((1U << 8) | 5U),
        .forbids_exec = inode->file_system->forbids_exec,
    };
}

#define DELETED " (deleted)"

/* Of a directory or of a name in one. */
static int64_t path_of_place(struct inode *directory, struct name name, bool removed, char *buffer, size_t size)
{
    size_t start = 0;
    int64_t result = path_of_removed(directory, name, buffer, size, &start);
    if (result <= 0) {
        return result;
    }
    memmove(buffer, buffer + start, (size_t)result + 1);
    if (!removed) {
        return result;
    }
    if ((size_t)result + sizeof(DELETED) > size) {
        return -ENAMETOOLONG;
    }
    memcpy(buffer + result, DELETED, sizeof(DELETED));
    return result + (int64_t)sizeof(DELETED) - 1;
}

static int64_t path_of_open_name(const struct open_name *open_name, char *buffer, size_t size)
{
    struct location location;
    location_of_name(open_name, &location);
    struct name name = {.bytes = location.name, .length = location.length};
    int64_t result = path_of_place(location.parent, name, location.removed, buffer, size);
    location_release(&location);
    return result;
}

int64_t file_path_locked(struct file *file, char *buffer, size_t size)
{
    const struct inode *inode = file->inode;
    if (is_directory(inode)) {
        return path_of_place(file->inode, (struct name){0}, inode->links == 0, buffer, size);
    }
    if (file->name) {
        return path_of_open_name(file->name, buffer, size);
    }
    if (inode->name_length + 1 > size) {
        return -ENAMETOOLONG;
    }
    memcpy(buffer, inode->name, inode->name_length);
    buffer[inode->name_length] = '\0';
    return (int64_t)inode->name_length;
}

int64_t file_path(struct file *file, char *buffer, size_t size)
{
    namespace_lock();
    int64_t result = file_path_locked(file, buffer, size);
    namespace_unlock();
    return result;
}

enum { PROT_WRITE_BIT = 2, PROT_EXEC_BIT = 4, MAP_SHARED_BIT = 1 };

int64_t file_check_mapping(struct file *file, int protection, int flags)
{
    if (file->flags & O_PATH) {
        return -EBADF;
    }
    if (!is_readable(file) ||
        ((flags & MAP_SHARED_BIT) && (protection & PROT_WRITE_BIT) && !is_writable(file))) {
        return -EACCES;
    }
    if ((flags & MAP_SHARED_BIT) && (protection & PROT_WRITE_BIT) &&
        is_sealed(file->inode, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
        return -EPERM;
    }
    struct file_facts facts;
    file_describe(file, &facts);
    if (!has_pages(file) && !facts.zeros) {
        return -ENODEV;
    }
    return (protection & PROT_EXEC_BIT) && facts.forbids_exec ? -EPERM : 0;
}

int64_t file_object_of(struct file *file, struct shared_object **object)
{
    return file->operations->object_of ? file->operations->object_of(file, object) : -ENODEV;
}
