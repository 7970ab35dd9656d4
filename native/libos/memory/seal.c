/* mseal(2): areas that the program can neither give back, replace, move nor protect anew (mm/mseal.c of Linux 6.10). */
#include "memory/space.h"

bool has_sealed(const struct space *space, user_address start, user_address end)
{
    for (const struct area_node *node; (node = area_from(&areas, start)) && node->area.start < end; start = node->area.end) {
        if (node->area.space == space && (node->area.flags & MAP_SEALED)) {
            return true;
        }
    }
    return false;
}

static bool is_mapped_throughout(user_address start, user_address end)
{
    const struct area_node *node;
    for (; start < end && (node = find_own(current_space(), start)); start = node->area.end) {
    }
    return start >= end;
}

static int64_t seal_locked(user_address start, user_address end)
{
    if (!is_mapped_throughout(start, end) || !reserve_nodes()) {
        return -ENOMEM;
    }
    split_at(start);
    split_at(end);
    for (user_address at = start; at < end;) {
        struct area_node *node = find_own(current_space(), at);
        node->area.flags |= MAP_SEALED;
        at = node->area.end;
    }
    join_around(start, end);
    return 0;
}

int64_t sys_mseal(const struct arguments *arguments)
{
    user_address start = arguments->at[0];
    uint64_t length = PAGE_UP(arguments->at[1]);
    if (arguments->at[2] || start % PAGE_SIZE || (arguments->at[1] && !length) || start + length < start) {
        return -EINVAL;
    }
    if (!length) {
        return 0;
    }
    if (!user_range_is_valid(start, length)) {
        return -ENOMEM;
    }
    lock_space();
    int64_t result = seal_locked(start, start + length);
    unlock_memory();
    return result;
}
