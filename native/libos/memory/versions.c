/*
 * Pages that several programs of a group have in common, or each for itself. What is in place belongs to the resident one, and to all others that have no word
 * for the page. It is frozen as long as that may be so: the first store gives the others a copy of their own.
 */
#include "memory/turns.h"

#define THAW_AROUND 0x4000ULL      /* aligned block that one store thaws: who stores to a page stores to its neighbours, and a copy costs less than a fault */
#define THAW_ALONE_AROUND 0x10000ULL /* where nothing has to be copied */

#define EACH_OTHER(other, space)                                                                                       \
    for (struct space * (other) = (space)->residence.turns ? (space)->residence.turns->members : NULL; (other);        \
         (other) = (other)->residence.next)                                                                            \
        if ((other) != (space))

/* Whoever has no word for a missing page has nothing there, and must not take for its own what comes. */
static bool note_nothing(const struct space *space, user_address start, user_address end)
{
    end = end < turns_end(space) ? end : turns_end(space);
    EACH_OTHER (other, space) {
        for (user_address page = start; page < end; page += PAGE_SIZE) {
            if (commit_test(page)) {
                continue;
            }
            uint64_t *word = kept_make_word(&other->residence.kept, page);
            if (!word) {
                return false;
            }
            *word = *word ? *word : KEPT_NOTHING;
        }
    }
    return true;
}

int versions_add(const struct space *space, user_address start, user_address end)
{
    return note_nothing(space, start, end) ? commit_add(start, end) : -ENOMEM;
}

int versions_add_pending(const struct space *space, user_address start, user_address end)
{
    return note_nothing(space, start, end) ? commit_add_pending(start, end) : -ENOMEM;
}

static uint32_t count_sharers(const struct space *space, user_address page)
{
    uint32_t sharers = 0;
    if (page >= turns_end(space)) {
        return 0;
    }
    EACH_OTHER (other, space) {
        sharers += !kept_word(&other->residence.kept, page);
    }
    return sharers;
}

/* Whoever shares the page gets a copy. 0 or -ENOMEM: nothing has changed. */
static int64_t give_to_sharers(const struct space *space, user_address page)
{
    uint32_t sharers = count_sharers(space, page);
    if (!sharers) {
        return 0;
    }
    EACH_OTHER (other, space) {
        if (!kept_make_word(&other->residence.kept, page)) {
            return -ENOMEM;
        }
    }
    struct kept_page *copy = kept_make_page((const void *)page);
    if (!copy) {
        return -ENOMEM;
    }
    copy->owners = sharers;
    EACH_OTHER (other, space) {
        uint64_t *word = kept_make_word(&other->residence.kept, page);
        *word = *word ? *word : (uint64_t)copy;
    }
    return 0;
}

static user_address block_end(const struct area *area, user_address start, uint64_t size)
{
    user_address end = (start & ~(size - 1)) + size;
    return end < area->end ? end : area->end;
}

static user_address block_start(const struct area *area, user_address page, uint64_t size)
{
    user_address start = page & ~(size - 1);
    return start > area->start ? start : area->start;
}

int64_t versions_thaw(const struct area *area, user_address page)
{
    const struct space *space = area->space;
    int64_t error = give_to_sharers(space, page);
    if (error) {
        return error;
    }
    uint64_t size = space->residence.turns ? THAW_AROUND : THAW_ALONE_AROUND;
    user_address start = page, end = page + PAGE_SIZE;
    while (start > block_start(area, page, size) && commit_is_frozen(start - PAGE_SIZE) && !give_to_sharers(space, start - PAGE_SIZE)) {
        start -= PAGE_SIZE;
    }
    while (end < block_end(area, page, size) && commit_is_frozen(end) && !give_to_sharers(space, end)) {
        end += PAGE_SIZE;
    }
    commit_thaw(start, end, area->protection);
    return 0;
}

void versions_drop(const struct space *space, user_address start, user_address end, uint32_t protection)
{
    bool committed, is_readable = protection & ACCESS_MASK;
    for (user_address at = start, next; space->residence.turns && at < end; at = next) {
        next = commit_run(at, end, &committed);
        for (; committed && at < next; at += PAGE_SIZE) {
            if (!commit_is_frozen(at) || !count_sharers(space, at)) {
                continue;
            }
            if (!is_readable) { /* it goes away anyway */
                commit_open(at, at + PAGE_SIZE, protection);
            }
            pages_lend(WORDS_RESERVE); /* it is there twice for a moment */
            int64_t error = give_to_sharers(space, at);
            pages_lend(-WORDS_RESERVE);
            if (error) {
                fatal("out of enclave memory while memory of several processes is given back");
            }
        }
    }
    commit_remove(start, end);
}

/* What the child does not get, or gets as zeros (madvise(2)), differs from what is in place. */
static int64_t leave_out(struct space *space, user_address start, user_address end)
{
    bool committed;
    for (user_address at = start, next; at < end; at = next) {
        next = commit_run(at, end, &committed);
        for (; committed && at < next; at += PAGE_SIZE) {
            uint64_t *word = kept_make_word(&space->residence.kept, at);
            if (!word) {
                return -ENOMEM;
            }
            *word = *word ? *word : KEPT_NOTHING;
        }
    }
    return 0;
}

/* The same for what another one, which is resident, has of its own in the range. */
static int64_t leave_out_between(struct space *space, const struct space *resident, user_address start, user_address end)
{
    int64_t error = 0;
    for (const struct area_node *node = area_from(&areas, start); node && node->area.start < end && !error; node = area_from(&areas, node->area.end)) {
        const struct area *area = &node->area;
        bool is_private = area->space == resident && !area->object;
        error = is_private ? leave_out(space, area->start > start ? area->start : start, area->end < end ? area->end : end) : 0;
    }
    return error;
}

int64_t versions_leave_out_all(struct space *newcomer)
{
    const struct space *resident = newcomer->residence.turns->resident;
    return leave_out_between(newcomer, resident, APPLICATION_START, turns_end(resident));
}

int64_t versions_widen(struct space *space)
{
    int64_t error = 0;
    EACH_OTHER (other, space) {
        error = error ? error : leave_out_between(other, space, turns_end(space), APPLICATION_END); /* it is not theirs */
    }
    space->residence.is_whole |= !error;
    return error;
}

static int64_t fork_area(const struct area *area, struct space *newcomer)
{
    int64_t error = area->object ? 0
                    : area->flags & (MAP_NOT_FORKED | MAP_WIPED_BY_FORK) ? leave_out(newcomer, area->start, area->end)
                                                                 : commit_freeze(area->start, area->end, area->protection);
    if (error || (area->flags & MAP_NOT_FORKED)) {
        return error;
    }
    if (!reserve_nodes()) {
        return -ENOMEM;
    }
    struct area_node *node = take_node();
    node->area = *area;
    node->area.space = newcomer;
    node->area.flags &= ~(uint32_t)(MAP_LOCKED | MAP_LOCKED_ON_FAULT); /* mlock(2): not inherited */
    area_hold(&node->area);
    area_insert(&newcomer->residence.areas, node);
    newcomer->mapped_pages += (area->end - area->start) / PAGE_SIZE;
    return 0;
}

int64_t versions_fork(const struct space *space, struct space *newcomer)
{
    int64_t error = 0;
    newcomer->residence.is_whole = true;
    for (struct area_node *node = area_from(&areas, 0); node && !error; node = area_from(&areas, node->area.end)) {
        error = node->area.space == space ? fork_area(&node->area, newcomer) : 0;
    }
    return error;
}
