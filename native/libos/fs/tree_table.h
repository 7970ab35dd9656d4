/* The names that were given or hidden in a directory, in the order of their creation; found by their hash. */
#ifndef ENCLAVIZE_FS_TREE_TABLE_H
#define ENCLAVIZE_FS_TREE_TABLE_H

#include "fs/tree_node.h"

static inline struct name child_name(const struct child *child)
{
    return (struct name){.bytes = child->name, .length = child->length};
}

/* FNV-1a. */
static inline uint32_t name_hash(struct name name)
{
    uint32_t hash = 2166136261U;
    for (size_t at = 0; at < name.length; at++) {
        hash = (hash ^ (uint8_t)name.bytes[at]) * 16777619U;
    }
    return hash;
}

struct child *table_find(const struct node *directory, struct name name);

/* The entry of a name, made if there is none: the only step of a change that can fail (NULL). */
struct child *table_reserve(struct node *directory, struct name name);

void table_remove(struct node *directory, struct child *child);

void table_destroy(struct node *directory);

#endif
