#include "fs/open.h"

#include "fs/lease.h"
#include "fs/notify.h"
#include "fs/open_name.h"
#include "fs/seal.h"


int64_t start_of(int64_t descriptor, const char *path, struct inode **start)
{
    *start = NULL;
    if (path[0] == '/' || (int32_t)descriptor == AT_FDCWD) {
        return 0;
    }
    struct file *file = file_of_descriptor((int32_t)descriptor);
    if (!file) {
        return -EBADF;
    }
    *start = inode_get(file->inode);
    file_put(file);
    return 0;
}

int64_t may_create(const struct place *place)
{
    const struct inode *parent = place->parent;
    if (!parent->operations->create) {
        return parent->file_system->read_only ? -EROFS : -EACCES;
    }
    if (parent->links == 0) {
        return -ENOENT; /* the directory was removed */
    }
    return inode_access(parent, MAY_WRITE | MAY_EXECUTE);
}

static int64_t create_regular(struct place *place, uint32_t mode)
{
    int64_t result = may_create(place);
    if (result < 0) {
        return result;
    }
    struct creation creation = {.mode = S_IFREG | (mode & PERMISSION_BITS), .mode_mask = current_whereabouts()->mode_mask};
    return place->parent->operations->create(place->parent, place_name(place), &creation, &place->inode);
}

/* open(2) asks for these rights on a file that exists. */
static int64_t check_existing(const struct inode *inode, uint32_t flags)
{
    static const uint32_t wanted[4] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE};
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    if ((flags & O_CREAT) && (flags & O_EXCL)) {
        return -EEXIST;
    }
    if (is_link(inode) && (flags & O_PATH) == 0) {
        return -ELOOP;
    }
    if ((flags & O_DIRECTORY) && !is_directory(inode)) {
        return -ENOTDIR;
    }
    if (flags & O_PATH) {
        return 0;
    }
    if (is_directory(inode) && (writes || (flags & O_CREAT))) {
        return -EISDIR;
    }
    int64_t result = inode_access(inode, wanted[flags & O_ACCMODE] | ((flags & O_TRUNC) ? MAY_WRITE : 0));
    return result == 0 && (flags & O_NOATIME) && !is_owner(inode) ? -EPERM : result;
}

static int64_t remember_name(struct file *file, const struct place *place)
{
    if (place->opened) {
        file->name = open_name_get(place->opened);
    } else if (place->parent && !place->is_dot && !is_directory(file->inode)) {
        file->name = open_name_of(place->parent, place_name(place));
        return !file->name ? -ENOMEM : 0;
    }
    return 0;
}

/* O_TRUNC */
static int64_t empty(struct file *file)
{
    struct inode *inode = file->inode;
    if (!is_regular(inode) || !inode->operations->truncate) {
        return 0;
    }
    int64_t result = seals_check_size(inode, 0);
    if (result == 0) {
        result = inode->operations->truncate(inode, 0);
    }
    if (result == 0) {
        notify_file_changed(file, IN_MODIFY);
    }
    return result;
}

/* 1: there is a lease on it, and lease_await() waits for its end. */
static int64_t open_place(struct place *place, uint32_t flags, uint32_t mode, struct file **file)
{
    bool created = !place->inode;
    int64_t result = created ? create_regular(place, mode) : check_existing(place->inode, flags);
    if (result == 0 && !created && is_regular(place->inode) && (flags & O_PATH) == 0) {
        result = lease_break(place->inode, flags);
    }
    if (result != 0) {
        return result;
    }
    if (created) {
        notify_name(place->parent, place_name(place), IN_CREATE);
    }
    result = file_create(place->inode, flags, file);
    if (result < 0) {
        return result;
    }
    bool is_refused = (flags & O_DIRECT) && (flags & O_PATH) == 0 && !takes_direct(*file); /* do_dentry_open() of Linux */
    result = is_refused ? -EINVAL : remember_name(*file, place);
    if (result == 0 && (flags & O_PATH) == 0) {
        notify_opened(*file);
        result = (flags & O_TRUNC) && !created ? empty(*file) : 0;
    }
    if (result < 0) {
        file_put(*file);
    }
    return result;
}

/* O_TMPFILE: the path is that of the directory. */
static int64_t open_temporary(struct place *place, uint32_t flags, uint32_t mode, struct file **file)
{
    struct inode *directory = place->inode, *inode;
    if (!is_directory(directory)) {
        return -ENOTDIR;
    }
    int64_t result = inode_access(directory, MAY_WRITE | MAY_EXECUTE);
    if (result < 0) {
        return result;
    }
    if (!directory->operations->create_unnamed) {
        return -EOPNOTSUPP;
    }
    const struct creation creation = {
        .mode = S_IFREG | (mode & PERMISSION_BITS), .mode_mask = current_whereabouts()->mode_mask};
    result = directory->operations->create_unnamed(directory, &creation, &inode);
    if (result < 0) {
        return result;
    }
    inode->can_be_linked = (flags & O_EXCL) == 0;
    result = file_create(inode, flags, file);
    inode_put(inode);
    if (result == 0) {
        char text[24];
        size_t length = format_text(text, sizeof(text), "#%llu", (unsigned long long)inode->number);
        (*file)->name = open_name_of_unnamed(directory, (struct name){text, length});
        notify_opened(*file);
    }
    return result;
}

/* build_open_flags() of Linux: what does not go together. */
static int64_t check_flags(uint32_t flags)
{
    bool temporary = (flags & O_TMPFILE & ~O_DIRECTORY) != 0;
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (temporary && ((flags & O_DIRECTORY) == 0 || (flags & O_CREAT) || !writes)) {
        return -EINVAL;
    }
    return 0;
}

/* What O_PATH leaves of the other flags. */
#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int64_t open_at(int64_t descriptor, const char *path, uint32_t flags, uint32_t mode, uint32_t resolve, struct file **file)
{
    struct inode *start;
    struct place place;
    flags = (flags & O_PATH) ? flags & PATH_FLAGS : flags;
    bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
    int64_t result = check_flags(flags);
    if (result == 0) {
        result = start_of(descriptor, (resolve & WALK_IN_ROOT) ? "" : path, &start);
    }
    if (result < 0) {
        return result;
    }
    bool exclusive = (flags & O_CREAT) && (flags & O_EXCL);
    uint32_t walk = resolve | ((flags & O_NOFOLLOW) || exclusive ? 0 : WALK_FOLLOW);
    walk |= (flags & O_CREAT) ? WALK_MAY_MISS | WALK_CREATES : 0;
    do {
        struct inode *leased = NULL;
        namespace_lock();
        result = path_walk(start, path, walk, &place);
        if (result == 0) {
            result = temporary ? open_temporary(&place, flags, mode, file) : open_place(&place, flags, mode, file);
            leased = result > 0 ? inode_get(place.inode) : NULL;
            place_release(&place);
        }
        namespace_unlock();
        if (result > 0 && lease_await(leased, flags) < 0) {
            result = -EINTR;
        }
        inode_put(leased);
    } while (result > 0);
    inode_put(start);
    if (result == 0 && (*file)->operations->opened) {
        result = (*file)->operations->opened(*file);
        if (result < 0) {
            file_put(*file);
        }
    }
    return result;
}
