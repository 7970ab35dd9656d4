/* The node of a tree, shared by tree.c (names), tree_table.c, tree_image.c and tree_file.c (content). */
#ifndef ENCLAVIZE_FS_TREE_NODE_H
#define ENCLAVIZE_FS_TREE_NODE_H

#include "fs/data.h"
#include "fs/inode.h"

struct node;
struct pipe;
struct tree_xattr;

/* A name in a directory's table. Without a node it hides the image's name (a whiteout). */
struct child {
    struct child *next_in_bucket;
    struct child *earlier, *later;
    struct node *node;
    uint64_t cookie;
    uint16_t length;
    char name[];
};

struct node {
    struct inode inode;
    bool has_lower; /* it comes from the image */
    bool changed;   /* it differs from the image: must stay */

    /* From the image. Parent and name are those of the image, whatever was renamed since: they make the data
     * path. */
    struct erofs_inode lower;
    struct node *next_by_nid, *next_by_name;
    struct node *lower_parent;
    char *lower_name;
    size_t lower_name_length;

    struct tree_xattr *xattrs; /* extended attributes, in place of the image's */
    bool has_own_xattrs;
    struct access_list *access_lists[2]; /* by kind */
    bool knows_access_lists;             /* the image was asked for its own */

    /* Directories. */
    struct child **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t child_count;
    struct child *first_child, *last_child;
    uint64_t last_cookie;

    /* Symbolic links that were made here. */
    char *target;
    size_t target_length;

    /* Regular files. */
    struct shared_object content; /* its pages; its lock guards lower_size and size, once `written` is set */
    struct host_data *data;
    uint64_t lower_size; /* up to here the image's content shows through where there is no page */
    bool written;

    /* FIFOs. */
    struct pipe *pipe;
};

/* One count; NULL without memory. */
struct node *node_create(const struct file_system *file_system);

void node_destroy(struct node *node);

/* Give a name to a node; the table takes its own count. */
void node_enter(struct node *directory, struct child *child, struct node *node);

static inline struct node *node_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct node, inode);
}

#endif
