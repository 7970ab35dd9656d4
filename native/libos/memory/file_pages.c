/* remap_file_pages(2), as Linux does it since 4.0: a window of a shared mapping becomes a mapping of its own, of another place of the same file. */
#include "memory/space.h"

/* One of the areas from `at` to `end`, which follow one another and are alike; NULL: there is none. The lock is held. */
static const struct area *window_of(user_address at, user_address end)
{
    const struct area_node *first = find_own(current_space(), at), *node = first;
    if (!first || !(first->area.flags & MAP_SHARED)) {
        return NULL;
    }
    while (node->area.end < end) {
        const struct area_node *next = find_own(current_space(), node->area.end);
        if (!next || next->area.object != first->area.object || next->area.flags != first->area.flags) {
            return NULL;
        }
        node = next;
    }
    return &first->area;
}

/* The last mapping of a System V segment that was removed goes before the new one comes, and the segment with it (shm_mmap() of Linux). */
static bool is_last_of_removed(const struct area *window, user_address start, uint64_t length)
{
    struct shared_object *object = window->object;
    uint64_t others = 0, mapped = 0;
    if (!__atomic_load_n(&object->is_removed, __ATOMIC_ACQUIRE)) {
        return false;
    }
    for (user_address at = start; at < start + length;) {
        const struct area *area = &find_own(current_space(), at)->area; /* window_of() has seen them all */
        mapped++;
        others += area->start < start || area->end > start + length;
        at = area->end;
    }
    return others == 0 && __atomic_load_n(&object->mappings, __ATOMIC_SEQ_CST) == mapped;
}

int64_t sys_remap_file_pages(const struct arguments *arguments)
{
    user_address start = PAGE_DOWN(arguments->at[0]);
    uint64_t length = PAGE_DOWN(arguments->at[1]), page = arguments->at[3];
    if (arguments->at[2] != 0 || start + length <= start || page + length / PAGE_SIZE < page || page > (uint64_t)INT64_MAX / PAGE_SIZE - length / PAGE_SIZE) {
        return -EINVAL;
    }
    lock_space();
    const struct area *window = window_of(start, start + length);
    struct area area = window ? *window : (struct area){0};
    int64_t result = -EINVAL;
    if (window && is_last_of_removed(window, start, length)) {
        unmap_locked(area.space, start, start + length);
        result = -EINVAL;
    } else if (window) {
        area.start = start;
        area.offset = page * PAGE_SIZE;
        area_hold(&area); /* what it shows stays, though all of its mapping may go */
        result = map_locked(area, length, MAP_SHARED | MAP_FIXED);
        area_let_go(&area);
    }
    unlock_memory();
    return result < 0 ? result : 0;
}
