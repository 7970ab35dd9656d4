/* Mapping and unmapping: what mmap, munmap, msync and MADV_DONTNEED do. */
#include "memory/space.h"

#define EAGER_MAX 0x10000ULL /* an anonymous mapping up to this size gets its pages at once */

struct file_upcalls file_upcalls;

/* A shared mapping of a file reaches the file when it is synchronised or unmapped; there is no page cache to
 * share. */
static int64_t write_back(const struct area *area, user_address start, user_address end)
{
    if (!area->file || !(area->flags & MAP_SHARED) || !(area->protection & PROT_WRITE)) {
        return 0;
    }
    struct file_facts facts;
    file_upcalls.describe(area->file, &facts);
    for (user_address next; start < end; start = next) {
        bool committed;
        next = commit_run(start, end, &committed);
        uint64_t offset = area->offset + (start - area->start);
        if (!committed || offset >= facts.size) {
            continue;
        }
        uint64_t length = next - start < facts.size - offset ? next - start : facts.size - offset;
        int64_t result = file_upcalls.write_at(area->file, (const void *)start, length, offset);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

void unmap_locked(struct space *space, user_address start, user_address end)
{
    for (struct area_node *node; (node = area_from(&areas, start)) && node->area.start < end;) {
        if (node->area.space != space) {
            start = node->area.end;
            continue;
        }
        if (node->area.start < start) {
            split_at(start);
            continue;
        }
        if (node->area.end > end) {
            split_at(end);
        }
        int64_t error = write_back(&node->area, node->area.start, node->area.end);
        if (error) {
            log_line(LOG_WARNING, "a shared mapping was not written back: errno %d", (int)-error);
        }
        area_remove(&areas, node);
        note_gap(node->area.end);
        commit_remove(node->area.start, node->area.end);
        space->mapped_pages -= (node->area.end - node->area.start) / PAGE_SIZE;
        drop_node(node);
    }
}

/*
 * Pages of a file are read when it is mapped: a page that another thread could see between EACCEPT and the
 * end of the read would show zeros. Pages behind the end of the file are left out (SIGBUS).
 */
static int64_t fill_from_file(const struct area *area)
{
    struct file_facts facts;
    file_upcalls.describe(area->file, &facts);
    if (area->offset >= facts.size) {
        return 0;
    }
    uint64_t length = area->end - area->start;
    uint64_t bytes = facts.size - area->offset < length ? facts.size - area->offset : length;
    user_address end = area->start + PAGE_UP(bytes);
    if (commit_add(area->start, end)) {
        return -ENOMEM;
    }
    int64_t got = file_upcalls.read_at(area->file, (void *)area->start, bytes, area->offset);
    if (got < 0) {
        return got;
    }
    if (area->protection & PROT_EXEC) {
        patch_text(area->space, area->start, bytes);
    }
    commit_protect(area->start, end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static int64_t populate(const struct area *area, bool eager)
{
    if (area->file) {
        return fill_from_file(area);
    }
    if (!eager || !(area->protection & ACCESS_MASK)) {
        return 0;
    }
    if (commit_add(area->start, area->end)) {
        return -ENOMEM;
    }
    commit_protect(area->start, area->end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

/* Where the new area goes, or 0. */
static user_address place(user_address hint, uint64_t length)
{
    hint = PAGE_DOWN(hint);
    if (hint && range_is_good(hint, length) && area_is_free(&areas, hint, hint + length)) {
        return hint;
    }
    return find_gap(length);
}

int64_t map_locked(struct area area, uint64_t length, uint32_t flags)
{
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (!reserve_nodes()) {
        return -ENOMEM;
    }
    if (!fixed) {
        area.start = place(area.start, length);
        if (!area.start) {
            return -ENOMEM;
        }
    }
    area.end = area.start + length;
    if ((flags & MAP_FIXED_NOREPLACE) && !area_is_free(&areas, area.start, area.end)) {
        return -EEXIST;
    }
    if (fixed && is_foreign(area.space, area.start, area.end)) {
        return -ENOMEM;
    }
    if (fixed) {
        unmap_locked(area.space, area.start, area.end);
    }
    struct area_node *node = take_node();
    node->area = area;
    if (area.file) {
        file_upcalls.get(area.file);
    }
    area_insert(&areas, node);
    area.space->mapped_pages += length / PAGE_SIZE;
    bool eager = (flags & MAP_POPULATE) ||
                 (length <= EAGER_MAX && !(flags & (MAP_NORESERVE | MAP_STACK | MAP_GROWSDOWN)));
    int64_t error = populate(&area, eager);
    if (error) {
        node->area.flags &= ~(uint32_t)MAP_SHARED; /* nothing of it goes back to the file */
        unmap_locked(area.space, area.start, area.end);
        return error;
    }
    join_around(area.start, area.end);
    return (int64_t)area.start;
}

int64_t memory_map(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                   struct file *file, uint64_t offset)
{
    if (length == 0 || length > APPLICATION_END) {
        return length ? -ENOMEM : -EINVAL;
    }
    length = PAGE_UP(length);
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && !range_is_good(address, length)) {
        return address % PAGE_SIZE ? -EINVAL : -ENOMEM;
    }
    uint64_t committed, limit;
    pages_count(&committed, &limit);
    if ((protection & PROT_WRITE) && !(flags & MAP_NORESERVE) && length / PAGE_SIZE > limit) {
        return -ENOMEM; /* as Linux's heuristic overcommit refuses what can never be there */
    }
    struct area area = {
        .space = current_space(),
        .start = address,
        .protection = protection & ACCESS_MASK,
        .flags = flags & (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN),
        .file = file,
        .offset = file ? offset : 0,
    };
    mutex_lock(&memory_lock);
    bool replaces = (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
    bool fits = is_within_limits(area.space, length, is_data(area.protection, area.flags), area.start,
                                 replaces ? area.start + length : area.start);
    int64_t result = fits ? map_locked(area, length, flags) : -ENOMEM;
    mutex_unlock(&memory_lock);
    return result;
}

/* An area would have to be split here. */
static bool lies_within(user_address at)
{
    const struct area_node *node = area_find(&areas, at);
    return node && node->area.start < at;
}

int64_t memory_unmap(user_address address, uint64_t length)
{
    if (length > APPLICATION_END || !range_is_good(address, PAGE_UP(length))) {
        return -EINVAL;
    }
    mutex_lock(&memory_lock);
    user_address end = address + PAGE_UP(length);
    bool ready = reserve_nodes() || (!lies_within(address) && !lies_within(end)); /* no split, no node */
    if (ready) {
        unmap_locked(current_space(), address, end);
    }
    mutex_unlock(&memory_lock);
    return ready ? 0 : -ENOMEM;
}

/* Drop the content of private anonymous pages; they come back as zeros. */
int64_t memory_discard(user_address start, user_address end)
{
    int64_t result = 0;
    mutex_lock(&memory_lock);
    for (user_address at = start; at < end;) {
        struct area_node *node = area_from(&areas, at);
        if (!node || node->area.start >= end) {
            result = -ENOMEM;
            break;
        }
        if (node->area.space != current_space()) {
            result = -ENOMEM;
            at = node->area.end;
            continue;
        }
        if (node->area.start > at) {
            result = -ENOMEM; /* reported, but the rest is done (madvise(2)) */
            at = node->area.start;
        }
        user_address last = node->area.end < end ? node->area.end : end;
        if (!node->area.file && !(node->area.flags & MAP_SHARED)) {
            commit_remove(at, last);
        }
        at = last;
    }
    mutex_unlock(&memory_lock);
    return result;
}

int64_t memory_synchronise(user_address start, user_address end)
{
    int64_t result = 0;
    mutex_lock(&memory_lock);
    for (user_address at = start; at < end && !result;) {
        struct area_node *node = find_own(current_space(), at);
        if (!node) {
            result = -ENOMEM;
            break;
        }
        user_address last = node->area.end < end ? node->area.end : end;
        result = write_back(&node->area, at, last);
        at = last;
    }
    mutex_unlock(&memory_lock);
    return result;
}
