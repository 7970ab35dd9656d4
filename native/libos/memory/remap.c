#include "memory/loaded.h"
#include "memory/object.h"
#include "memory/turns.h"

/* A second area of the same object: its pages follow when they are touched there. */
static int64_t move_shared(struct area old, user_address target, uint64_t new_length, uint32_t map_flags, bool keeps)
{
    struct area area = old;
    area.start = target;
    int64_t to = map_locked(area, new_length, map_flags);
    if (to >= 0 && !keeps && old.end > old.start) {
        unmap_locked(old.space, old.start, old.end);
    }
    return to;
}

/* Copy what is there to a new place, which is then given the old protection. */
static int64_t move_private(struct area old, user_address target, uint64_t new_length, uint32_t map_flags, bool keeps)
{
    struct area area = {
        .space = old.space, .start = target, .protection = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    int64_t to = map_locked(area, new_length, map_flags | MAP_NORESERVE);
    if (to < 0) {
        return to;
    }
    uint64_t length = old.end - old.start < new_length ? old.end - old.start : new_length;
    bool committed;
    for (user_address at = old.start, next; at < old.start + length; at = next) {
        next = commit_run(at, old.start + length, &committed);
        user_address copy = (user_address)to + (at - old.start);
        if (!committed) {
            continue;
        }
        if (versions_add(old.space, copy, copy + (next - at))) {
            unmap_locked(old.space, (user_address)to, (user_address)to + new_length);
            return -ENOMEM;
        }
        commit_protect(at, next, old.protection, old.protection | PROT_READ);
        memcpy((void *)copy, (const void *)at, next - at);
        commit_protect(at, next, old.protection | PROT_READ, old.protection);
    }
    split_at((user_address)to); /* it may have been joined with its neighbours */
    split_at((user_address)to + new_length);
    struct area_node *node = area_find(&areas, (user_address)to);
    commit_protect(node->area.start, node->area.end, PROT_READ | PROT_WRITE, old.protection);
    node->area.protection = old.protection;
    node->area.flags = old.flags & ~(uint32_t)MAP_PRISTINE;
    node->area.offset = old.offset;
    node->area.file = old.file;
    old.space->locked_pages += old.flags & MAP_LOCKED ? new_length / PAGE_SIZE : 0;
    area_hold(&old);
    if (keeps) {
        versions_drop(old.space, old.start, old.end, old.protection);
    } else {
        unmap_locked(old.space, old.start, old.end);
    }
    return to;
}

/* Could the area [start, end) grow to `new_length` where it is? */
static bool can_grow(const struct area_node *node, user_address start, user_address end, uint64_t new_length)
{
    loaded_make_way(end, start + new_length);
    return node->area.end == end && (!node->area.file || node->area.object) && range_is_good(start, new_length) &&
           place_is_free(end, start + new_length);
}

static int64_t remap_locked(user_address address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                            user_address target)
{
    struct space *space = current_space();
    struct area_node *node = find_own(space, address);
    user_address end = address + old_length;
    loaded_settle(space, address, end);
    bool keeps = flags & MREMAP_DONTUNMAP;
    if (has_sealed(space, address, old_length ? end : address + 1)) {
        return -EPERM;
    }
    if (!node || node->area.end < end) {
        return -EFAULT;
    }
    if ((!old_length || (keeps && node->area.file)) && !node->area.object) {
        return -EINVAL; /* only what is shared can be mapped a second time */
    }
    /* musl's pthread_getattr_np() measures the main stack by asking page after page to grow, until the answer
     * is not ENOMEM. On Linux the stack ends where it has been used: so it does here. */
    if ((node->area.flags & MAP_WHOLE_STACK) && !commit_test(address)) {
        return -EFAULT;
    }
    if (!(flags & MREMAP_FIXED) && !keeps && new_length <= old_length) {
        if (new_length < old_length) {
            unmap_locked(space, address + new_length, end);
        }
        return (int64_t)address;
    }
    uint64_t added = keeps ? new_length : new_length > old_length ? new_length - old_length : 0;
    if (added && !is_within_limits(space, added, is_data(node->area.protection, node->area.flags), 0, 0)) {
        return -ENOMEM;
    }
    if (added && (node->area.flags & MAP_LOCKED) && !may_lock_more(space, added)) {
        return -EAGAIN;
    }
    if (!(flags & MREMAP_FIXED) && !keeps && old_length && can_grow(node, address, end, new_length)) {
        node->area.end = address + new_length;
        space->mapped_pages += added / PAGE_SIZE;
        space->locked_pages += node->area.flags & MAP_LOCKED ? added / PAGE_SIZE : 0;
        join_around(address, address + new_length);
        return (int64_t)address;
    }
    if (!(flags & MREMAP_MAYMOVE)) {
        return -ENOMEM;
    }
    struct area old = node->area;
    old.offset += old.file || old.object ? address - old.start : 0;
    old.start = address;
    old.end = end;
    uint32_t map_flags = flags & MREMAP_FIXED ? MAP_FIXED : 0;
    return old.object ? move_shared(old, target, new_length, map_flags, keeps)
                      : move_private(old, target, new_length, map_flags, keeps);
}

int64_t memory_remap(user_address address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                     user_address target)
{
    if (old_length > APPLICATION_END || new_length > APPLICATION_END || new_length == 0) {
        return -EINVAL;
    }
    old_length = PAGE_UP(old_length);
    new_length = PAGE_UP(new_length);
    if (!range_is_good(address, old_length ? old_length : PAGE_SIZE)) {
        return address % PAGE_SIZE ? -EINVAL : -EFAULT;
    }
    if ((flags & MREMAP_DONTUNMAP) && (!(flags & MREMAP_MAYMOVE) || old_length != new_length)) {
        return -EINVAL;
    }
    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
        bool overlaps = target < address + old_length && address < target + new_length;
        bool is_good = flags & MREMAP_FIXED ? range_is_good(target, new_length) : target % PAGE_SIZE == 0;
        if (!(flags & MREMAP_MAYMOVE) || !is_good || overlaps) {
            return -EINVAL;
        }
    }
    lock_space();
    int64_t result = -ENOMEM;
    if (reserve_nodes()) {
        result = remap_locked(address, old_length, new_length, flags, target);
    }
    unlock_memory();
    return result;
}
