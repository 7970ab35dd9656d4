/* What may be executed: regular files with an execute bit, as the image was measured or on volumes that allow it. */
#include "fs/executable.h"

#include "fs/call_support.h"
#include "fs/tree.h"

/* With AT_EMPTY_PATH: the file behind the descriptor. O_PATH: nothing is read yet. */
static int64_t open_descriptor(int descriptor, struct file **file)
{
    struct file *base = file_of_descriptor(descriptor);
    if (!base) {
        return -EBADF;
    }
    namespace_lock();
    int64_t result = file_create(base->inode, O_PATH, file);
    namespace_unlock();
    file_put(base);
    return result;
}

static int64_t may_execute(const struct file *file)
{
    const struct inode *inode = file->inode;
    if (!is_regular(inode)) {
        return is_link(inode) ? -ELOOP : -EACCES;
    }
    namespace_lock(); /* a list that decides may be changed meanwhile */
    int64_t result = inode_access(inode, MAY_EXECUTE);
    namespace_unlock();
    if (result < 0 || inode->file_system->forbids_exec) {
        return -EACCES;
    }
    if (!tree_is_as_measured(inode)) {
        log_line(LOG_INFO, "execve: what was written inside cannot be executed, only what was measured");
        return -EACCES;
    }
    return 0;
}

/* A program may be executable and yet not readable; the LibOS reads it, not the application. */
static int64_t open_for_reading(struct file *file)
{
    struct inode *inode = file->inode;
    if (!inode->operations->open) {
        return -EACCES;
    }
    namespace_lock();
    file->flags = O_RDONLY;
    int64_t result = inode->operations->open(inode, file);
    namespace_unlock();
    return result;
}

int64_t open_executable(int descriptor, const char *path, uint32_t flags, struct file **file)
{
    bool is_empty = (flags & AT_EMPTY_PATH) && path[0] == '\0';
    int64_t result = is_empty
                         ? open_descriptor(descriptor, file)
                         : open_at(descriptor, path, O_PATH | ((flags & AT_SYMLINK_NOFOLLOW) ? O_NOFOLLOW : 0), 0, 0, file);
    if (result < 0) {
        return result;
    }
    result = may_execute(*file);
    result = result == 0 ? open_for_reading(*file) : result;
    if (result < 0) {
        file_put(*file);
        *file = NULL;
    }
    return result;
}
