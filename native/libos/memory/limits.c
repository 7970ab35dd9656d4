/* What RLIMIT_AS and RLIMIT_DATA allow. */
#include "memory/space.h"

void memory_set_limits(uint64_t mapped, uint64_t data)
{
    struct space *space = current_space();
    lock_memory();
    space->mapped_limit = mapped;
    space->data_limit = data;
    unlock_memory();
}

/* What counts as data: private and writable (mm/mmap.c, is_data_mapping()). */
bool is_data(uint32_t protection, uint32_t flags)
{
    return (protection & PROT_WRITE) && !(flags & (MAP_SHARED | MAP_GROWSDOWN));
}

/* Pages in areas of the space in [start, end); of data only, or of all. */
static uint64_t count_pages(const struct space *space, user_address start, user_address end, bool data_only)
{
    uint64_t pages = 0;
    for (struct area_node *node = area_from(&areas, start); node && node->area.start < end;
         node = area_from(&areas, node->area.end)) {
        user_address from = node->area.start > start ? node->area.start : start;
        user_address to = node->area.end < end ? node->area.end : end;
        bool counts = node->area.space == space && from < to && (!data_only || is_data(node->area.protection, node->area.flags));
        pages += counts ? (to - from) / PAGE_SIZE : 0;
    }
    return pages;
}

bool is_within_limits(const struct space *space, uint64_t length, bool data, user_address start, user_address end)
{
    uint64_t pages = length / PAGE_SIZE;
    if (space->mapped_limit != UINT64_MAX &&
        space->mapped_pages - count_pages(space, start, end, false) + pages > space->mapped_limit) {
        return false;
    }
    return !data || space->data_limit == UINT64_MAX ||
           count_pages(space, APPLICATION_START, APPLICATION_END, true) - count_pages(space, start, end, true) +
                   pages <= space->data_limit;
}
