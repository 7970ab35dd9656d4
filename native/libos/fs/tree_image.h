/* Nodes of the measured image: one for each nid, from when a name leads to it until nobody uses it. */
#ifndef ENCLAVIZE_FS_TREE_IMAGE_H
#define ENCLAVIZE_FS_TREE_IMAGE_H

#include "fs/tree_node.h"

/* The node of a nid, with one more count. `parent` and `name` say by which way it was found first; they make
 * its data path. */
int64_t node_of_nid(uint64_t nid, struct node *parent, struct name name, struct node **found);

/* The node that was found under a name of the image before, NULL if there is none. */
struct node *known_by_name(const struct node *parent, struct name name);

#endif
