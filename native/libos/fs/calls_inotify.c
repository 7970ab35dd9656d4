#include "fs/call_support.h"
#include "fs/inotify.h"

#define INITIAL_FLAGS (O_CLOEXEC | O_NONBLOCK)
#define FLAGS_OF_ADD (IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)
/* ALL_INOTIFY_BITS of Linux: those that only come back are taken, too. */
#define KNOWN_BITS (IN_ALL_EVENTS | 0x2000U | IN_Q_OVERFLOW | IN_IGNORED | FLAGS_OF_ADD)

static int64_t create_call(uint32_t flags)
{
    struct file *file;
    if ((flags & ~INITIAL_FLAGS) != 0) {
        return -EINVAL;
    }
    int64_t result = inotify_create(flags & O_NONBLOCK, &file);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_inotify_init(const struct arguments *arguments)
{
    (void)arguments;
    return create_call(0);
}

int64_t sys_inotify_init1(const struct arguments *arguments)
{
    return create_call((uint32_t)arguments->at[0]);
}

static int64_t add_watch(struct file *file, user_address path, uint32_t mask)
{
    struct place place;
    int64_t result = at_begin(AT_FDCWD, path, (mask & IN_DONT_FOLLOW) ? 0 : WALK_FOLLOW, &place);
    if (result < 0) {
        return result;
    }
    if ((mask & IN_ONLYDIR) && !is_directory(place.inode)) {
        result = -ENOTDIR;
    } else if ((result = inode_access(place.inode, MAY_READ)) == 0) {
        result = inotify_add(file, place.inode, mask);
    }
    at_end(&place);
    return result;
}

int64_t sys_inotify_add_watch(const struct arguments *arguments)
{
    uint32_t mask = (uint32_t)arguments->at[2];
    if ((mask & ~KNOWN_BITS) != 0 || mask == 0) {
        return -EINVAL;
    }
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    bool is_possible = !((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)) && is_inotify(file);
    int64_t result = is_possible ? add_watch(file, arguments->at[1], mask) : -EINVAL;
    file_put(file);
    return result;
}

int64_t sys_inotify_rm_watch(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (!file) {
        return -EBADF;
    }
    int64_t result = is_inotify(file) ? inotify_remove(file, (int32_t)arguments->at[1]) : -EINVAL;
    file_put(file);
    return result;
}
