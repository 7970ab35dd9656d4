#include "memory/area.h"

static uint32_t next_random(struct area_tree *tree)
{
    /* xorshift32 (Marsaglia, 2003): balance needs no secret */
    uint32_t value = tree->random ? tree->random : 0x9E3779B9;
    value ^= value << 13;
    value ^= value >> 17;
    value ^= value << 5;
    tree->random = value;
    return value;
}

struct area_node *area_from(const struct area_tree *tree, user_address address)
{
    struct area_node *best = NULL;
    for (struct area_node *node = tree->root; node;) {
        if (node->area.end > address) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

struct area_node *area_find(const struct area_tree *tree, user_address address)
{
    struct area_node *node = area_from(tree, address);
    return node && node->area.start <= address ? node : NULL;
}

struct area_node *area_before(const struct area_tree *tree, user_address address)
{
    struct area_node *best = NULL;
    for (struct area_node *node = tree->root; node;) {
        if (node->area.start < address) {
            best = node;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

/* Cut a subtree into the nodes below `address` and the rest. */
static void split(struct area_node *root, user_address address, struct area_node **low,
                  struct area_node **high)
{
    while (root) {
        if (root->area.start < address) {
            *low = root;
            low = &root->right;
            root = root->right;
        } else {
            *high = root;
            high = &root->left;
            root = root->left;
        }
    }
    *low = NULL;
    *high = NULL;
}

void area_insert(struct area_tree *tree, struct area_node *node)
{
    node->priority = next_random(tree);
    struct area_node **link = &tree->root;
    while (*link && (*link)->priority >= node->priority) {
        link = node->area.start < (*link)->area.start ? &(*link)->left : &(*link)->right;
    }
    split(*link, node->area.start, &node->left, &node->right);
    *link = node;
}

void area_remove(struct area_tree *tree, struct area_node *node)
{
    struct area_node **link = &tree->root;
    while (*link != node) {
        link = node->area.start < (*link)->area.start ? &(*link)->left : &(*link)->right;
    }
    struct area_node *low = node->left, *high = node->right;
    while (low && high) {
        if (low->priority >= high->priority) {
            *link = low;
            link = &low->right;
            low = low->right;
        } else {
            *link = high;
            link = &high->left;
            high = high->left;
        }
    }
    *link = low ? low : high;
}

user_address area_border(const struct area *area)
{
    bool grows = (area->flags & MAP_GROWSDOWN) && !(area->flags & MAP_WHOLE_STACK);
    return !grows ? area->start : area->start > GROWTH_GAP ? area->start - GROWTH_GAP : 0;
}

user_address area_find_gap(const struct area_tree *tree, uint64_t length, user_address low, user_address high)
{
    const struct area_node *above = area_from(tree, high);
    user_address end = above && area_border(&above->area) < high ? area_border(&above->area) : high;
    while (end >= low && end - low >= length) {
        const struct area_node *below = area_before(tree, end);
        user_address gap = below && below->area.end > low ? below->area.end : low;
        if (gap <= end && end - gap >= length) {
            return end - length;
        }
        if (!below) {
            return 0;
        }
        end = area_border(&below->area);
    }
    return 0;
}

bool area_is_free(const struct area_tree *tree, user_address start, user_address end)
{
    const struct area_node *node = area_from(tree, start);
    return !node || node->area.start >= end;
}

void area_split(struct area_tree *tree, struct area_node *node, user_address address, struct area_node *upper)
{
    upper->area = node->area;
    upper->area.start = address;
    if (upper->area.file || upper->area.object) {
        upper->area.offset += address - node->area.start;
    }
    node->area.end = address;
    area_insert(tree, upper);
}

bool area_joins(const struct area *lower, const struct area *upper)
{
    bool is_kept_whole = !lower->file && (lower->flags & MAP_PRISTINE);
    return !is_kept_whole && lower->space == upper->space && lower->end == upper->start && lower->protection == upper->protection &&
           lower->flags == upper->flags && lower->file == upper->file &&
           lower->object == upper->object &&
           ((!lower->file && !lower->object) || lower->offset + (lower->end - lower->start) == upper->offset);
}
