#include "fs/call_support.h"

/* Entries go to a buffer of the LibOS first: the namespace lock is held while a directory is read. */
struct entry_buffer {
    uint8_t *bytes;
    size_t size;
    size_t used;
    uint64_t base;   /* added to cookies: `.` and `..` come first */
    uint64_t cookie; /* of the last entry that fitted */
    bool old_format; /* getdents: d_type stands in the last byte */
    bool full;
};

struct dirent_header {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
} __attribute__((packed));

static bool put_entry(void *context, struct name name, uint64_t number, uint32_t mode, uint64_t cookie)
{
    struct entry_buffer *buffer = context;
    size_t name_at = sizeof(struct dirent_header) + (buffer->old_format ? 0 : 1);
    size_t length = (name_at + name.length + 1 + (buffer->old_format ? 1 : 0) + 7) & ~(size_t)7;
    if (length > buffer->size - buffer->used) {
        buffer->full = true;
        return false;
    }
    uint8_t *entry = buffer->bytes + buffer->used;
    struct dirent_header header = {
        .inode = number, .offset = (int64_t)(cookie + buffer->base), .length = (uint16_t)length};
    memset(entry, 0, length);
    memcpy(entry, &header, sizeof(header));
    memcpy(entry + name_at, name.bytes, name.length);
    /* DT_* are the types of st_mode */
    entry[buffer->old_format ? length - 1 : sizeof(header)] = (uint8_t)(mode >> 12);
    buffer->used += length;
    buffer->cookie = cookie + buffer->base;
    return true;
}

#define DOT_COUNT 2U

static int64_t list_directory(struct inode *directory, uint64_t position, struct entry_buffer *buffer)
{
    static const struct name dots[DOT_COUNT] = {{".", 1}, {"..", 2}};
    struct inode *parent = directory->parent != NULL ? directory->parent : directory;
    const uint64_t numbers[DOT_COUNT] = {directory->number, parent->number};
    for (; position < DOT_COUNT; position++) {
        if (!put_entry(buffer, dots[position], numbers[position], S_IFDIR, position + 1)) {
            return 0;
        }
    }
    buffer->base = DOT_COUNT;
    if (directory->links == 0 || directory->operations->list == NULL) {
        return 0;
    }
    return directory->operations->list(directory, position - DOT_COUNT, put_entry, buffer);
}

static int64_t list_file(struct file *file, user_address to, uint64_t size, bool old_format)
{
    struct entry_buffer buffer = {
        .size = size < PATH_BUFFER_SIZE * 8 ? (size_t)size : PATH_BUFFER_SIZE * 8, .old_format = old_format};
    buffer.bytes = buffer_take(&data_buffers);
    if (buffer.bytes == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&file->position_lock);
    buffer.cookie = file->position;
    namespace_lock();
    int64_t result = list_directory(file->inode, file->position, &buffer);
    namespace_unlock();
    if (result == 0) {
        result = buffer.used == 0 && buffer.full ? -EINVAL : (int64_t)buffer.used;
    }
    if (result > 0 && copy_to_user(to, buffer.bytes, buffer.used) < 0) {
        result = -EFAULT;
    }
    if (result > 0) {
        file->position = buffer.cookie;
    }
    mutex_unlock(&file->position_lock);
    buffer_give(&data_buffers, buffer.bytes);
    return result;
}

static int64_t list_call(const struct arguments *arguments, bool old_format)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = (file->flags & O_PATH) ? -EBADF
                     : !is_directory(file->inode)
                         ? -ENOTDIR
                         : list_file(file, arguments->at[1], (uint32_t)arguments->at[2], old_format);
    file_put(file);
    return result;
}

int64_t sys_getdents(const struct arguments *arguments)
{
    return list_call(arguments, true);
}

int64_t sys_getdents64(const struct arguments *arguments)
{
    return list_call(arguments, false);
}

int64_t sys_getcwd(const struct arguments *arguments)
{
    char *path = buffer_take(&path_buffers);
    size_t start = 0;
    if (path == NULL) {
        return -ENOMEM;
    }
    namespace_lock();
    int64_t result = path_of(working_directory, (struct name){0}, path, PATH_BUFFER_SIZE, &start);
    namespace_unlock();
    if (result >= 0) {
        result += 1; /* the NUL counts */
        if ((uint64_t)result > arguments->at[1]) {
            result = -ERANGE;
        } else if (copy_to_user(arguments->at[0], path + start, (size_t)result) < 0) {
            result = -EFAULT;
        }
    }
    buffer_give(&path_buffers, path);
    return result;
}

/* The namespace lock is held. */
static int64_t change_directory(struct inode *inode)
{
    if (!is_directory(inode)) {
        return -ENOTDIR;
    }
    int64_t result = inode_access(inode, MAY_EXECUTE);
    if (result == 0) {
        inode_put(working_directory);
        working_directory = inode_get(inode);
    }
    return result;
}

int64_t sys_chdir(const struct arguments *arguments)
{
    struct place place;
    int64_t result = at_begin(AT_FDCWD, arguments->at[0], WALK_FOLLOW, &place);
    if (result == 0) {
        result = change_directory(place.inode);
        at_end(&place);
    }
    return result;
}

int64_t sys_fchdir(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    if (file == NULL) {
        return -EBADF;
    }
    namespace_lock();
    int64_t result = change_directory(file->inode);
    namespace_unlock();
    file_put(file);
    return result;
}

static int64_t refuse(void)
{
    return -EPERM;
}

int64_t sys_chroot(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
}

int64_t sys_mount(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
}

int64_t sys_umount2(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
}

int64_t sys_pivot_root(const struct arguments *arguments)
{
    (void)arguments;
    return refuse();
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
    if (target == NULL) {
        result = -ENOMEM;
    } else if (!is_link(place.inode)) {
        result = -EINVAL;
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

/* Makes a directory, node or symbolic link. */
static int64_t create_at(int64_t descriptor, user_address path, const struct creation *creation)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, WALK_MAY_MISS, &place);
    if (result < 0) {
        return result;
    }
    if (place.inode != NULL) {
        result = -EEXIST;
    } else if (place.wants_directory && (creation->mode & S_IFMT) != S_IFDIR) {
        result = -ENOENT;
    } else if ((result = may_create(&place)) == 0) {
        result = place.parent->operations->create(place.parent, place_name(&place), creation, &place.inode);
    }
    at_end(&place);
    return result;
}

static int64_t make_directory(int64_t descriptor, user_address path, uint64_t mode)
{
    struct creation creation = {.mode = S_IFDIR | ((uint32_t)mode & (S_ISVTX | 0777) & ~file_mode_mask)};
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

static int64_t make_node(int64_t descriptor, user_address path, uint32_t mode, uint64_t rdev)
{
    struct creation creation = {.mode = (mode & (S_IFMT | PERMISSION_BITS)) & ~file_mode_mask, .rdev = rdev};
    switch (mode & S_IFMT) {
    case 0:
        creation.mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFIFO:
        break;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFSOCK:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return create_at(descriptor, path, &creation);
}

int64_t sys_mknod(const struct arguments *arguments)
{
    return make_node(AT_FDCWD, arguments->at[0], (uint32_t)arguments->at[1], arguments->at[2]);
}

int64_t sys_mknodat(const struct arguments *arguments)
{
    return make_node(
        (int64_t)arguments->at[0], arguments->at[1], (uint32_t)arguments->at[2], arguments->at[3]);
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
    return parent->operations->unlink == NULL ? -EPERM : 0;
}

static int64_t remove_at(int64_t descriptor, user_address path, bool directory)
{
    struct place place;
    int64_t result = at_begin(descriptor, path, 0, &place);
    if (result < 0) {
        return result;
    }
    if (place.is_dot) {
        bool parent = place.name_length == 2;
        result = !directory                                       ? -EISDIR
                 : place.parent == NULL || place.name_length == 0 ? -EBUSY
                 : parent                                         ? -ENOTEMPTY
                                                                  : -EINVAL;
    } else if (directory != is_directory(place.inode)) {
        result = directory ? -ENOTDIR : -EISDIR;
    } else if ((result = may_remove(&place)) == 0) {
        result = place.parent->operations->unlink(place.parent, place_name(&place), place.inode);
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
    if (result == 0) {
        result = path_from_user(other_path, &paths[1]);
    }
    if (result == 0) {
        result = start_of(one_descriptor, paths[0], &starts[0]);
    }
    if (result == 0) {
        result = start_of(other_descriptor, paths[1], &starts[1]);
    }
    if (result == 0) {
        namespace_lock();
        result = path_walk(starts[0], paths[0], one_flags, one);
        if (result == 0) {
            result = path_walk(starts[1], paths[1], WALK_MAY_MISS, other);
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
    if (new->inode != NULL) {
        return -EEXIST;
    }
    if (is_directory(old->inode)) {
        return -EPERM;
    }
    if (old->inode->file_system != new->parent->file_system) {
        return -EXDEV;
    }
    int64_t result = may_create(new);
    if (result < 0) {
        return result;
    }
    if (new->wants_directory) {
        return -ENOENT;
    }
    return new->parent->operations->link != NULL
               ? new->parent->operations->link(new->parent, place_name(new), old->inode)
               : -EPERM;
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

#define RENAME_NOREPLACE 1U

static bool is_below(const struct inode *directory, const struct inode *above)
{
    for (const struct inode *step = directory; step != NULL; step = step->parent) {
        if (step == above) {
            return true;
        }
    }
    return false;
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
    if (old->is_dot || new->is_dot || old->parent == NULL) {
        return -EBUSY;
    }
    if (old->parent->file_system != new->parent->file_system ||
        old->inode->file_system != old->parent->file_system) {
        return -EXDEV;
    }
    if (new->inode != NULL && (flags & RENAME_NOREPLACE)) {
        return -EEXIST;
    }
    if (new->wants_directory && !is_directory(old->inode)) {
        return -ENOTDIR;
    }
    if (is_directory(old->inode) && is_below(new->parent, old->inode)) {
        return -EINVAL;
    }
    int64_t result = may_remove(old);
    if (result == 0) {
        result = new->inode != NULL ? may_replace(old, new) : may_create(new);
    }
    if (result < 0 || new->inode == old->inode) {
        return result; /* two names of one file: rename(2) does nothing */
    }
    if (old->parent->operations->rename == NULL) {
        return -EPERM;
    }
    if (new->inode != NULL) {
        if (is_directory(new->inode) && is_below(old->parent, new->inode)) {
            return -ENOTEMPTY;
        }
        result = new->parent->operations->unlink(new->parent, place_name(new), new->inode);
        if (result < 0) {
            return result;
        }
    }
    return old->parent->operations->rename(
        old->parent, place_name(old), old->inode, new->parent, place_name(new));
}

static int64_t rename_at(int64_t old_descriptor, user_address old_path, int64_t new_descriptor,
    user_address new_path, uint32_t flags)
{
    struct place old, new;
    if ((flags & ~RENAME_NOREPLACE) != 0) {
        return -EINVAL;
    }
    int64_t result = walk_two(old_descriptor, old_path, 0, &old, new_descriptor, new_path, &new);
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
