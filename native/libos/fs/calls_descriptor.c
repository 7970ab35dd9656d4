#include "fs/call_support.h"
#include "fs/seal.h"
#include "fs/tree.h"

static int64_t open_user(int64_t descriptor, user_address from, uint32_t flags, uint32_t mode)
{
    char *path;
    struct file *file;
    int64_t result = path_from_user(from, &path);
    if (result < 0) {
        return result;
    }
    result = open_at(descriptor, path, flags, mode, &file);
    buffer_give(&path_buffers, path);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_open(const struct arguments *arguments)
{
    return open_user(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], (uint32_t)arguments->at[2]);
}

int64_t sys_creat(const struct arguments *arguments)
{
    return open_user(AT_FDCWD, arguments->at[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)arguments->at[1]);
}

int64_t sys_openat(const struct arguments *arguments)
{
    return open_user(
        (int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], (uint32_t)arguments->at[3]);
}

int64_t sys_close(const struct arguments *arguments)
{
    return descriptor_close((int32_t)arguments->at[0]);
}

#define CLOSE_RANGE_UNSHARE 2U
#define CLOSE_RANGE_CLOEXEC 4U

int64_t sys_close_range(const struct arguments *arguments)
{
    uint32_t first = (uint32_t)arguments->at[0], last = (uint32_t)arguments->at[1];
    uint32_t flags = (uint32_t)arguments->at[2];
    if (first > last || (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0) {
        return -EINVAL;
    }
    if ((flags & CLOSE_RANGE_UNSHARE) && task_count() > 1) {
        return -EINVAL; /* threads share one table: none can have a copy of its own */
    }
    for (int64_t at = descriptor_next(first); at >= 0 && at <= last; at = descriptor_next(at + 1)) {
        if (flags & CLOSE_RANGE_CLOEXEC) {
            descriptor_set_flags(at, true);
        } else {
            descriptor_close(at);
        }
    }
    return 0;
}

int64_t sys_dup(const struct arguments *arguments)
{
    struct file *file = file_or_path_at(arguments, 0);
    return file == NULL ? -EBADF : install(file, false);
}

static int64_t duplicate_to(const struct arguments *arguments, bool close_on_exec)
{
    struct file *file = file_or_path_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = descriptor_set((int32_t)arguments->at[1], file, close_on_exec);
    if (result < 0) {
        file_put(file);
    }
    return result;
}

int64_t sys_dup2(const struct arguments *arguments)
{
    if ((int32_t)arguments->at[0] == (int32_t)arguments->at[1]) {
        return descriptor_flags((int32_t)arguments->at[0]) < 0 ? -EBADF : (int32_t)arguments->at[1];
    }
    return duplicate_to(arguments, false);
}

int64_t sys_dup3(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[2];
    if ((int32_t)arguments->at[0] == (int32_t)arguments->at[1] || (flags & ~O_CLOEXEC) != 0) {
        return -EINVAL;
    }
    return duplicate_to(arguments, (flags & O_CLOEXEC) != 0);
}

/* There are no huge pages (MFD_HUGETLB). */
enum memory_file_flag { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16, MFD_KNOWN = 0x1B };

#define MFD_NAME "/memfd:"
#define MFD_NAME_MAX 249U /* NAME_MAX without "memfd:" */

/* What /proc/self/fd shows. */
static int64_t name_memory_file(struct inode *inode, const char *name)
{
    size_t size = sizeof(MFD_NAME " (deleted)") + strlen(name);
    inode->name = allocate(size);
    if (inode->name == NULL) {
        return -ENOMEM;
    }
    inode->name_length = format_text(inode->name, size, MFD_NAME "%s (deleted)", name);
    return 0;
}

static int64_t create_memory_file(const char *name, uint32_t flags, struct file **file)
{
    struct inode *inode;
    bool no_exec = (flags & MFD_NOEXEC_SEAL) != 0;
    int64_t result = tree_create_file(&unnamed_file_system, no_exec ? 0666 : 0777, &inode);
    if (result < 0) {
        return result;
    }
    inode->seals = no_exec ? F_SEAL_EXEC : (flags & MFD_ALLOW_SEALING) ? 0 : F_SEAL_SEAL;
    result = name_memory_file(inode, name);
    if (result == 0) {
        namespace_lock();
        result = file_create(inode, O_RDWR | O_LARGEFILE, file);
        namespace_unlock();
    }
    inode_put(inode);
    return result;
}

int64_t sys_memfd_create(const struct arguments *arguments)
{
    struct file *file;
    char name[MFD_NAME_MAX + 1];
    uint32_t flags = (uint32_t)arguments->at[1];
    if ((flags & ~(uint32_t)MFD_KNOWN) != 0 || ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL))) {
        return -EINVAL;
    }
    int64_t result = strncpy_from_user(name, arguments->at[0], sizeof(name));
    if (result < 0) {
        return result == -ENAMETOOLONG ? -EINVAL : result;
    }
    result = create_memory_file(name, flags, &file);
    return result < 0 ? result : install(file, (flags & MFD_CLOEXEC) != 0);
}
