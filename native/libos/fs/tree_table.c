#include "fs/tree_table.h"

void table_destroy(struct node *directory)
{
    for (struct child *child = directory->first_child; child;) {
        struct child *next = child->later;
        if (child->node) {
            inode_put(&child->node->inode);
        }
        release(child, sizeof(struct child) + child->length);
        child = next;
    }
    release(directory->buckets, directory->bucket_count * sizeof(struct child *));
}

struct child *table_find(const struct node *directory, struct name name)
{
    if (directory->bucket_count == 0) {
        return NULL;
    }
    struct child *child = directory->buckets[name_hash(name) & (directory->bucket_count - 1)];
    while (child && !name_equals(child_name(child), name)) {
        child = child->next_in_bucket;
    }
    return child;
}

static void table_link(struct node *directory, struct child *child)
{
    struct child **bucket = &directory->buckets[name_hash(child_name(child)) & (directory->bucket_count - 1)];
    child->next_in_bucket = *bucket;
    *bucket = child;
}

static bool table_grow(struct node *directory)
{
    size_t count = directory->bucket_count == 0 ? 8 : directory->bucket_count * 2;
    struct child **buckets = allocate(count * sizeof(struct child *));
    if (!buckets) {
        return false;
    }
    release(directory->buckets, directory->bucket_count * sizeof(struct child *));
    directory->buckets = buckets;
    directory->bucket_count = count;
    for (struct child *child = directory->first_child; child; child = child->later) {
        table_link(directory, child);
    }
    return true;
}

struct child *table_reserve(struct node *directory, struct name name)
{
    struct child *child = table_find(directory, name);
    if (child) {
        return child;
    }
    if (directory->child_count >= directory->bucket_count && !table_grow(directory)) {
        return NULL;
    }
    child = allocate(sizeof(struct child) + name.length);
    if (!child) {
        return NULL;
    }
    child->length = (uint16_t)name.length;
    memcpy(child->name, name.bytes, name.length);
    child->cookie = ++directory->last_cookie;
    child->earlier = directory->last_child;
    *(directory->last_child ? &directory->last_child->later : &directory->first_child) = child;
    directory->last_child = child;
    directory->child_count++;
    table_link(directory, child);
    return child;
}

void table_remove(struct node *directory, struct child *child)
{
    struct child **link = &directory->buckets[name_hash(child_name(child)) & (directory->bucket_count - 1)];
    while (*link != child) {
        link = &(*link)->next_in_bucket;
    }
    *link = child->next_in_bucket;
    *(child->earlier ? &child->earlier->later : &directory->first_child) = child->later;
    *(child->later ? &child->later->earlier : &directory->last_child) = child->earlier;
    directory->child_count--;
    release(child, sizeof(struct child) + child->length);
}
