/* mlock, msync and mincore: which pages are there, and which are to stay. Enclave memory is never swapped as plain text, so locking only counts. */
#include "memory/object.h"

uint32_t locked_flag(void)
{
    return __atomic_load_n(&current_space()->locks_future, __ATOMIC_RELAXED);
}

int64_t memory_synchronise(user_address start, user_address end, uint32_t flags)
{
    int64_t result = 0, gap = 0;
    lock_space();
    for (user_address at = start; at < end && !result;) {
        struct area_node *node = area_from(&areas, at);
        if (!node || node->area.start > at || node->area.space != current_space()) {
            gap = -ENOMEM; /* told, when the rest is done */
            at = !node || node->area.start >= end ? end : node->area.start > at ? node->area.start : node->area.end;
            continue;
        }
        user_address last = node->area.end < end ? node->area.end : end;
        if ((flags & MS_INVALIDATE) && (node->area.flags & MAP_LOCKED)) {
            result = -EBUSY;
        } else if ((flags & (MS_ASYNC | MS_SYNC)) && node->area.object) {
            result = shared_synchronise(&node->area, at, last, flags & MS_SYNC);
        }
        at = last;
    }
    unlock_memory();
    return result ? result : gap;
}

/* Small anonymous mappings get their pages at once, where Linux waits for the first touch: what is zero still counts as not there. */
static bool is_resident(const struct area *area, user_address page)
{
    if (area->object) {
        return shared_is_resident(area, page);
    }
    if (!commit_test(page)) {
        return false;
    }
    bool is_touched = (area->flags & (MAP_LOCKED | MAP_LOCKED_ON_FAULT)) == MAP_LOCKED;
    return area->file || is_touched || !(area->protection & ACCESS_MASK) || !page_is_zero((const void *)page);
}

bool memory_residence(user_address start, user_address end, uint8_t *resident)
{
    bool mapped = true;
    lock_space();
    for (user_address page = start; page < end && mapped; page += PAGE_SIZE) {
        const struct area_node *node = find_own(current_space(), page);
        mapped = node != NULL;
        resident[(page - start) / PAGE_SIZE] = node && is_resident(&node->area, page);
    }
    unlock_memory();
    return mapped;
}

#define LOCKED_FLAGS ((uint32_t)(MAP_LOCKED | MAP_LOCKED_ON_FAULT))

static void set_locked(struct area_node *node, uint32_t locked_flags)
{
    uint64_t pages = (node->area.end - node->area.start) / PAGE_SIZE;
    if ((locked_flags ^ node->area.flags) & MAP_LOCKED) {
        node->area.space->locked_pages += locked_flags ? pages : -pages;
    }
    node->area.flags = (node->area.flags & ~LOCKED_FLAGS) | locked_flags;
}

int64_t memory_touch(user_address start, user_address end, enum fault_access access)
{
    int64_t error = 0;
    for (user_address page = start; page < end && !error; page += PAGE_SIZE) {
        error = memory_fault(page, access);
    }
    return error;
}

/* __mlock_posix_error_return() of Linux: what must not be touched is as a gap, and memory that is missing may come. */
static int64_t touch_locked(user_address start, user_address end)
{
    int64_t error = memory_touch(start, end, FAULT_READ);
    return !error ? 0 : error == -ENOMEM ? -EAGAIN : -ENOMEM;
}

/* Pages of the range that are locked already (count_mm_mlocked_page_nr() of Linux). */
static uint64_t locked_within(const struct space *space, user_address start, user_address end)
{
    uint64_t pages = 0;
    for (struct area_node *node = area_from(&areas, start); node && node->area.start < end;
         node = area_from(&areas, node->area.end)) {
        user_address from = node->area.start > start ? node->area.start : start;
        user_address to = node->area.end < end ? node->area.end : end;
        pages += node->area.space == space && (node->area.flags & MAP_LOCKED) ? (to - from) / PAGE_SIZE : 0;
    }
    return pages;
}

static int64_t lock_locked(user_address start, user_address end, uint32_t locked_flags)
{
    struct space *space = current_space();
    if (locked_flags && !may_lock_more(space, end - start - locked_within(space, start, end) * PAGE_SIZE)) {
        return -ENOMEM;
    }
    if (!reserve_nodes()) {
        return -ENOMEM;
    }
    split_at(start);
    split_at(end);
    for (user_address at = start; at < end;) {
        struct area_node *node = find_own(space, at);
        if (!node) {
            return -ENOMEM;
        }
        set_locked(node, locked_flags);
        at = node->area.end;
    }
    return 0;
}

int64_t memory_lock_range(user_address start, user_address end, uint32_t locked_flags)
{
    lock_space();
    int64_t error = lock_locked(start, end, locked_flags);
    join_around(start, end);
    unlock_memory();
    return error || locked_flags != MAP_LOCKED ? error : touch_locked(start, end);
}

int64_t memory_lock_all(bool current, bool future, uint32_t locked_flags)
{
    struct space *space = current_space();
    lock_space();
    bool fits = !current || space->limits.locked == UINT64_MAX || space->mapped_pages <= space->limits.locked / PAGE_SIZE;
    if (fits) {
        __atomic_store_n(&space->locks_future, future ? locked_flags : 0, __ATOMIC_RELAXED);
        for (struct area_node *node = area_from(&areas, 0); node; node = area_from(&areas, node->area.end)) {
            if (node->area.space == space && (current || !future)) {
                set_locked(node, current ? locked_flags : 0);
            }
        }
    }
    unlock_memory();
    return fits ? 0 : -ENOMEM;
}
