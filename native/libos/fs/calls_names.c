/* Calls that take names away or give files other names. */
#include "fs/call_support.h"
#include "fs/notify.h"

/* The rules of may_delete() in Linux: write and search in the directory; in a sticky one, the owner's files
 * only. */
static int64_t may_remove(const struct place *place)
{
    const struct inode *parent = place->parent;
    int64_t result = inode_access(parent, MAY_WRITE | MAY_EXECUTE);
    if (result < 0) {
        return result;
    }
    bool sticky = (parent->mode & S_ISVTX) != 0 && !is_owner(parent) && !is_owner(place->inode);
    if (sticky) {
        return -EPERM;
    }
    if (is_mount_point(parent, place_name(place))) {
        return -EBUSY;
    }
    return !parent->operations->unlink ? -EPERM : 0;
}

static bool is_last_name(const struct inode *inode)
{
    return is_directory(inode) || inode->links <= 1;
}

static int64_t remove_at(int64_t descriptor, user_address path, bool directory)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, WALK_NAME, &place);
    if (result < 0) {
        return result;
    }
    if (place.is_dot) {
        bool parent = place.name_length == 2;
        result = !directory                                ? -EISDIR
                 : !place.parent || place.name_length == 0 ? -EBUSY
                 : parent                                  ? -ENOTEMPTY
                                                           : -EINVAL;
    } else if (directory != is_directory(place.inode)) {
        result = directory ? -ENOTDIR : -EISDIR;
    } else if (place.wants_directory && !is_directory(place.inode)) {
        result = -ENOTDIR;
    } else if ((result = may_remove(&place)) == 0) {
        bool last = is_last_name(place.inode);
        result = place.parent->operations->unlink(place.parent, place_name(&place), place.inode);
        if (result == 0) {
            notify_removed(&place, last);
        }
    }
    at_end(&place);
    return result;
}

int64_t sys_unlink(const struct arguments *arguments)
{
    return remove_at(AT_FDCWD, arguments->at[0], false);
}

int64_t sys_rmdir(const struct arguments *arguments)
{
    return remove_at(AT_FDCWD, arguments->at[0], true);
}

int64_t sys_unlinkat(const struct arguments *arguments)
{
    uint64_t flags = (uint32_t)arguments->at[2];
    if ((flags & ~(uint64_t)AT_REMOVEDIR) != 0) {
        return -EINVAL;
    }
    return remove_at((int64_t)arguments->at[0], arguments->at[1], (flags & AT_REMOVEDIR) != 0);
}

/* Walks two paths under one lock. Both come from the application before the lock is taken. */
static int64_t walk_two(int64_t one_descriptor, user_address one_path, uint32_t one_flags, struct place *one,
    int64_t other_descriptor, user_address other_path, struct place *other)
{
    char *paths[2] = {NULL, NULL};
    struct inode *starts[2] = {NULL, NULL};
    int64_t result = path_from_user(one_path, &paths[0]);
    int64_t other_result = path_from_user(other_path, &paths[1]); /* told when the first one was found, as in Linux */
    if (result == 0) {
        result = *paths[0] == 0 && !(one_flags & WALK_EMPTY) ? -ENOENT : start_of(one_descriptor, paths[0], &starts[0]);
    }
    if (other_result == 0) {
        other_result = start_of(other_descriptor, paths[1], &starts[1]);
    }
    if (result == 0) {
        namespace_lock();
        result = path_walk(starts[0], paths[0], one_flags, one);
        if (result == 0) {
            result = other_result < 0 ? other_result : path_walk(starts[1], paths[1], WALK_MAY_MISS | WALK_NAME, other);
            if (result < 0) {
                place_release(one);
            }
        }
        if (result < 0) {
            namespace_unlock();
        }
    }
    for (uint32_t at = 0; at < 2; at++) {
        inode_put(starts[at]);
        buffer_give(&path_buffers, paths[at]);
    }
    return result;
}

static int64_t link_place(struct place *old, struct place *new)
{
    if (new->inode) {
        return -EEXIST;
    }
    if (new->wants_directory) {
        return -ENOENT;
    }
    if (old->inode->file_system != new->parent->file_system) {
        return -EXDEV;
    }
    int64_t result = may_create(new);
    if (result < 0) {
        return result;
    }
    if (is_directory(old->inode) || !new->parent->operations->link) {
        return -EPERM;
    }
    if (old->inode->links == 0 && !old->inode->can_be_linked) {
        return -ENOENT; /* its last name was removed */
    }
    old->inode->can_be_linked = false;
    result = new->parent->operations->link(new->parent, place_name(new), old->inode);
    if (result == 0) {
        notify_inode(old->inode, IN_ATTRIB); /* its number of links */
        notify_name(new->parent, place_name(new), IN_CREATE);
    }
    return result;
}

static int64_t link_at(int64_t old_descriptor, user_address old_path, int64_t new_descriptor,
    user_address new_path, uint32_t walk)
{
    struct place old, new;
    int64_t result = walk_two(old_descriptor, old_path, walk, &old, new_descriptor, new_path, &new);
    if (result == 0) {
        result = link_place(&old, &new);
        place_release(&old);
        at_end(&new);
    }
    return result;
}

int64_t sys_link(const struct arguments *arguments)
{
    return link_at(AT_FDCWD, arguments->at[0], AT_FDCWD, arguments->at[1], 0);
}

int64_t sys_linkat(const struct arguments *arguments)
{
    uint64_t flags = (uint32_t)arguments->at[4];
    if ((flags & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    uint32_t walk =
        ((flags & AT_SYMLINK_FOLLOW) ? WALK_FOLLOW : 0) | ((flags & AT_EMPTY_PATH) ? WALK_EMPTY : 0);
    return link_at(
        (int64_t)arguments->at[0], arguments->at[1], (int64_t)arguments->at[2], arguments->at[3], walk);
}

enum rename_flag { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2 };

static bool is_below(const struct inode *directory, const struct inode *above)
{
    for (const struct inode *step = directory; step; step = step->parent) {
        if (step == above) {
            return true;
        }
    }
    return false;
}

/* may_delete() of both, without regard to what the other one is. */
static int64_t exchange_places(struct place *old, struct place *new)
{
    int64_t result = may_remove(old);
    if (result == 0) {
        result = may_remove(new);
    }
    if (result < 0 || new->inode == old->inode) {
        return result;
    }
    if (!old->parent->operations->exchange) {
        return -EINVAL;
    }
    result = old->parent->operations->exchange(
        old->parent, place_name(old), old->inode, new->parent, place_name(new), new->inode);
    if (result == 0) {
        notify_exchanged(old, new);
    }
    return result;
}

static bool is_same_file(const struct inode *one, const struct inode *other)
{
    return one == other || (one->file_system == other->file_system && one->number == other->number);
}

/* May the new name be taken away for the renamed one? */
static int64_t may_replace(const struct place *old, const struct place *new)
{
    if (is_directory(old->inode) && !is_directory(new->inode)) {
        return -ENOTDIR;
    }
    if (!is_directory(old->inode) && is_directory(new->inode)) {
        return -EISDIR;
    }
    return may_remove(new);
}

static int64_t rename_place(struct place *old, struct place *new, uint32_t flags)
{
    if (old->is_dot || new->is_dot || !old->parent) {
        return !old->is_dot && (flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
    }
    if (old->parent->file_system != new->parent->file_system) {
        return -EXDEV;
    }
    if (!old->inode) {
        return -ENOENT; /* only now: both directories come first */
    }
    if (old->inode->file_system != old->parent->file_system) {
        return -EXDEV;
    }
    if (new->inode && (flags & RENAME_NOREPLACE)) {
        return -EEXIST;
    }
    if (!new->inode && (flags & RENAME_EXCHANGE)) {
        return -ENOENT;
    }
    if ((flags & RENAME_EXCHANGE) && new->wants_directory && !is_directory(new->inode)) {
        return -ENOTDIR;
    }
    if (!is_directory(old->inode) &&
        (old->wants_directory || (new->wants_directory && !(flags & RENAME_EXCHANGE)))) {
        return -ENOTDIR;
    }
    if (is_directory(old->inode) && is_below(new->parent, old->inode)) {
        return -EINVAL;
    }
    if (new->inode && is_directory(new->inode) && is_below(old->parent, new->inode)) {
        return (flags & RENAME_EXCHANGE) ? -EINVAL : -ENOTEMPTY;
    }
    if (flags & RENAME_EXCHANGE) {
        return exchange_places(old, new);
    }
    int64_t result = may_remove(old);
    if (result == 0) {
        result = new->inode ? may_replace(old, new) : may_create(new);
    }
    if (result < 0 || (new->inode && is_same_file(old->inode, new->inode))) {
        return result; /* two names of one file: rename(2) does nothing */
    }
    if (!old->parent->operations->rename) {
        return -EPERM;
    }
    bool last = new->inode && is_last_name(new->inode);
    if (new->inode && !old->parent->operations->rename_replaces) {
        result = new->parent->operations->unlink(new->parent, place_name(new), new->inode);
        if (result < 0) {
            return result;
        }
    }
    result = old->parent->operations->rename(
        old->parent, place_name(old), old->inode, new->parent, place_name(new));
    if (result == 0) {
        notify_moved(old, new, new->inode, last);
    }
    return result;
}

static int64_t rename_at(int64_t old_descriptor, user_address old_path, int64_t new_descriptor,
    user_address new_path, uint32_t flags)
{
    struct place old, new;
    if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE) {
        return -EINVAL;
    }
    int64_t result = walk_two(old_descriptor, old_path, WALK_MAY_MISS | WALK_NAME, &old, new_descriptor, new_path, &new);
    if (result == 0) {
        result = rename_place(&old, &new, flags);
        place_release(&old);
        at_end(&new);
    }
    return result;
}

int64_t sys_rename(const struct arguments *arguments)
{
    return rename_at(AT_FDCWD, arguments->at[0], AT_FDCWD, arguments->at[1], 0);
}

int64_t sys_renameat(const struct arguments *arguments)
{
    return rename_at(
        (int64_t)arguments->at[0], arguments->at[1], (int64_t)arguments->at[2], arguments->at[3], 0);
}

int64_t sys_renameat2(const struct arguments *arguments)
{
    return rename_at((int64_t)arguments->at[0], arguments->at[1], (int64_t)arguments->at[2], arguments->at[3],
        (uint32_t)arguments->at[4]);
}
