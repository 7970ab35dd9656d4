/* madvise(2): what is advice changes nothing, the rest is done or refused as Linux does (mm/madvise.c of 6.1). */
#include "memory/loaded.h"
#include "memory/object.h"
#include "memory/turns.h"

enum advice {
    MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3, MADV_DONTNEED = 4, MADV_FREE = 8,
    MADV_REMOVE = 9, MADV_DONTFORK = 10, MADV_DOFORK = 11, MADV_MERGEABLE = 12, MADV_UNMERGEABLE = 13,
    MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15, MADV_DONTDUMP = 16, MADV_DODUMP = 17, MADV_WIPEONFORK = 18,
    MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21, MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23,
    MADV_DONTNEED_LOCKED = 24, MADV_COLLAPSE = 25,
};

/* Private pages come back as zeros, or as the file has them; those of an object stay. */
static int64_t discard(const struct area *area)
{
    if (area->object) {
        return 0;
    }
    loaded_settle(area->space, area->start, area->end);
    versions_drop(area->space, area->start, area->end, area->protection);
    if (area->file && !(area->flags & MAP_ON_TOUCH) && fill_from_file(area)) {
        commit_remove(area->start, area->end); /* SIGBUS tells that it cannot be read */
    }
    return 0;
}

static bool discards(enum advice advice)
{
    return advice == MADV_FREE || advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_REMOVE ||
           advice == MADV_DONTFORK || advice == MADV_WIPEONFORK;
}

/* can_madvise_modify() of Linux: who cannot store to sealed memory shall not empty it either; what is a file's, the file has. */
static bool seal_forbids(const struct area *area, enum advice advice)
{
    bool is_anonymous = !area->file && !area->object;
    return (area->flags & MAP_SEALED) && discards(advice) && is_anonymous && !(area->protection & PROT_WRITE);
}

/* `area` is the part of an area that the advice is about; `node` is that area, which is no larger where its flags change. */
static int64_t advise_area(struct area_node *node, const struct area *area, enum advice advice)
{
    bool is_locked = area->flags & MAP_LOCKED;
    switch (advice) {
    case MADV_DONTNEED:
        return is_locked ? -EINVAL : discard(area);
    case MADV_DONTNEED_LOCKED:
        return discard(area);
    case MADV_FREE: /* the content may stay */
        return is_locked || area->file || area->object ? -EINVAL : 0;
    case MADV_COLD:
    case MADV_PAGEOUT:
        return is_locked ? -EINVAL : 0;
    case MADV_COLLAPSE: /* there are no huge pages: this is an order, MADV_HUGEPAGE is a wish */
        return -EINVAL;
    case MADV_WIPEONFORK:
        if (area->file || area->object) {
            return -EINVAL;
        }
        node->area.flags |= MAP_WIPED_BY_FORK;
        return 0;
    case MADV_KEEPONFORK:
        node->area.flags &= ~(uint32_t)MAP_WIPED_BY_FORK;
        return 0;
    case MADV_DONTFORK:
        node->area.flags |= MAP_NOT_FORKED;
        return 0;
    case MADV_DOFORK:
        node->area.flags &= ~(uint32_t)MAP_NOT_FORKED;
        return 0;
    default:
        return 0;
    }
}

/* madvise_remove() of Linux. Gives up the lock meanwhile. */
static int64_t punch(const struct area *area)
{
    if ((area->flags & MAP_LOCKED) || (!area->file && !area->object)) {
        return -EINVAL;
    }
    if (!area->object || (area->flags & MAP_NEVER_WRITABLE)) {
        return -EACCES;
    }
    if (!area->file) {
        object_lock_whole(area->object);
        object_drop(area->object, page_in_object(area, area->start), page_in_object(area, area->end));
        object_unlock(area->object);
        return 0;
    }
    if (file_upcalls.check_mapping(area->file, PROT_WRITE, (int)area->flags)) {
        return -EACCES;
    }
    struct file *file = area->file;
    file_upcalls.get(file);
    unlock_memory();
    int64_t result = file_upcalls.punch_hole(file, area->offset, area->end - area->start);
    file_upcalls.put(file);
    lock_space();
    return result;
}

static struct area part_of(const struct area *area, user_address start, user_address end)
{
    struct area part = *area;
    if (start > part.start) {
        part.offset += part.file || part.object ? start - part.start : 0;
        part.start = start;
    }
    part.end = end < part.end ? end : part.end;
    return part;
}

static bool changes_flags(enum advice advice)
{
    return advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK || advice == MADV_DONTFORK || advice == MADV_DOFORK;
}

/* madvise_walk_vmas() of Linux: a gap is told when all is done, an error ends it. */
static int64_t advise_locked(user_address start, user_address end, enum advice advice)
{
    int64_t result = 0, gap = 0;
    if (changes_flags(advice)) {
        if (!reserve_nodes()) {
            return -ENOMEM;
        }
        split_at(start);
        split_at(end);
    }
    for (user_address at = start; at < end && !result;) {
        struct area_node *node = area_from(&areas, at);
        if (!node || node->area.start >= end) {
            return -ENOMEM;
        }
        if (node->area.space != current_space()) {
            gap = -ENOMEM;
            at = node->area.end;
            continue;
        }
        gap = node->area.start > at ? -ENOMEM : gap;
        struct area part = part_of(&node->area, at, end);
        at = part.end;
        if (seal_forbids(&part, advice)) {
            result = -EPERM;
        } else {
            result = advice == MADV_REMOVE ? punch(&part) : advise_area(node, &part, advice);
        }
    }
    if (changes_flags(advice)) {
        join_around(start, end);
    }
    return result ? result : gap;
}

/* madvise_populate() of Linux: what may not be accessed so is EINVAL, what has no page EFAULT. */
static int64_t populate(user_address start, user_address end, enum fault_access access)
{
    int64_t error = memory_touch(start, end, access);
    switch (error) {
    case -EFAULT:
        return -ENOMEM;
    case -EACCES:
        return -EINVAL;
    case -EIO:
        return -EFAULT;
    default:
        return error;
    }
}

int64_t memory_advise(user_address start, user_address end, uint32_t advice)
{
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
        return populate(start, end, advice == MADV_POPULATE_READ ? FAULT_READ : FAULT_WRITE);
    }
    lock_space();
    int64_t result = advise_locked(start, end, (enum advice)advice);
    unlock_memory();
    return result;
}

#define ADVICE_LAST MADV_COLLAPSE
/* All but the advice to merge pages, as kernels without CONFIG_KSM. */
#define ADVICE_KNOWN                                                                                            \
    ((0xFU | 1U << MADV_DONTNEED | ((1U << (ADVICE_LAST + 1)) - (1U << MADV_FREE))) & ~(1U << MADV_MERGEABLE) & \
     ~(1U << MADV_UNMERGEABLE))

int64_t sys_madvise(const struct arguments *arguments)
{
    user_address start = arguments->at[0];
    uint64_t length = arguments->at[1], advice = (uint32_t)arguments->at[2];
    if (advice > ADVICE_LAST || !(ADVICE_KNOWN >> advice & 1) || start % PAGE_SIZE || (length && !PAGE_UP(length)) ||
        start + PAGE_UP(length) < start) {
        return -EINVAL;
    }
    if (!length) {
        return 0;
    }
    return user_range_is_valid(start, PAGE_UP(length)) ? memory_advise(start, start + PAGE_UP(length), (uint32_t)advice) : -ENOMEM;
}
