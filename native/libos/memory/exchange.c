/*
 * The exchange: one program of a group comes in place of another. Only what differs is touched. Runs of pages of the same kind go together, so that what has to
 * be asked of the host is asked once. No more pages are needed afterwards than before, so it cannot fail for want of memory.
 */
#include "memory/turns.h"

#include "memory/object.h"

struct change {
    const struct turns *turns;
    struct space *from, *to;
    bool goes_for_good; /* nothing of `from` is kept for itself */
};

#define EACH_THIRD(third, exchange)                                                                                    \
    for (struct space * (third) = (exchange)->turns->members; (third); (third) = (third)->residence.next)              \
        if ((third) != (exchange)->from && (third) != (exchange)->to)

/* What `to` has for a page, and what is in place. */
enum kind {
    SWAPPED, /* each has a page */
    LEAVING, /* `to` has none */
    COMING,  /* `from` has none */
    NOWHERE, /* nor has any */
};

/*
 * A page of an object that both see there stays: it is neither's. So does one of a program outside of the group: a word that says that `to` has nothing
 * there outlives the page that it was made for, and the place may be anybody's since; and what nobody takes turns for.
 */
static bool is_in_place(const struct space *from, user_address page)
{
    const struct area_node *node = page < turns_end(from) && commit_test(page) ? find_own(from, page) : NULL;
    return node && !node->area.object;
}

static enum kind kind_of(const struct space *from, uint64_t word, user_address page)
{
    return kept_page_of(word) ? (is_in_place(from, page) ? SWAPPED : COMING) : is_in_place(from, page) ? LEAVING : NOWHERE;
}

static void set_word(struct space *space, user_address page, uint64_t value)
{
    uint64_t *word = kept_make_word(&space->residence.kept, page);
    if (!word) {
        fatal("out of enclave memory while processes take turns");
    }
    *word = value;
}

static uint32_t count_holders(const struct change *exchange, user_address page)
{
    uint32_t holders = !exchange->goes_for_good;
    EACH_THIRD (third, exchange) {
        holders += !kept_word(&third->residence.kept, page);
    }
    return holders;
}

/* Third ones that had what was in place have `replaced` from now on, unless that is 0; those that had the same kept page as `to` have what is in place -> whether there are any. */
static bool follow(const struct change *exchange, user_address page, const struct kept_page *kept, uint64_t replaced)
{
    bool follows = false;
    EACH_THIRD (third, exchange) {
        uint64_t word = kept_word(&third->residence.kept, page);
        if (!word && replaced) {
            set_word(third, page, replaced);
        } else if (kept && kept_page_of(word) == kept) {
            set_word(third, page, 0);
            follows = true;
        }
    }
    return follows;
}

static void set_frozen(user_address page, bool is_shared)
{
    if (!commit_set_frozen(page, is_shared)) {
        fatal("out of enclave memory while processes take turns");
    }
}

static void drop_kept(struct kept_page *kept)
{
    kept->owners = 1;
    kept_let_go(kept);
}

static void swap_bytes(user_address in_place, uint8_t *kept)
{
    uint64_t *first = (uint64_t *)in_place, *second = (uint64_t *)kept;
    for (size_t at = 0; at < PAGE_SIZE / sizeof *first; at++) {
        uint64_t word = first[at];
        first[at] = second[at];
        second[at] = word;
    }
}

static bool is_same(user_address in_place, const uint8_t *kept)
{
    const uint64_t *first = (const uint64_t *)in_place, *second = (const uint64_t *)kept;
    size_t at = 0;
    while (at < PAGE_SIZE / sizeof *first && first[at] == second[at]) {
        at++;
    }
    return at == PAGE_SIZE / sizeof *first;
}

/* These four give the word that `from` has for the page afterwards. */

/* Both have the same: it becomes one page, as after a fork. */
static uint64_t join(const struct change *exchange, user_address page, struct kept_page *kept)
{
    bool is_shared = count_holders(exchange, page) > 0;
    is_shared |= follow(exchange, page, kept, 0);
    set_frozen(page, is_shared);
    drop_kept(kept);
    return 0;
}

static uint64_t swap(const struct change *exchange, user_address page, struct kept_page *kept)
{
    uint32_t holders = count_holders(exchange, page);
    set_frozen(page, follow(exchange, page, kept, (uint64_t)kept));
    if (!holders) {
        memcpy((void *)page, kept->bytes, PAGE_SIZE);
        drop_kept(kept);
        return 0;
    }
    swap_bytes(page, kept->bytes);
    kept->owners = holders;
    return (uint64_t)kept;
}

static uint64_t leave(const struct change *exchange, user_address page)
{
    uint32_t holders = count_holders(exchange, page);
    if (!holders) {
        return 0;
    }
    struct kept_page *copy = kept_make_page((const void *)page);
    if (!copy) {
        fatal("out of enclave memory while processes take turns");
    }
    copy->owners = holders;
    follow(exchange, page, NULL, (uint64_t)copy);
    return (uint64_t)copy;
}

static uint64_t come(const struct change *exchange, user_address page, struct kept_page *kept)
{
    memcpy((void *)page, kept->bytes, PAGE_SIZE);
    set_frozen(page, follow(exchange, page, kept, KEPT_NOTHING));
    drop_kept(kept);
    return KEPT_NOTHING;
}

struct run {
    enum kind kind;
    user_address start, end;
    uint32_t protection; /* of the area that has the pages */
};

static uint64_t *word_at(const struct change *exchange, user_address page)
{
    user_address found = page;
    uint64_t *word = kept_next(&exchange->to->residence.kept, &found);
    return found == page ? word : NULL;
}

/* Whose rights the page has, after change_protection(). */
static const struct area_node *area_of(const struct change *exchange, user_address page)
{
    const struct area_node *node = area_find(&exchange->to->residence.areas, page);
    return node && !node->area.object ? node : area_find(&areas, page);
}

/* From the first page on that `to` has a word for; false: there is none. */
static bool find_run(const struct change *exchange, user_address from, struct run *run)
{
    user_address page = from;
    const uint64_t *word = kept_next(&exchange->to->residence.kept, &page);
    if (!word) {
        return false;
    }
    const struct area_node *node = area_of(exchange, page);
    *run = (struct run){.kind = kind_of(exchange->from, *word, page), .start = page, .end = page + PAGE_SIZE,
                        .protection = node ? node->area.protection : PROT_NONE};
    while ((word = word_at(exchange, run->end)) && kind_of(exchange->from, *word, run->end) == run->kind && area_of(exchange, run->end) == node) {
        run->end += PAGE_SIZE;
    }
    return true;
}

static void exchange_run(const struct change *exchange, const struct run *run)
{
    int64_t pages = (int64_t)((run->end - run->start) / PAGE_SIZE);
    pages_lend(pages + WORDS_RESERVE); /* what moves is there twice for a moment */
    if (run->kind == COMING && commit_add(run->start, run->end)) {
        fatal("out of enclave memory while processes take turns");
    }
    if (run->kind == SWAPPED || (run->kind == LEAVING && !(run->protection & ACCESS_MASK))) {
        commit_open(run->start, run->end, run->protection);
    }
    for (user_address page = run->start; page < run->end; page += PAGE_SIZE) {
        uint64_t *word = word_at(exchange, page);
        struct kept_page *kept = kept_page_of(*word);
        /* Texts of programs that are linked for one address. What can be stored to would only have to be parted again. */
        bool is_joined = run->kind == SWAPPED && !(run->protection & PROT_WRITE) && is_same(page, kept->bytes);
        uint64_t left = is_joined              ? join(exchange, page, kept)
                        : run->kind == SWAPPED ? swap(exchange, page, kept)
                        : run->kind == LEAVING ? leave(exchange, page)
                        : run->kind == COMING  ? come(exchange, page, kept)
                                               : 0;
        *word = exchange->goes_for_good ? 0 : left;
    }
    if (run->kind == COMING) {
        commit_protect_new(run->start, run->end, run->protection);
    } else if (run->kind == SWAPPED) {
        commit_close(run->start, run->end, run->protection);
    } else if (run->kind == LEAVING) {
        commit_remove(run->start, run->end);
    }
    pages_lend(-pages - WORDS_RESERVE);
}

/* `to` sees the same pages of the object at the same addresses: they stay. */
static bool has_same_view(const struct change *exchange, const struct area *area)
{
    const struct area_node *node = area_find(&exchange->to->residence.areas, area->start);
    return node && node->area.object == area->object && node->area.end >= area->end && node->area.protection == area->protection &&
           node->area.offset + (area->start - node->area.start) == area->offset;
}

/* The first one from there on that has to make room. */
static struct area_node *first_area(const struct space *from, user_address at)
{
    struct area_node *node = area_from(&areas, at);
    while (node && node->area.space != from) {
        node = area_from(&areas, node->area.end);
    }
    return node && node->area.start < turns_end(from) ? node : NULL;
}

/* Pages of objects go home, but for those that stay where they are. */
static void leave_views(const struct change *exchange)
{
    for (const struct area_node *node = first_area(exchange->from, 0); node; node = first_area(exchange->from, node->area.end)) {
        const struct area *area = &node->area;
        if (area->object && !has_same_view(exchange, area)) {
            mutex_lock(&area->object->lock);
            holder_vacate(area, area->start, area->end);
            mutex_unlock(&area->object->lock);
        }
    }
}

/* Pages that both have get the rights that `to` gives them. */
static void change_protection(const struct change *exchange)
{
    for (const struct area_node *node = first_area(exchange->from, 0); node; node = first_area(exchange->from, node->area.end)) {
        const struct area *old = &node->area;
        if (old->object) {
            continue;
        }
        const struct area_node *other = area_from(&exchange->to->residence.areas, old->start);
        for (; other && other->area.start < old->end; other = area_from(&exchange->to->residence.areas, other->area.end)) {
            const struct area *new = &other->area;
            if (!new->object && new->protection != old->protection) {
                commit_protect(new->start > old->start ? new->start : old->start, new->end < old->end ? new->end : old->end,
                               old->protection, new->protection);
            }
        }
    }
}

static void move_areas(const struct change *exchange)
{
    struct area_tree *own = &exchange->from->residence.areas, *other = &exchange->to->residence.areas;
    for (struct area_node *node; (node = first_area(exchange->from, 0));) {
        area_remove(&areas, node);
        area_insert(own, node);
    }
    for (struct area_node *node; (node = area_from(other, 0));) {
        area_remove(other, node);
        area_insert(&areas, node);
    }
}

/* An area of which only the lower part makes room becomes two. */
static void part_at_end(const struct space *from)
{
    const struct area_node *node = find_own(from, turns_end(from));
    if (node && node->area.start < turns_end(from)) {
        if (!reserve_nodes()) {
            fatal("out of enclave memory while processes take turns");
        }
        split_at(turns_end(from));
    }
}

void exchange_spaces(const struct turns *turns, struct space *from, struct space *to, bool goes_for_good)
{
    const struct change exchange = {turns, from, to, goes_for_good};
    struct run run = {0};
    part_at_end(from);
    leave_views(&exchange);
    change_protection(&exchange);
    while (find_run(&exchange, run.end, &run)) {
        exchange_run(&exchange, &run);
    }
    from->residence.kept = to->residence.kept; /* it has words for the same pages */
    to->residence.kept = (struct kept_index){0};
    if (goes_for_good) {
        kept_clear(&from->residence.kept);
    }
    move_areas(&exchange);
    forget_gaps();
}
