#include "fs/tree.h"

#include "fs/buffer.h"
#include "fs/device.h"
#include "fs/pipe.h"
#include "fs/seal.h"
#include "fs/tree_access_list.h"
#include "fs/tree_create.h"
#include "fs/tree_file.h"
#include "fs/tree_image.h"
#include "fs/tree_table.h"
#include "fs/tree_xattr.h"
#include "process/process.h"

const struct file_system root_file_system = {.type = "overlay", .magic = 0x794C7630, .device = 0x30};
const struct file_system memory_file_system = {.type = "tmpfs", .magic = TMPFS_MAGIC, .device = 0x31};
const struct file_system unnamed_file_system = {.type = "tmpfs", .magic = TMPFS_MAGIC, .device = 0x01};

/* Cookies of list(): positions in the image first, then the names of the table in the order of their
 * creation. */
#define TABLE_COOKIE (1ULL << 62)

static const struct inode_operations operations;

struct node *node_create(const struct file_system *file_system)
{
    struct node *node = allocate(sizeof(struct node));
    if (node) {
        node->inode.operations = &operations;
        node->inode.file_system = file_system;
        node->inode.references = 1;
        node->inode.seals = F_SEAL_SEAL; /* only memfd_create(2) makes files that can be sealed */
        tree_file_start(node);
    }
    return node;
}

void node_destroy(struct node *node)
{
    table_destroy(node);
    tree_xattrs_destroy(node);
    tree_access_lists_destroy(node);
    tree_file_destroy(node);
    if (node->pipe) {
        pipe_forget(node->pipe);
    }
    release(node->target, node->target_length);
    if (node->lower_parent) {
        inode_put(&node->lower_parent->inode);
    }
    release(node->lower_name, node->lower_name_length);
    inode_place(&node->inode, NULL, (struct name){0});
    release(node, sizeof(struct node));
}

/* The image's nodes wait for the next sweep: only there, under the namespace lock, nobody can find them any
 * more. */
static void node_unused(struct inode *inode)
{
    struct node *node = node_of(inode);
    if (!node->has_lower) {
        node_destroy(node);
    }
}

static int64_t lower_nid(const struct node *directory, struct name name, uint64_t *nid)
{
    return directory->has_lower ? erofs_lookup(&directory->lower, name.bytes, name.length, nid) : -ENOENT;
}

static int64_t tree_lookup(struct inode *directory, struct name name, struct inode **found)
{
    struct node *parent = node_of(directory);
    struct child *child = table_find(parent, name);
    if (child) {
        if (!child->node) {
            return -ENOENT;
        }
        *found = inode_get(&child->node->inode);
        return 0;
    }
    uint64_t nid;
    struct node *node = parent->has_lower ? known_by_name(parent, name) : NULL;
    if (node) {
        *found = inode_get(&node->inode);
        return 0;
    }
    int64_t result = lower_nid(parent, name, &nid);
    if (result == 0) {
        result = node_of_nid(nid, parent, name, &node);
    }
    if (result == 0) {
        *found = &node->inode;
    }
    return result;
}

/* EROFS file types to modes (Linux, include/linux/fs_types.h). */
static uint32_t mode_of_type(uint32_t type)
{
    static const uint32_t modes[] = {0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK};
    return type < ARRAY_LENGTH(modes) ? modes[type] : 0;
}

static bool is_dot(struct name name)
{
    return name.bytes[0] == '.' && (name.length == 1 || (name.length == 2 && name.bytes[1] == '.'));
}

/* 1: the sink is full. */
static int64_t list_lower(struct node *directory, uint64_t cookie, entry_sink *sink, void *context)
{
    struct erofs_entry entry;
    for (;;) {
        int64_t result = erofs_next(&directory->lower, &cookie, &entry);
        if (result <= 0) {
            return result;
        }
        struct name name = {.bytes = entry.name, .length = entry.name_length};
        if (is_dot(name) || table_find(directory, name)) {
            continue;
        }
        if (!sink(context, name, entry.nid, mode_of_type(entry.type), cookie)) {
            return 1;
        }
    }
}

static int64_t tree_list(struct inode *inode, uint64_t cookie, entry_sink *sink, void *context)
{
    struct node *directory = node_of(inode);
    if (cookie < TABLE_COOKIE && directory->has_lower) {
        int64_t result = list_lower(directory, cookie, sink, context);
        if (result != 0) {
            return result < 0 ? result : 0;
        }
    }
    uint64_t passed = cookie < TABLE_COOKIE ? 0 : cookie - TABLE_COOKIE;
    for (struct child *child = directory->first_child; child; child = child->later) {
        if (child->cookie <= passed || !child->node) {
            continue;
        }
        struct inode *found = &child->node->inode;
        if (!sink(
                context, child_name(child), found->number, found->mode & S_IFMT,
                TABLE_COOKIE + child->cookie)) {
            break;
        }
    }
    return 0;
}

static bool count_entry(void *context, struct name name, uint64_t number, uint32_t mode, uint64_t cookie)
{
    (void)name, (void)number, (void)mode, (void)cookie;
    *(bool *)context = true;
    return false;
}

static void touch(struct node *directory)
{
    directory->inode.mtime = directory->inode.ctime = time_now();
    directory->changed = true;
}

void node_enter(struct node *directory, struct child *child, struct node *node)
{
    inode_get(&node->inode);
    child->node = node;
    touch(directory);
}

/* Takes a name away; what the image has under it must stay hidden. -ENOMEM changes nothing. */
static int64_t remove_name(struct node *directory, struct name name)
{
    uint64_t nid;
    int64_t lower = lower_nid(directory, name, &nid);
    if (lower < 0 && lower != -ENOENT) {
        return lower;
    }
    struct child *child = lower == 0 ? table_reserve(directory, name) : table_find(directory, name);
    if (!child) {
        return -ENOMEM;
    }
    struct node *node = child->node;
    if (lower == 0) {
        child->node = NULL;
    } else {
        table_remove(directory, child);
    }
    if (node) {
        inode_put(&node->inode);
    }
    touch(directory);
    return 0;
}

static int64_t tree_link(struct inode *directory, struct name name, struct inode *inode)
{
    struct child *child = table_reserve(node_of(directory), name);
    if (!child) {
        return -ENOMEM;
    }
    node_enter(node_of(directory), child, node_of(inode));
    inode->links++;
    inode->ctime = time_now();
    node_of(inode)->changed = true;
    return 0;
}

static int64_t tree_unlink(struct inode *directory, struct name name, struct inode *inode)
{
    bool has_entries = false;
    if (is_directory(inode)) {
        int64_t result = tree_list(inode, 0, count_entry, &has_entries);
        if (result < 0 || has_entries) {
            return result < 0 ? result : -ENOTEMPTY;
        }
    }
    int64_t result = remove_name(node_of(directory), name);
    if (result < 0) {
        return result;
    }
    if (is_directory(inode)) {
        inode->links = 0;
        directory->links--; /* `..` leads there all the same */
    } else {
        inode->links--;
    }
    inode->ctime = time_now();
    node_of(inode)->changed = true;
    return 0;
}

/* The target name is free: the caller has unlinked what was there. */
static int64_t tree_rename(
    struct inode *from, struct name from_name, struct inode *inode, struct inode *to, struct name to_name)
{
    struct child *child = table_reserve(node_of(to), to_name);
    if (!child) {
        return -ENOMEM;
    }
    int64_t result = is_directory(inode) ? inode_place(inode, to, to_name) : 0;
    if (result == 0) {
        result = remove_name(node_of(from), from_name);
    }
    if (result < 0) {
        return result;
    }
    node_enter(node_of(to), child, node_of(inode));
    if (is_directory(inode) && from != to) {
        from->links--;
        to->links++;
    }
    inode->ctime = time_now();
    node_of(inode)->changed = true;
    return 0;
}

/* A name's place in the table; `fresh`: there was none, and the image's name, if any, is hidden from now on. */
static struct child *reserve(struct inode *directory, struct name name, bool *fresh)
{
    *fresh = !table_find(node_of(directory), name);
    return table_reserve(node_of(directory), name);
}

static void put_there(struct inode *directory, struct child *child, struct inode *inode)
{
    struct node *old = child->node;
    node_enter(node_of(directory), child, node_of(inode));
    inode->ctime = time_now();
    node_of(inode)->changed = true;
    if (old) {
        inode_put(&old->inode);
    }
}

static int64_t place_both(struct inode *one, struct name one_name, struct inode *one_inode, struct inode *other,
    struct name other_name, struct inode *other_inode)
{
    int64_t result = is_directory(one_inode) ? inode_place(one_inode, other, other_name) : 0;
    if (result == 0 && is_directory(other_inode) && (result = inode_place(other_inode, one, one_name)) < 0 &&
        is_directory(one_inode)) {
        (void)inode_place(one_inode, one, one_name);
    }
    return result;
}

static int64_t tree_exchange(struct inode *one, struct name one_name, struct inode *one_inode, struct inode *other,
    struct name other_name, struct inode *other_inode)
{
    bool one_is_fresh = false, other_is_fresh = false;
    struct child *one_child = reserve(one, one_name, &one_is_fresh);
    struct child *other_child = !one_child ? NULL : reserve(other, other_name, &other_is_fresh);
    int64_t result = !other_child
                         ? -ENOMEM
                         : place_both(one, one_name, one_inode, other, other_name, other_inode);
    if (result < 0) {
        if (one_child && one_is_fresh) {
            table_remove(node_of(one), one_child);
        }
        if (other_child && other_is_fresh) {
            table_remove(node_of(other), other_child);
        }
        return result;
    }
    inode_get(one_inode), inode_get(other_inode); /* while neither is in a table */
    put_there(one, one_child, other_inode);
    put_there(other, other_child, one_inode);
    inode_put(one_inode), inode_put(other_inode);
    one->links += (uint32_t)is_directory(other_inode) - (uint32_t)is_directory(one_inode);
    other->links += (uint32_t)is_directory(one_inode) - (uint32_t)is_directory(other_inode);
    return 0;
}

static int64_t tree_read_link(struct inode *link, char *to, size_t size)
{
    struct node *node = node_of(link);
    if (node->has_lower) {
        return erofs_read(&node->lower, 0, to, size);
    }
    size_t length = node->target_length < size ? node->target_length : size;
    memcpy(to, node->target, length);
    return (int64_t)length;
}

static int64_t tree_open(struct inode *inode, struct file *file)
{
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        return tree_file_open(node_of(inode), file);
    case S_IFCHR:
        return device_open(inode, file);
    case S_IFIFO:
        return pipe_open_fifo(&node_of(inode)->pipe, file);
    case S_IFDIR:
        return 0;
    default:
        return -ENXIO;
    }
}

static int64_t tree_change(struct inode *inode, const struct attributes *attributes)
{
    inode_take_attributes(inode, attributes);
    node_of(inode)->changed = true;
    return 0;
}

static int64_t tree_truncate(struct inode *inode, uint64_t size)
{
    return tree_file_truncate(node_of(inode), size);
}

static const struct inode_operations operations = {
    .lookup = tree_lookup,
    .list = tree_list,
    .create = tree_create_inode,
    .create_unnamed = tree_create_unnamed,
    .link = tree_link,
    .unlink = tree_unlink,
    .rename = tree_rename,
    .exchange = tree_exchange,
    .read_link = tree_read_link,
    .open = tree_open,
    .change = tree_change,
    .truncate = tree_truncate,
    .block_count = tree_file_block_count,
    .next_xattr = tree_next_xattr,
    .read_xattr = tree_read_xattr,
    .set_xattr = tree_set_xattr,
    .access_list = tree_access_list,
    .set_access_list = tree_set_access_list,
    .keeps_flags = true,
    .unused = node_unused,
};

bool tree_is_as_measured(const struct inode *inode)
{
    if (inode->operations != &operations) {
        return true;
    }
    const struct node *node = CONTAINER_OF(inode, struct node, inode);
    return node->has_lower && !__atomic_load_n(&node->written, __ATOMIC_ACQUIRE);
}

int64_t tree_open_image(struct inode **root)
{
    uint64_t nid;
    struct node *node;
    int64_t result = erofs_root(&nid);
    if (result == 0) {
        result = node_of_nid(nid, NULL, (struct name){0}, &node);
    }
    if (result == 0 && !is_directory(&node->inode)) {
        return -EIO;
    }
    if (result == 0) {
        *root = &node->inode;
    }
    return result;
}
