/* Calls that make names, and readlink. */
#include "fs/call_support.h"
#include "fs/notify.h"

static bool is_empty_string(user_address text)
{
    char first = 0;
    return copy_from_user(&first, text, 1) == 0 && first == 0;
}

static int64_t read_link(int64_t descriptor, user_address path, user_address to, uint64_t size)
{
    struct place place;
    if ((int64_t)size <= 0) {
        return -EINVAL;
    }
    int64_t result = at_begin(descriptor, path, WALK_EMPTY, &place);
    if (result < 0) {
        return result;
    }
    char *target = buffer_take(&path_buffers);
    if (!target) {
        result = -ENOMEM;
    } else if (!is_link(place.inode)) {
        result = is_empty_string(path) ? -ENOENT : -EINVAL; /* do_readlinkat() of Linux */
    } else {
        result = place.inode->operations->read_link(place.inode, target, PATH_BUFFER_SIZE);
    }
    at_end(&place);
    if (result > 0) {
        result = (uint64_t)result < size ? result : (int64_t)size;
        if (copy_to_user(to, target, (size_t)result) < 0) {
            result = -EFAULT;
        }
    }
    buffer_give(&path_buffers, target);
    return result;
}

int64_t sys_readlink(const struct arguments *arguments)
{
    return read_link(AT_FDCWD, arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2]);
}

int64_t sys_readlinkat(const struct arguments *arguments)
{
    return read_link(
        (int64_t)arguments->at[0], arguments->at[1], arguments->at[2], (uint32_t)arguments->at[3]);
}

/* Everybody may make the one of number 0, which opens nothing (a whiteout). */
static bool is_device(const struct creation *creation)
{
    uint32_t type = creation->mode & S_IFMT;
    return type == S_IFBLK || (type == S_IFCHR && creation->rdev != 0);
}

static int64_t create_in(struct place *place, const struct creation *creation)
{
    if (place->inode) {
        return -EEXIST;
    }
    if (place->wants_directory && (creation->mode & S_IFMT) != S_IFDIR) {
        return -ENOENT;
    }
    int64_t result = may_create(place);
    if (result == 0 && is_device(creation) && !is_capable(CAP_MKNOD)) {
        return -EPERM;
    }
    if (result == 0) {
        result = place->parent->operations->create(place->parent, place_name(place), creation, &place->inode);
    }
    if (result == 0) {
        notify_name(place->parent, place_name(place), IN_CREATE | (is_directory(place->inode) ? IN_ISDIR : 0));
    }
    return result;
}

/* Makes a directory, node or symbolic link. */
static int64_t create_at(int64_t descriptor, user_address path, const struct creation *creation)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, WALK_MAY_MISS | WALK_NAME, &place);
    if (result < 0) {
        return result;
    }
    result = create_in(&place, creation);
    at_end(&place);
    return result;
}

int64_t node_make(const char *path, const struct creation *creation, struct inode **made)
{
    struct place place;
    namespace_lock();
    int64_t result = path_walk(NULL, path, WALK_MAY_MISS, &place);
    if (result == 0) {
        result = create_in(&place, creation);
        *made = result == 0 ? inode_get(place.inode) : NULL;
        place_release(&place);
    }
    namespace_unlock();
    return result;
}

static int64_t make_directory(int64_t descriptor, user_address path, uint64_t mode)
{
    struct creation creation = {
        .mode = S_IFDIR | ((uint32_t)mode & (S_ISVTX | 0777)), .mode_mask = current_whereabouts()->mode_mask};
    return create_at(descriptor, path, &creation);
}

int64_t sys_mkdir(const struct arguments *arguments)
{
    return make_directory(AT_FDCWD, arguments->at[0], arguments->at[1]);
}

int64_t sys_mkdirat(const struct arguments *arguments)
{
    return make_directory((int64_t)arguments->at[0], arguments->at[1], arguments->at[2]);
}

static int64_t make_node(int64_t descriptor, user_address path, uint32_t mode, uint32_t rdev)
{
    struct creation creation = {
        .mode = mode & (S_IFMT | PERMISSION_BITS), .mode_mask = current_whereabouts()->mode_mask};
    switch (mode & S_IFMT) {
    case 0:
        creation.mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFCHR: /* opens what is below /dev under this number, or nothing */
    case S_IFBLK:
        creation.rdev = rdev;
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return create_at(descriptor, path, &creation);
}

int64_t sys_mknod(const struct arguments *arguments)
{
    return make_node(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], (uint32_t)arguments->at[2]);
}

int64_t sys_mknodat(const struct arguments *arguments)
{
    return make_node(
        (int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], (uint32_t)arguments->at[3]);
}

static int64_t make_link(user_address from, int64_t descriptor, user_address path)
{
    char *target;
    int64_t result = path_from_user(from, &target);
    if (result < 0) {
        return result;
    }
    struct creation creation = {.mode = S_IFLNK | 0777, .target = target};
    result = target[0] == '\0' ? -ENOENT : create_at(descriptor, path, &creation);
    buffer_give(&path_buffers, target);
    return result;
}

int64_t sys_symlink(const struct arguments *arguments)
{
    return make_link(arguments->at[0], AT_FDCWD, arguments->at[1]);
}

int64_t sys_symlinkat(const struct arguments *arguments)
{
    return make_link(arguments->at[0], (int64_t)arguments->at[1], arguments->at[2]);
}
