/* Areas ordered by address: a treap (Seidel and Aragon, 1996), so that its shape does not depend on what the
 * application maps. */
#ifndef ENCLAVIZE_AREA_H
#define ENCLAVIZE_AREA_H

#include "memory/memory.h"

struct area_node {
    struct area area;
    struct area_node *left;
    struct area_node *right;
    uint32_t priority;
};

/* Areas never overlap. All-zero is empty. */
struct area_tree {
    struct area_node *root;
    uint32_t random;
};

/* The area that holds the address, or NULL. */
struct area_node *area_find(const struct area_tree *tree, user_address address);
/* The first area that ends above the address, or NULL. */
struct area_node *area_from(const struct area_tree *tree, user_address address);
/* The last area that starts below the address, or NULL. */
struct area_node *area_before(const struct area_tree *tree, user_address address);

void area_insert(struct area_tree *tree, struct area_node *node);
void area_remove(struct area_tree *tree, struct area_node *node);

/* What stays free below an area that grows down: stack_guard_gap of Linux. */
#define GROWTH_GAP (256 * PAGE_SIZE)
/* Where an area begins for others that look for a place. */
user_address area_border(const struct area *area);
/* The start of the highest gap of `length` bytes that lies in [low, high), or 0. */
user_address area_find_gap(const struct area_tree *tree, uint64_t length, user_address low,
                           user_address high);
bool area_is_free(const struct area_tree *tree, user_address start, user_address end);

/* Cut `node` at `address`, strictly inside it: it keeps the lower part, `upper` becomes the rest and is
 * inserted. */
void area_split(struct area_tree *tree, struct area_node *node, user_address address,
                struct area_node *upper);
/* Whether `upper` goes on where `lower` ends in every respect. */
bool area_joins(const struct area *lower, const struct area *upper);

#endif
