/* MAP_GROWSDOWN: expand_downwards() of Linux. A program's first stack is mapped whole, and does not need it. */
#include "memory/loaded.h"
#include "memory/turns.h"

static bool is_far_enough(user_address page)
{
    const struct area_node *below = area_before(&areas, page);
    return !below || (below->area.flags & MAP_GROWSDOWN) || !(below->area.protection & ACCESS_MASK) ||
           page - below->area.end >= GROWTH_GAP;
}

int64_t grow_down(user_address page)
{
    struct space *space = current_space();
    loaded_make_way(page, page + GROWTH_GAP);
    struct area_node *node = area_from(&areas, page);
    if (!node || node->area.space != space || !(node->area.flags & MAP_GROWSDOWN) || !is_far_enough(page) ||
        turns_find_absent(space, page, node->area.start)) {
        return -EFAULT;
    }
    uint64_t added = node->area.start - page;
    bool is_locked = node->area.flags & MAP_LOCKED;
    if (node->area.end - page > space->limits.stack || !is_within_limits(space, added, false, 0, 0) ||
        (is_locked && !may_lock_more(space, added))) {
        return -EFAULT;
    }
    node->area.start = page; /* no other area lies between: the tree's order stays */
    space->mapped_pages += added / PAGE_SIZE;
    space->locked_pages += is_locked ? added / PAGE_SIZE : 0;
    return 0;
}
