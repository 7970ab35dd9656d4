#include "fs/tree_create.h"

#include "fs/tree.h"
#include "fs/tree_access_list.h"
#include "fs/tree_table.h"

static struct node *make_node(const struct file_system *file_system, const struct creation *creation)
{
    struct node *node = node_create(file_system);
    if (node) {
        struct inode *inode = &node->inode;
        inode->mode = creation->mode;
        inode->uid = credentials()->user.file_system;
        inode->gid = credentials()->group.file_system;
        inode->links = 1;
        inode->number = new_inode_number();
        inode->rdev = creation->rdev;
        inode->atime = inode->mtime = inode->ctime = inode->btime = time_now();
    }
    return node;
}

/* What a new node takes over from its directory. */
static int64_t make_in(const struct inode *directory, const struct creation *creation, struct node **made)
{
    struct node *node = make_node(directory->file_system, creation);
    if (!node) {
        return -ENOMEM;
    }
    int64_t result = tree_inherit_access(node, directory, creation->mode_mask);
    if (result < 0) {
        node_destroy(node);
        return result;
    }
    node->inode.kept_flags = directory->kept_flags;
    if (directory->mode & S_ISGID) {
        node->inode.gid = directory->gid;
        node->inode.mode |= is_directory(&node->inode) ? S_ISGID : 0;
    }
    *made = node;
    return 0;
}

static int64_t fill(struct node *node, struct inode *directory, struct name name, const struct creation *creation)
{
    struct inode *inode = &node->inode;
    if (is_directory(inode)) {
        inode->links = 2;
        inode->size = BLOCK_SIZE;
        return inode_place(inode, directory, name);
    }
    if (is_link(inode)) {
        node->target_length = strlen(creation->target);
        node->target = allocate(node->target_length);
        if (!node->target) {
            return -ENOMEM;
        }
        memcpy(node->target, creation->target, node->target_length);
        inode->size = node->target_length;
    }
    return 0;
}

int64_t tree_create_inode(
    struct inode *directory, struct name name, const struct creation *creation, struct inode **created)
{
    struct node *parent = node_of(directory), *node;
    int64_t result = make_in(directory, creation, &node);
    if (result < 0) {
        return result;
    }
    result = fill(node, directory, name, creation);
    struct child *child = result == 0 ? table_reserve(parent, name) : NULL;
    if (!child) {
        node_destroy(node);
        return result < 0 ? result : -ENOMEM;
    }
    node_enter(parent, child, node);
    directory->links += is_directory(&node->inode) ? 1 : 0;
    *created = &node->inode;
    return 0;
}

int64_t tree_create_unnamed(struct inode *directory, const struct creation *creation, struct inode **created)
{
    struct node *node;
    int64_t result = make_in(directory, creation, &node);
    if (result < 0) {
        return result;
    }
    node->inode.links = 0;
    *created = &node->inode;
    return 0;
}

int64_t tree_create(const struct file_system *file_system, uint32_t mode, struct inode **root)
{
    const struct creation creation = {.mode = S_IFDIR | mode};
    struct node *node = make_node(file_system, &creation);
    if (!node) {
        return -ENOMEM;
    }
    node->inode.links = 2;
    node->inode.size = BLOCK_SIZE;
    *root = &node->inode;
    return 0;
}

int64_t tree_create_file(const struct file_system *file_system, uint32_t mode, struct inode **inode)
{
    const struct creation creation = {.mode = S_IFREG | mode};
    struct node *node = make_node(file_system, &creation);
    if (!node) {
        return -ENOMEM;
    }
    node->inode.links = 0;
    *inode = &node->inode;
    return 0;
}
