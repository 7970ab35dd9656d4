/* mlock, msync and mincore: which pages are there, and which are to stay. Enclave memory is never swapped as plain text, so locking only counts. */
#include "memory/object.h"

uint32_t locked_flag(void)
{
    return __atomic_load_n(&current_space()->locks_future, __ATOMIC_RELAXED) ? MAP_LOCKED : 0;
}

int64_t memory_synchronise(user_address start, user_address end, uint32_t flags)
{
    int64_t result = 0, gap = 0;
    lock_memory();
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

static bool is_zero(user_address page)
{
    const uint64_t *words = (const uint64_t *)page;
    uint64_t any = 0;
    for (size_t at = 0; at < PAGE_SIZE / sizeof *words; at++) {
        any |= words[at];
    }
    return !any;
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
    return area->file || (area->flags & MAP_LOCKED) || !(area->protection & ACCESS_MASK) || !is_zero(page);
}

bool memory_residence(user_address start, user_address end, uint8_t *resident)
{
    bool mapped = true;
    lock_memory();
    for (user_address page = start; page < end && mapped; page += PAGE_SIZE) {
        const struct area_node *node = find_own(current_space(), page);
        mapped = node != NULL;
        resident[(page - start) / PAGE_SIZE] = node && is_resident(&node->area, page);
    }
    unlock_memory();
    return mapped;
}

static void set_locked(struct area_node *node, bool locks)
{
    uint64_t pages = (node->area.end - node->area.start) / PAGE_SIZE;
    if (locks == !(node->area.flags & MAP_LOCKED)) {
        node->area.flags ^= MAP_LOCKED;
        node->area.space->locked_pages += locks ? pages : -pages;
    }
}

/* As if each page was read. */
static int64_t touch(user_address start, user_address end)
{
    for (user_address page = start; page < end; page += PAGE_SIZE) {
        if (memory_fault(page, FAULT_READ)) {
            return -ENOMEM;
        }
    }
    return 0;
}

int64_t memory_lock_range(user_address start, user_address end, bool locks, bool touches)
{
    lock_memory();
    bool ready = reserve_nodes();
    user_address at = ready ? start : end;
    if (ready) {
        split_at(start);
        split_at(end);
    }
    while (at < end) {
        struct area_node *node = find_own(current_space(), at);
        if (!node) {
            ready = false;
            break;
        }
        set_locked(node, locks);
        at = node->area.end;
    }
    join_around(start, end);
    unlock_memory();
    return !ready ? -ENOMEM : touches ? touch(start, end) : 0;
}

void memory_lock_all(bool current, bool future)
{
    lock_memory();
    struct space *space = current_space();
    __atomic_store_n(&space->locks_future, future, __ATOMIC_RELAXED);
    for (struct area_node *node = area_from(&areas, 0); node; node = area_from(&areas, node->area.end)) {
        if (node->area.space == space && (current || !future)) {
            set_locked(node, current);
        }
    }
    unlock_memory();
}
