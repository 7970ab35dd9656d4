#include "fs/tree_image.h"

#include "fs/tree_file.h"

#include "fs/tree.h"
#include "fs/tree_table.h"

/* By nid, and by the name in the image that they were found under first. */
#define KNOWN_BUCKETS 4096U

static struct {
    struct node *by_nid[KNOWN_BUCKETS];
    struct node *by_name[KNOWN_BUCKETS];
    size_t count;
    size_t sweep_at;
} known = {.sweep_at = 8192};

static struct node **nid_bucket(uint64_t nid)
{
    return &known.by_nid[(nid * 0x9E3779B97F4A7C15ULL) >> 52];
}

static struct node **name_bucket(const struct node *parent, struct name name)
{
    uint64_t mixed = (name_hash(name) ^ parent->lower.nid) * 0x9E3779B97F4A7C15ULL;
    return &known.by_name[mixed >> 52];
}

static struct name lower_name_of(const struct node *node)
{
    return (struct name){.bytes = node->lower_name, .length = node->lower_name_length};
}

struct node *known_by_name(const struct node *parent, struct name name)
{
    struct node *node = *name_bucket(parent, name);
    while (node && (node->lower_parent != parent || !name_equals(lower_name_of(node), name))) {
        node = node->next_by_name;
    }
    return node;
}

static void make_known(struct node *node)
{
    struct node **bucket = nid_bucket(node->lower.nid);
    node->next_by_nid = *bucket;
    *bucket = node;
    if (node->lower_parent) {
        bucket = name_bucket(node->lower_parent, lower_name_of(node));
        node->next_by_name = *bucket;
        *bucket = node;
    }
    known.count++;
}

/* Takes it out of the list of names; that of nids is what sweep() walks along. */
static void forget_name(struct node *node)
{
    if (!node->lower_parent) {
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
        while (*link) {
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

int64_t node_of_nid(uint64_t nid, struct node *parent, struct name name, struct node **found)
{
    for (struct node *node = *nid_bucket(nid); node; node = node->next_by_nid) {
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
    if (!node) {
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
    if (parent) {
        node->lower_name = allocate(name.length);
        node->lower_name_length = name.length;
        result = !node->lower_name ? -ENOMEM : 0;
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
    tree_file_start(node);
    make_known(node);
    *found = node;
    return 0;
}
