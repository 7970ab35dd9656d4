#include "fs/path.h"

#include "fs/buffer.h"
#include "fs/open_name.h"

#define LINKS_MAX 40U /* MAXSYMLINKS of Linux */

struct inode *root_directory;

static struct {
    struct inode *directory;
    char name[NAME_LENGTH_MAX];
    size_t length;
    struct inode *root;
} mounts[MOUNTS_MAX];
static size_t mount_count;

static struct inode *find_mount(const struct inode *directory, struct name name)
{
    for (size_t at = mount_count; directory->covered && at-- > 0;) {
        if (mounts[at].directory == directory &&
            name_equals((struct name){mounts[at].name, mounts[at].length}, name)) {
            return mounts[at].root;
        }
    }
    return NULL;
}

bool is_mount_point(const struct inode *directory, struct name name)
{
    return find_mount(directory, name) != NULL;
}

int64_t mount_add(struct inode *directory, struct name name, struct inode *root)
{
    if (mount_count == MOUNTS_MAX) {
        return -ENOSPC;
    }
    if (is_directory(root)) {
        int64_t result = inode_place(root, directory, name);
        if (result < 0) {
            return result;
        }
    }
    mounts[mount_count].directory = inode_get(directory);
    mounts[mount_count].length = name.length;
    memcpy(mounts[mount_count].name, name.bytes, name.length);
    mounts[mount_count].root = inode_get(root);
    mount_count++;
    directory->covered = true;
    return 0;
}

#define ROOT_MOUNT 1U

static uint64_t number_of_mount(const struct inode *root)
{
    for (size_t at = 0; at < mount_count; at++) {
        if (mounts[at].root == root) {
            return ROOT_MOUNT + 1 + at;
        }
    }
    return root == root_directory ? ROOT_MOUNT : 0;
}

uint64_t mount_number(const struct inode *inode, const struct inode *parent)
{
    uint64_t number = number_of_mount(inode);
    for (const struct inode *step = is_directory(inode) ? inode : parent; step && number == 0;
         step = step->parent) {
        number = number_of_mount(step);
    }
    return number;
}

bool mount_at_root(const struct inode *inode)
{
    return number_of_mount(inode) != 0;
}

struct inode *mount_at(size_t index)
{
    return index < mount_count ? mounts[index].root : NULL;
}

void place_release(struct place *place)
{
    inode_put(place->parent);
    inode_put(place->inode);
    open_name_put(place->opened);
    place->opened = NULL;
    place->parent = NULL;
    place->inode = NULL;
}

/* The state of a walk: the directory reached, and what is still to go in `rest`. */
struct walk {
    struct inode *root; /* not counted: the start, which the caller has, or the one root */
    struct inode *current;
    char *buffer; /* PATH_BUFFER_SIZE, holds rest */
    char *rest;
    uint32_t links;
};

static void step_to(struct walk *walk, struct inode *inode)
{
    inode_put(walk->current);
    walk->current = inode;
}

static int64_t find(struct inode *directory, struct name name, struct inode **found)
{
    struct inode *mounted = find_mount(directory, name);
    if (mounted) {
        *found = inode_get(mounted);
        return 0;
    }
    return directory->operations->lookup ? directory->operations->lookup(directory, name, found)
                                         : -ENOENT;
}

struct inode *root_of_caller(void)
{
    const struct whereabouts *whereabouts = current_whereabouts();
    return whereabouts ? whereabouts->root : root_directory;
}

bool is_below_root_of_caller(const struct inode *directory)
{
    const struct inode *root = root_of_caller(), *step = directory;
    while (step && step != root) {
        step = step->parent;
    }
    return step != NULL;
}

static struct inode *parent_of(struct inode *directory)
{
    return directory->parent ? directory->parent : directory;
}

/* nd_jump_root() of Linux: a link is absolute. */
static int64_t go_to_root(struct walk *walk, uint32_t flags)
{
    bool leaves_mount = mount_number(walk->current, NULL) != mount_number(walk->root, NULL);
    if ((flags & WALK_BENEATH) || ((flags & WALK_NO_MOUNTS) && leaves_mount)) {
        return -EXDEV;
    }
    step_to(walk, inode_get(walk->root));
    return 0;
}

/* `..`, counted: NULL, and *error, where it must not be gone to. follow_dotdot() of Linux. */
static struct inode *go_up(const struct walk *walk, uint32_t flags, int64_t *error)
{
    struct inode *parent = walk->current == walk->root ? walk->root : parent_of(walk->current);
    bool leaves_mount = parent != walk->current && mount_at_root(walk->current);
    if (((flags & WALK_BENEATH) && walk->current == walk->root) || ((flags & WALK_NO_MOUNTS) && leaves_mount)) {
        *error = -EXDEV;
        return NULL;
    }
    return inode_get(parent);
}

/* nd_jump_link() of Linux: may this link lead straight to the inode? */
static int64_t check_jump(const struct inode *link, const struct inode *target, uint32_t flags)
{
    bool leaves_mount = target->file_system != link->file_system;
    return (flags & WALK_NO_MAGIC_LINKS)                       ? -ELOOP
           : (flags & WALK_NO_MOUNTS) && leaves_mount          ? -EXDEV
           : (flags & (WALK_BENEATH | WALK_IN_ROOT)) != 0 ? -EXDEV
                                                               : 0;
}

/* Puts the link's target before what is still to go. */
static int64_t expand(struct walk *walk, struct inode *link, const char *after, bool slash, uint32_t flags)
{
    if (++walk->links > LINKS_MAX) {
        return -ELOOP;
    }
    char *expanded = buffer_take(&path_buffers);
    if (!expanded) {
        return -ENOMEM;
    }
    int64_t length = link->operations->read_link(link, expanded, PATH_BUFFER_SIZE - 1);
    size_t rest = strlen(after);
    if (length == 0) {
        length = -ENOENT;
    } else if (length > 0 && (uint64_t)length + slash + rest >= PATH_BUFFER_SIZE) {
        length = -ENAMETOOLONG;
    }
    if (length < 0) {
        buffer_give(&path_buffers, expanded);
        return length;
    }
    if (slash) {
        expanded[length++] = '/';
    }
    memcpy(expanded + length, after, rest + 1);
    buffer_give(&path_buffers, walk->buffer);
    walk->buffer = walk->rest = expanded;
    return expanded[0] == '/' ? go_to_root(walk, flags) : 0;
}

static void finish(struct walk *walk, struct inode *inode, struct place *place)
{
    place->parent = walk->current;
    walk->current = NULL;
    place->inode = inode;
}

/* One component. 1: arrived. */
static int64_t step(struct walk *walk, uint32_t flags, struct place *place)
{
    struct name name = {.bytes = walk->rest};
    while (walk->rest[name.length] != '\0' && walk->rest[name.length] != '/') {
        name.length++;
    }
    char *after = walk->rest + name.length;
    bool slash = *after == '/';
    while (*after == '/') {
        after++;
    }
    bool last = *after == '\0';
    if (name.length > NAME_LENGTH_MAX) {
        return -ENAMETOOLONG;
    }
    if (!is_directory(walk->current)) {
        return -ENOTDIR;
    }
    int64_t result = inode_access(walk->current, MAY_EXECUTE);
    if (result < 0) {
        return result;
    }
    if (last && slash && (flags & WALK_CREATES)) {
        return -EISDIR;
    }
    struct inode *child = NULL;
    struct open_name *opened = NULL;
    bool jumped = false;
    bool dot = name.bytes[0] == '.' && (name.length == 1 || (name.length == 2 && name.bytes[1] == '.'));
    if (dot) {
        child = name.length == 1 ? inode_get(walk->current) : go_up(walk, flags, &result);
    } else {
        result = find(walk->current, name, &child);
        if (result == 0 && (flags & WALK_NO_MOUNTS) && mount_at_root(child)) {
            inode_put(child);
            result = -EXDEV;
        }
    }
    bool follows = slash || place->wants_directory || (flags & WALK_FOLLOW);
    if (result == 0 && is_link(child) && (!last || (follows && (flags & WALK_NAME) == 0))) {
        struct inode *link = child;
        child = NULL;
        if (flags & WALK_NO_LINKS) {
            inode_put(link);
            return -ELOOP;
        }
        if (!link->operations->jump || (result = link->operations->jump(link, &child, &opened)) == -ENOENT) {
            result = expand(walk, link, after, slash && !last, flags);
            if (result == 0 && last && slash) {
                place->wants_directory = true;
            }
            inode_put(link);
            return result;
        }
        jumped = true;
        if (result == 0) {
            result = ++walk->links > LINKS_MAX ? -ELOOP : check_jump(link, child, flags);
            if (result < 0) {
                inode_put(child);
            }
        }
        inode_put(link);
        if (result < 0 || !last) {
            open_name_put(opened);
            opened = NULL;
        }
    }
    if (!last) {
        if (result == 0) {
            step_to(walk, child);
            walk->rest = after;
        }
        return result;
    }
    if (result == -ENOENT && (flags & WALK_MAY_MISS)) {
        result = 0;
        child = NULL;
    }
    if (result < 0) {
        return result;
    }
    place->is_dot = dot || jumped;
    place->opened = opened;
    place->wants_directory |= slash;
    place->name_length = name.length;
    memcpy(place->name, name.bytes, name.length);
    place->name[name.length] = '\0';
    if (child && place->wants_directory && !is_directory(child) && (flags & WALK_NAME) == 0) {
        inode_put(child);
        open_name_put(opened);
        place->opened = NULL;
        return -ENOTDIR;
    }
    finish(walk, child, place);
    if (jumped) {
        inode_put(place->parent);
        place->parent = NULL;
    }
    return 1;
}

static int64_t refresh(struct place *place)
{
    struct inode *inode = place->inode;
    return inode && inode->operations->refresh ? inode->operations->refresh(inode) : 0;
}

int64_t path_walk(struct inode *start, const char *path, uint32_t flags, struct place *place)
{
    *place = (struct place){0};
    struct inode *relative = start ? start : current_whereabouts()->working_directory;
    bool is_absolute = path[0] == '/', is_scoped = (flags & (WALK_BENEATH | WALK_IN_ROOT)) != 0;
    struct inode *root = root_of_caller(), *from = is_absolute && !(flags & WALK_IN_ROOT) ? root : relative;
    if (is_absolute && (flags & WALK_BENEATH)) {
        return -EXDEV;
    }
    if (path[0] == '\0') {
        if ((flags & WALK_EMPTY) == 0) {
            return -ENOENT;
        }
        place->inode = inode_get(from);
        place->is_dot = true;
        return refresh(place);
    }
    struct walk walk = {.buffer = buffer_take(&path_buffers)};
    if (!walk.buffer) {
        return -ENOMEM;
    }
    size_t length = strnlen(path, PATH_BUFFER_SIZE);
    int64_t result = length < PATH_BUFFER_SIZE ? 0 : -ENAMETOOLONG;
    if (result == 0) {
        memcpy(walk.buffer, path, length + 1);
        walk.root = is_scoped ? from : root;
        walk.current = inode_get(from);
        walk.rest = walk.buffer;
    }
    while (result == 0) {
        while (*walk.rest == '/') {
            walk.rest++;
        }
        if (*walk.rest == '\0') { /* nothing but slashes */
            place->is_dot = true;
            finish(&walk, inode_get(walk.current), place);
            result = 1;
        } else {
            result = step(&walk, flags, place);
        }
    }
    inode_put(walk.current);
    buffer_give(&path_buffers, walk.buffer);
    if (result == 1) {
        result = refresh(place);
        if (result < 0) {
            place_release(place);
        }
    }
    return result;
}

static bool prepend(char *buffer, size_t *at, const char *bytes, size_t length)
{
    if (length + 1 > *at) {
        return false;
    }
    *at -= length;
    memcpy(buffer + *at, bytes, length);
    buffer[--*at] = '/';
    return true;
}

int64_t path_of_removed(const struct inode *directory, struct name name, char *buffer, size_t size, size_t *start)
{
    size_t at = size - 1;
    buffer[at] = '\0';
    if (name.length > 0 && !prepend(buffer, &at, name.bytes, name.length)) {
        return -ENAMETOOLONG;
    }
    const struct inode *root = root_of_caller();
    for (const struct inode *step = directory; step != root && step != root_directory; step = step->parent) {
        if (!step->parent) {
            return -ENOENT;
        }
        if (!prepend(buffer, &at, step->name, step->name_length)) {
            return -ENAMETOOLONG;
        }
    }
    if (at == size - 1) {
        buffer[--at] = '/';
    }
    *start = at;
    return (int64_t)(size - 1 - at);
}

int64_t path_of(const struct inode *directory, struct name name, char *buffer, size_t size, size_t *start)
{
    for (const struct inode *step = directory; step; step = step->parent) {
        if (step->links == 0) {
            return -ENOENT;
        }
    }
    return path_of_removed(directory, name, buffer, size, start);
}
