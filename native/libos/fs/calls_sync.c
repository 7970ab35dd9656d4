/* What is to be safe on volumes: fsync(2), sync(2) and their kin. What lies in enclave memory ends with it. */
#include "fs/call_support.h"

int64_t sys_fsync(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    bool holds_data = (is_regular(file->inode) || is_directory(file->inode)) && !file->inode->file_system->has_no_blocks;
    int64_t result = holds_data ? 0 : -EINVAL;
    if (result == 0 && file->operations->sync) {
        result = file->operations->sync(file);
    }
    return on_file(file, result);
}

int64_t sys_fdatasync(const struct arguments *arguments)
{
    return sys_fsync(arguments);
}

/* What is mounted of this file system, or of all; mappings are written back before. 0 or the first error. */
static int64_t sync_mounts(const struct file_system *file_system)
{
    int64_t result = 0;
    struct inode *root;
    memory_write_back();
    for (size_t at = 0; (root = mount_at(at)); at++) {
        bool is_meant = !file_system || root->file_system == file_system;
        int64_t error = is_meant && root->file_system->sync ? root->file_system->sync(root) : 0;
        result = result ? result : error;
    }
    return result;
}

int64_t sys_sync(const struct arguments *arguments)
{
    (void)arguments;
    sync_mounts(NULL);
    return 0;
}

int64_t sys_syncfs(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    return !file ? -EBADF : on_file(file, sync_mounts(file->inode->file_system));
}

#define SYNC_FILE_RANGE_ALL 7U

int64_t sys_sync_file_range(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    int64_t offset = (int64_t)arguments->at[1], length = (int64_t)arguments->at[2], end;
    if (!file) {
        return -EBADF;
    }
    int64_t result = 0;
    if ((arguments->at[3] & ~(uint64_t)SYNC_FILE_RANGE_ALL) != 0 || offset < 0 || length < 0 ||
        __builtin_add_overflow(offset, length, &end)) {
        result = -EINVAL;
    } else if (!is_regular(file->inode) && !is_directory(file->inode) && !is_link(file->inode)) {
        result = -ESPIPE;
    } else if (arguments->at[3] != 0 && file->operations->sync) {
        result = file->operations->sync(file);
    }
    return on_file(file, result);
}
