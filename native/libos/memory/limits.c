/* What RLIMIT_AS and RLIMIT_DATA allow. */
#include "memory/space.h"

static struct {
    uint64_t mapped, data;
} page_limits = {UINT64_MAX, UINT64_MAX};

void memory_set_limits(uint64_t mapped, uint64_t data)
{
    mutex_lock(&memory_lock);
    page_limits.mapped = mapped;
    page_limits.data = data;
    mutex_unlock(&memory_lock);
}

/* What counts as data: private and writable (mm/mmap.c, is_data_mapping()). */
bool is_data(uint32_t protection, uint32_t flags)
{
    return (protection & PROT_WRITE) && !(flags & (MAP_SHARED | MAP_GROWSDOWN));
}

/* Pages in areas of [start, end); of data only, or of all. */
static uint64_t count_pages(user_address start, user_address end, bool data_only)
{
    uint64_t pages = 0;
    for (struct area_node *node = area_from(&areas, start); node && node->area.start < end;
         node = area_from(&areas, node->area.end)) {
        user_address from = node->area.start > start ? node->area.start : start;
        user_address to = node->area.end < end ? node->area.end : end;
        bool counts = from < to && (!data_only || is_data(node->area.protection, node->area.flags));
        pages += counts ? (to - from) / PAGE_SIZE : 0;
    }
    return pages;
}

/* May `length` more bytes be mapped, in place of what lies in [start, end)? */
bool is_within_limits(uint64_t length, bool data, user_address start, user_address end)
{
    uint64_t pages = length / PAGE_SIZE;
    if (page_limits.mapped != UINT64_MAX &&
        mapped_pages - count_pages(start, end, false) + pages > page_limits.mapped) {
        return false;
    }
    return !data || page_limits.data == UINT64_MAX ||
           count_pages(APPLICATION_START, APPLICATION_END, true) - count_pages(start, end, true) + pages <=
               page_limits.data;
}
