#include "fs/call_support.h"
#include "fs/process_files.h"
#include "fs/seal.h"
#include "fs/tree.h"

static int64_t open_user(int64_t descriptor, user_address from, uint32_t flags, uint32_t mode, uint32_t resolve)
{
    char *path;
    struct file *file = NULL;
    struct descriptor_slot slot; /* nothing is created or cut that nobody can have open */
    if ((flags & O_CREAT) && (flags & O_DIRECTORY) && !(flags & O_PATH)) {
        return -EINVAL; /* build_open_flags() of Linux, before the name is taken in */
    }
    int64_t result = path_from_user(from, &path);
    if (result < 0) {
        return result;
    }
    result = *path == 0 ? -ENOENT : descriptor_reserve(&slot, (flags & O_CLOEXEC) != 0);
    if (result == 0) {
        result = open_at(descriptor, path, flags, mode, resolve, &file);
        result = descriptor_fill(&slot, result, file);
    }
    buffer_give(&path_buffers, path);
    return result;
}

int64_t sys_open(const struct arguments *arguments)
{
    return open_user(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], (uint32_t)arguments->at[2], 0);
}

int64_t sys_creat(const struct arguments *arguments)
{
    return open_user(AT_FDCWD, arguments->at[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)arguments->at[1], 0);
}

int64_t sys_openat(const struct arguments *arguments)
{
    return open_user(
        (int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], (uint32_t)arguments->at[3], 0);
}

/* openat2(2): struct open_how. */
struct open_how {
    uint64_t flags, mode, resolve;
};
#define KNOWN_FLAGS                                                                                              \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC | O_DIRECT |    \
     O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE)
#define TEMPORARY (O_TMPFILE & ~O_DIRECTORY)
#define RESOLVE_CACHED 0x20U

static const uint32_t resolve_flags[] = {
    WALK_NO_MOUNTS, WALK_NO_MAGIC_LINKS, WALK_NO_LINKS, WALK_BENEATH, WALK_IN_ROOT, 0 /* RESOLVE_CACHED */,
};

/* Bytes of later versions of the structure must be 0: copy_struct_from_user() of Linux. */
static int64_t how_from_user(struct open_how *how, user_address from, uint64_t size)
{
    if (size < sizeof(*how)) {
        return -EINVAL;
    }
    if (size > PAGE_SIZE) {
        return -E2BIG;
    }
    for (uint64_t at = sizeof(*how); at < size; at++) {
        uint8_t byte;
        if (copy_from_user(&byte, from + at, 1) < 0) {
            return -EFAULT;
        }
        if (byte != 0) {
            return -E2BIG;
        }
    }
    return copy_from_user(how, from, sizeof(*how));
}

/* build_open_flags() of Linux, in its order. */
static int64_t check_how(const struct open_how *how)
{
    uint64_t flags = how->flags;
    bool creates = (flags & (O_CREAT | TEMPORARY)) != 0;
    if ((flags & ~(uint64_t)KNOWN_FLAGS) || how->resolve >> ARRAY_LENGTH(resolve_flags) != 0) {
        return -EINVAL;
    }
    if ((how->resolve & (1U << 3)) && (how->resolve & (1U << 4))) { /* beneath, or in root */
        return -EINVAL;
    }
    if (how->mode & ~(creates ? (uint64_t)PERMISSION_BITS : 0)) {
        return -EINVAL;
    }
    if ((flags & O_PATH) && (flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))) {
        return -EINVAL;
    }
    if ((flags & TEMPORARY) && ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_CREAT) || (flags & O_ACCMODE) == O_RDONLY)) {
        return -EINVAL;
    }
    return (how->resolve & RESOLVE_CACHED) && (creates || (flags & O_TRUNC)) ? -EAGAIN : 0;
}

/* What is there is found at once, or by an OCALL that takes its time: RESOLVE_CACHED refuses only what would change something. */
int64_t sys_openat2(const struct arguments *arguments)
{
    struct open_how how;
    uint32_t resolve = 0;
    int64_t result = how_from_user(&how, arguments->at[2], arguments->at[3]);
    if (result < 0 || (result = check_how(&how)) < 0) {
        return result;
    }
    for (size_t at = 0; at < ARRAY_LENGTH(resolve_flags); at++) {
        resolve |= (how.resolve >> at & 1) ? resolve_flags[at] : 0;
    }
    return open_user((int64_t)arguments->at[0], arguments->at[1], (uint32_t)how.flags, (uint32_t)how.mode, resolve);
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
    int64_t error = (flags & CLOSE_RANGE_UNSHARE) ? files_unshare(true, false) : 0;
    if (error < 0) {
        return error;
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
    return !file ? -EBADF : install(file, false);
}

static int64_t duplicate_to(const struct arguments *arguments, bool close_on_exec)
{
    struct file *file = file_or_path_at(arguments, 0);
    if (!file) {
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
    if (!inode->name) {
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
        if (result == 0) {
            (*file)->is_made_open = true;
        }
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
