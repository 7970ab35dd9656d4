/* What RLIMIT_AS, RLIMIT_DATA and RLIMIT_MEMLOCK allow. */
#include "memory/space.h"

void memory_set_limits(const struct memory_limits *limits)
{
    lock_memory();
    current_space()->limits = *limits;
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
    if (space->limits.mapped != UINT64_MAX &&
        space->mapped_pages - count_pages(space, start, end, false) + pages > space->limits.mapped) {
        return false;
    }
    return !data || space->limits.data == UINT64_MAX ||
           count_pages(space, APPLICATION_START, APPLICATION_END, true) - count_pages(space, start, end, true) +
                   pages <= space->limits.data;
}

/* Nobody has CAP_IPC_LOCK. */
bool may_lock_more(const struct space *space, uint64_t length)
{
    return space->limits.locked == UINT64_MAX ||
           space->locked_pages + length / PAGE_SIZE <= space->limits.locked / PAGE_SIZE;
}

bool may_lock(void)
{
    return __atomic_load_n(&current_space()->limits.locked, __ATOMIC_RELAXED) != 0;
}
