#include "tree.h"

#include "buffer.h"
#include "device.h"
#include "pipe.h"
#include "tree_file.h"
#include "tree_node.h"

const struct file_system root_file_system = {.type = "overlay", .magic = 0x794C7630, .device = 0x30};
const struct file_system memory_file_system = {.type = "tmpfs", .magic = 0x01021994, .device = 0x31};

/* Cookies of list(): positions in the image first, then the names of the table in the order of their
 * creation. */
#define TABLE_COOKIE (1ULL << 62)

/* Nodes of the image: by nid, and by the name in the image that they were found under first. */
#define KNOWN_BUCKETS 4096U

static struct {
    struct node *by_nid[KNOWN_BUCKETS];
    struct node *by_name[KNOWN_BUCKETS];
    size_t count;
    size_t sweep_at;
} known = {.sweep_at = 8192};

static const struct inode_operations operations;

static struct node *node_create(const struct file_system *file_system)
{
    struct node *node = allocate(sizeof(struct node));
    if (node != NULL) {
        node->inode.operations = &operations;
        node->inode.file_system = file_system;
        node->inode.references = 1;
    }
    return node;
}

static void table_destroy(struct node *directory)
{
    for (struct child *child = directory->first_child; child != NULL;) {
        struct child *next = child->later;
        if (child->node != NULL) {
            inode_put(&child->node->inode);
        }
        release(child, sizeof(struct child) + child->length);
        child = next;
    }
    release(directory->buckets, directory->bucket_count * sizeof(struct child *));
}

static void node_destroy(struct node *node)
{
    table_destroy(node);
    tree_file_destroy(node);
    if (node->pipe != NULL) {
        pipe_forget(node->pipe);
    }
    release(node->target, node->target_length);
    if (node->lower_parent != NULL) {
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

static uint32_t hash_of(struct name name)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (size_t at = 0; at < name.length; at++) {
        hash = (hash ^ (uint8_t)name.bytes[at]) * 16777619U;
    }
    return hash;
}

static struct node **nid_bucket(uint64_t nid)
{
    return &known.by_nid[(nid * 0x9E3779B97F4A7C15ULL) >> 52];
}

static struct node **name_bucket(const struct node *parent, struct name name)
{
    uint64_t mixed = (hash_of(name) ^ parent->lower.nid) * 0x9E3779B97F4A7C15ULL;
    return &known.by_name[mixed >> 52];
}

static struct name lower_name_of(const struct node *node)
{
    return (struct name){.bytes = node->lower_name, .length = node->lower_name_length};
}

static struct node *known_by_name(const struct node *parent, struct name name)
{
    struct node *node = *name_bucket(parent, name);
    while (node != NULL && (node->lower_parent != parent || !name_equals(lower_name_of(node), name))) {
        node = node->next_by_name;
    }
    return node;
}

static void make_known(struct node *node)
{
    struct node **bucket = nid_bucket(node->lower.nid);
    node->next_by_nid = *bucket;
    *bucket = node;
    if (node->lower_parent != NULL) {
        bucket = name_bucket(node->lower_parent, lower_name_of(node));
        node->next_by_name = *bucket;
        *bucket = node;
    }
    known.count++;
}

/* Takes it out of the list of names; that of nids is what sweep() walks along. */
static void forget_name(struct node *node)
{
    if (node->lower_parent == NULL) {
        return;
    }
    struct node **link = name_bucket(node->lower_parent, lower_name_of(node));
    while (*link != node) {
        link = &(*link)->next_by_name;
    }
    *link = node->next_by_name;
}

static void sweep(void)
{
    for (size_t at = 0; at < KNOWN_BUCKETS; at++) {
        struct node **link = &known.by_nid[at];
        while (*link != NULL) {
            struct node *node = *link;
            bool unused = __atomic_load_n(&node->inode.references, __ATOMIC_ACQUIRE) == 0;
            if (unused && (!node->changed || node->inode.links == 0)) {
                *link = node->next_by_nid;
                forget_name(node);
                known.count--;
                node_destroy(node);
            } else {
                link = &node->next_by_nid;
            }
        }
    }
    known.sweep_at = known.count < 4096 ? 8192 : known.count * 2;
}

/* A node of the image, with one more count. `parent` and `name` say by which way it was found first; they
 * make its data path. */
static int64_t node_of_nid(uint64_t nid, struct node *parent, struct name name, struct node **found)
{
    for (struct node *node = *nid_bucket(nid); node != NULL; node = node->next_by_nid) {
        if (node->lower.nid == nid) {
            inode_get(&node->inode);
            *found = node;
            return 0;
        }
    }
    if (known.count >= known.sweep_at) {
        sweep();
    }
    struct erofs_inode lower;
    int64_t result = erofs_inode(nid, &lower);
    if (result < 0) {
        return result;
    }
    struct node *node = node_create(&root_file_system);
    if (node == NULL) {
        return -ENOMEM;
    }
    struct inode *inode = &node->inode;
    uint32_t type = lower.mode & S_IFMT;
    node->lower = lower;
    inode->mode = lower.mode;
    inode->uid = lower.uid;
    inode->gid = lower.gid;
    inode->links = lower.links;
    inode->number = nid;
    inode->size = type == S_IFDIR ? BLOCK_SIZE : lower.size;
    inode->rdev = type == S_IFCHR || type == S_IFBLK ? lower.union_field : 0;
    inode->atime.seconds = inode->mtime.seconds = inode->ctime.seconds = lower.mtime;
    if (type == S_IFREG) {
        node->lower_size = lower.size;
    }
    if (parent != NULL) {
        node->lower_name = allocate(name.length);
        node->lower_name_length = name.length;
        result = node->lower_name == NULL ? -ENOMEM : 0;
        if (result == 0 && type == S_IFDIR) {
            result = inode_place(inode, &parent->inode, name);
        }
        if (result < 0) {
            node_destroy(node);
            return result;
        }
        memcpy(node->lower_name, name.bytes, name.length);
        inode_get(&parent->inode);
        node->lower_parent = parent;
    }
    node->has_lower = true;
    make_known(node);
    *found = node;
    return 0;
}

static struct name name_of(const struct child *child)
{
    return (struct name){.bytes = child->name, .length = child->length};
}

static struct child *table_find(const struct node *directory, struct name name)
{
    if (directory->bucket_count == 0) {
        return NULL;
    }
    struct child *child = directory->buckets[hash_of(name) & (directory->bucket_count - 1)];
    while (child != NULL && !name_equals(name_of(child), name)) {
        child = child->next_in_bucket;
    }
    return child;
}

static void table_link(struct node *directory, struct child *child)
{
    struct child **bucket = &directory->buckets[hash_of(name_of(child)) & (directory->bucket_count - 1)];
    child->next_in_bucket = *bucket;
    *bucket = child;
}

static bool table_grow(struct node *directory)
{
    size_t count = directory->bucket_count == 0 ? 8 : directory->bucket_count * 2;
    struct child **buckets = allocate(count * sizeof(struct child *));
    if (buckets == NULL) {
        return false;
    }
    release(directory->buckets, directory->bucket_count * sizeof(struct child *));
    directory->buckets = buckets;
    directory->bucket_count = count;
    for (struct child *child = directory->first_child; child != NULL; child = child->later) {
        table_link(directory, child);
    }
    return true;
}

/* The table's entry of a name, made if there is none: the only step of a change that can fail. */
static struct child *table_reserve(struct node *directory, struct name name)
{
    struct child *child = table_find(directory, name);
    if (child != NULL) {
        return child;
    }
    if (directory->child_count >= directory->bucket_count && !table_grow(directory)) {
        return NULL;
    }
    child = allocate(sizeof(struct child) + name.length);
    if (child == NULL) {
        return NULL;
    }
    child->length = (uint16_t)name.length;
    memcpy(child->name, name.bytes, name.length);
    child->cookie = ++directory->last_cookie;
    child->earlier = directory->last_child;
    *(directory->last_child != NULL ? &directory->last_child->later : &directory->first_child) = child;
    directory->last_child = child;
    directory->child_count++;
    table_link(directory, child);
    return child;
}

static void table_remove(struct node *directory, struct child *child)
{
    struct child **link = &directory->buckets[hash_of(name_of(child)) & (directory->bucket_count - 1)];
    while (*link != child) {
        link = &(*link)->next_in_bucket;
    }
    *link = child->next_in_bucket;
    *(child->earlier != NULL ? &child->earlier->later : &directory->first_child) = child->later;
    *(child->later != NULL ? &child->later->earlier : &directory->last_child) = child->earlier;
    directory->child_count--;
    release(child, sizeof(struct child) + child->length);
}

static int64_t lower_nid(const struct node *directory, struct name name, uint64_t *nid)
{
    return directory->has_lower ? erofs_lookup(&directory->lower, name.bytes, name.length, nid) : -ENOENT;
}

static int64_t tree_lookup(struct inode *directory, struct name name, struct inode **found)
{
    struct node *parent = node_of(directory);
    struct child *child = table_find(parent, name);
    if (child != NULL) {
        if (child->node == NULL) {
            return -ENOENT;
        }
        *found = inode_get(&child->node->inode);
        return 0;
    }
    uint64_t nid;
    struct node *node = parent->has_lower ? known_by_name(parent, name) : NULL;
    if (node != NULL) {
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
        if (is_dot(name) || table_find(directory, name) != NULL) {
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
    for (struct child *child = directory->first_child; child != NULL; child = child->later) {
        if (child->cookie <= passed || child->node == NULL) {
            continue;
        }
        struct inode *found = &child->node->inode;
        if (!sink(
                context, name_of(child), found->number, found->mode & S_IFMT, TABLE_COOKIE + child->cookie)) {
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

/* Give a name to a node; the table takes its own count. */
static void enter(struct node *directory, struct child *child, struct node *node)
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
    if (child == NULL) {
        return -ENOMEM;
    }
    struct node *node = child->node;
    if (lower == 0) {
        child->node = NULL;
    } else {
        table_remove(directory, child);
    }
    if (node != NULL) {
        inode_put(&node->inode);
    }
    touch(directory);
    return 0;
}

static int64_t tree_create_inode(
    struct inode *directory, struct name name, const struct creation *creation, struct inode **created)
{
    struct node *parent = node_of(directory);
    struct node *node = node_create(directory->file_system);
    if (node == NULL) {
        return -ENOMEM;
    }
    struct inode *inode = &node->inode;
    bool inherits = (directory->mode & S_ISGID) != 0;
    inode->mode = creation->mode;
    inode->uid = process.uid;
    inode->gid = inherits ? directory->gid : process.gid;
    inode->links = 1;
    inode->number = new_inode_number();
    inode->rdev = creation->rdev;
    inode->atime = inode->mtime = inode->ctime = time_now();
    int64_t result = 0;
    if (is_directory(inode)) {
        inode->links = 2;
        inode->size = BLOCK_SIZE;
        inode->mode |= inherits ? S_ISGID : 0;
        result = inode_place(inode, directory, name);
    } else if (is_link(inode)) {
        node->target_length = strlen(creation->target);
        node->target = allocate(node->target_length);
        result = node->target == NULL ? -ENOMEM : 0;
        if (result == 0) {
            memcpy(node->target, creation->target, node->target_length);
            inode->size = node->target_length;
        }
    }
    struct child *child = result == 0 ? table_reserve(parent, name) : NULL;
    if (child == NULL) {
        node_destroy(node);
        return result < 0 ? result : -ENOMEM;
    }
    enter(parent, child, node);
    directory->links += is_directory(inode) ? 1 : 0;
    *created = inode;
    return 0;
}

static int64_t tree_link(struct inode *directory, struct name name, struct inode *inode)
{
    struct child *child = table_reserve(node_of(directory), name);
    if (child == NULL) {
        return -ENOMEM;
    }
    enter(node_of(directory), child, node_of(inode));
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
        directory->links--;
        inode_place(inode, NULL, (struct name){0});
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
    if (child == NULL) {
        return -ENOMEM;
    }
    int64_t result = is_directory(inode) ? inode_place(inode, to, to_name) : 0;
    if (result == 0) {
        result = remove_name(node_of(from), from_name);
    }
    if (result < 0) {
        return result;
    }
    enter(node_of(to), child, node_of(inode));
    if (is_directory(inode) && from != to) {
        from->links--;
        to->links++;
    }
    inode->ctime = time_now();
    node_of(inode)->changed = true;
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
    uint32_t which = attributes->which;
    if (which & ATTRIBUTE_MODE) {
        inode->mode = (inode->mode & S_IFMT) | (attributes->mode & PERMISSION_BITS);
    }
    if (which & ATTRIBUTE_UID) {
        inode->uid = attributes->uid;
    }
    if (which & ATTRIBUTE_GID) {
        inode->gid = attributes->gid;
    }
    if (which & ATTRIBUTE_ATIME) {
        inode->atime = attributes->atime;
    }
    if (which & ATTRIBUTE_MTIME) {
        inode->mtime = attributes->mtime;
    }
    inode->ctime = time_now();
    node_of(inode)->changed = true;
    return 0;
}

static int64_t tree_truncate(struct inode *inode, uint64_t size)
{
    return tree_file_truncate(node_of(inode), size);
}

static int64_t tree_next_xattr(struct inode *inode, uint64_t *position, struct erofs_xattr *xattr)
{
    struct node *node = node_of(inode);
    return node->has_lower ? erofs_next_xattr(&node->lower, position, xattr) : 0;
}

static const struct inode_operations operations = {
    .lookup = tree_lookup,
    .list = tree_list,
    .create = tree_create_inode,
    .link = tree_link,
    .unlink = tree_unlink,
    .rename = tree_rename,
    .read_link = tree_read_link,
    .open = tree_open,
    .change = tree_change,
    .truncate = tree_truncate,
    .next_xattr = tree_next_xattr,
    .unused = node_unused,
};

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

static int64_t create_unnamed(
    const struct file_system *file_system, uint32_t mode, uint32_t links, struct inode **created)
{
    struct node *node = node_create(file_system);
    if (node == NULL) {
        return -ENOMEM;
    }
    struct inode *inode = &node->inode;
    inode->mode = mode;
    inode->uid = process.uid;
    inode->gid = process.gid;
    inode->links = links;
    inode->number = new_inode_number();
    inode->size = is_directory(inode) ? BLOCK_SIZE : 0;
    inode->atime = inode->mtime = inode->ctime = time_now();
    *created = inode;
    return 0;
}

int64_t tree_create(const struct file_system *file_system, uint32_t mode, struct inode **root)
{
    return create_unnamed(file_system, S_IFDIR | mode, 2, root);
}

int64_t tree_create_file(const struct file_system *file_system, uint32_t mode, struct inode **inode)
{
    return create_unnamed(file_system, S_IFREG | mode, 0, inode);
}
