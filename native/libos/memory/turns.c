/* Who is resident, and who waits for it. */
#include "memory/turns.h"

#include "memory/loaded.h"

#define SLICE_NS 10000000ULL /* a program that runs stays so long when others wait */
#define GRACE_MIN_NS 20000ULL /* an exchange that takes less is sooner done than a sleep that ends in time */
#define SLICE_COSTS 8U       /* or so many times what it took to bring it in: less than an eighth of the time goes into exchanges */

struct space_upcalls space_upcalls;

static struct turns *groups, *free_groups;

static bool is_closed(const struct space *space)
{
    return __atomic_load_n(&space->residence.is_closed, __ATOMIC_SEQ_CST);
}

static void set_closed(struct space *space, bool closed)
{
    __atomic_store_n(&space->residence.is_closed, closed, __ATOMIC_SEQ_CST);
}

static uint32_t count_active(const struct space *space)
{
    return __atomic_load_n(&space->residence.active, __ATOMIC_SEQ_CST);
}

/* The lists of a group. */

static struct turns *make_group(struct space *first)
{
    struct turns *turns = free_groups;
    if (turns) {
        free_groups = turns->next;
        *turns = (struct turns){0};
    } else if (!(turns = allocate(sizeof *turns))) {
        return NULL;
    }
    turns->members = turns->resident = first;
    turns->since = clock_now_ns(CLOCK_MONOTONIC);
    turns->slice = SLICE_NS;
    turns->next = groups;
    groups = turns;
    __atomic_store_n(&first->residence.turns, turns, __ATOMIC_SEQ_CST);
    return turns;
}

static void unlink_member(struct turns *turns, struct space *space)
{
    struct space **link = &turns->members;
    while (*link != space) {
        link = &(*link)->residence.next;
    }
    *link = space->residence.next;
    space->residence.next = NULL;
    __atomic_store_n(&space->residence.turns, NULL, __ATOMIC_SEQ_CST);
    set_closed(space, false);
}

/* The last one is alone again. */
static void dissolve(struct turns *turns)
{
    struct turns **link = &groups;
    while (*link != turns) {
        link = &(*link)->next;
    }
    *link = turns->next;
    turns->members->residence.is_whole = false;
    unlink_member(turns, turns->members);
    turns->next = free_groups;
    free_groups = turns;
}

static void queue(struct turns *turns, struct space *space)
{
    if (!space->residence.waits) {
        space->residence.waits = true;
        space->residence.next_waiting = NULL;
        __atomic_store_n(turns->waiting ? &turns->last_waiting->residence.next_waiting : &turns->waiting, space, __ATOMIC_SEQ_CST);
        turns->last_waiting = space;
    }
}

static void unqueue(struct turns *turns, struct space *space)
{
    struct space *previous = NULL, *at = turns->waiting;
    while (space->residence.waits && at != space) {
        previous = at;
        at = at->residence.next_waiting;
    }
    if (space->residence.waits) {
        __atomic_store_n(previous ? &previous->residence.next_waiting : &turns->waiting, space->residence.next_waiting, __ATOMIC_SEQ_CST);
        turns->last_waiting = turns->last_waiting == space ? previous : turns->last_waiting;
        space->residence.waits = false;
    }
}

/* Coming and going of residence. The one that leaves has no thread that could notice. */

static void bring(struct turns *turns, struct space *to, bool goes_for_good)
{
    uint64_t start = clock_now_ns(CLOCK_MONOTONIC);
    exchange_spaces(turns, turns->resident, to, goes_for_good);
    turns->resident = to;
    turns->since = clock_now_ns(CLOCK_MONOTONIC);
    turns->cost = turns->since - start;
    turns->slice = turns->cost * SLICE_COSTS > SLICE_NS ? turns->cost * SLICE_COSTS : SLICE_NS;
    turns->grace_end = 0;
    unqueue(turns, to);
    set_closed(to, false);
    wake_all(&to->waiting);
    if (turns->waiting) {
        wake_all(&turns->waiting->waiting); /* the next one counts the slice */
    }
}

/*
 * Who waits for a lock is back at once, as a rule: it keeps the turn for as long as an exchange takes, so that a lock costs no more than twice that, whoever has
 * it (Karlin and others, "Competitive Snoopy Caching", 1988). Whoever has it may wait for the turn himself.
 */
static uint64_t grace_left(struct turns *turns)
{
    const struct residence *resident = &turns->resident->residence;
    if (count_active(turns->resident) || turns->cost < GRACE_MIN_NS || !__atomic_load_n(&resident->returning, __ATOMIC_SEQ_CST)) {
        turns->grace_end = 0;
        return 0;
    }
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
    turns->grace_end = turns->grace_end ? turns->grace_end : now + turns->cost;
    return now < turns->grace_end ? turns->grace_end - now : 0;
}

/* No thread keeps it resident, and none comes back before the memory lock is given up. */
static bool close_if_quiet(struct space *space)
{
    bool was_closed = is_closed(space);
    if (count_active(space)) {
        return false;
    }
    set_closed(space, true);
    if (count_active(space)) {
        set_closed(space, was_closed);
        wake_all(&space->waiting);
        return false;
    }
    return true;
}

static bool is_granted(struct turns *turns, struct space *space)
{
    if (!turns || (turns->resident == space && !is_closed(space))) {
        return true;
    }
    if (turns->waiting != space || (turns->resident != space && (grace_left(turns) || !close_if_quiet(turns->resident)))) {
        return false;
    }
    if (turns->resident != space) {
        bring(turns, space, false);
    }
    return true;
}

/* The slice of the resident one is over: it is asked to make room. -> how long the first in the queue sleeps at most. */
static uint64_t look_at_slice(struct turns *turns, const struct space *space)
{
    if (turns->waiting != space || turns->resident == space) {
        return NO_TIMEOUT;
    }
    uint64_t grace = grace_left(turns);
    if (grace) {
        return grace;
    }
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC), end = turns->since + turns->slice;
    if (now < end) {
        return end - now;
    }
    set_closed(turns->resident, true);
    space_upcalls.attract(turns->resident);
    return turns->slice; /* then once more */
}

/* thread->away */
enum { AWAY = 1, AWAY_FOR_A_LOCK = 2 };

static void end_brief(struct space *space)
{
    struct thread *thread = current_thread();
    if (thread->away == AWAY_FOR_A_LOCK) {
        thread->away = AWAY;
        __atomic_sub_fetch(&space->residence.returning, 1, __ATOMIC_SEQ_CST);
    }
}

static void count_in(struct space *space)
{
    end_brief(space);
    current_thread()->away = 0;
    __atomic_add_fetch(&space->residence.active, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_turn(struct space *space)
{
    struct waiter waiter = {.task = current_task()};
    for (;;) {
        lock_memory();
        struct turns *turns = space->residence.turns;
        if (is_granted(turns, space)) {
            break;
        }
        queue(turns, space);
        uint64_t timeout = look_at_slice(turns, space);
        bool is_quiet = turns->waiting == space && !count_active(turns->resident) && !turns->grace_end;
        wait_queue_add(&space->waiting, &waiter);
        unlock_memory();
        if (!is_quiet) {
            task_sleep_deaf_for(timeout);
        }
        wait_queue_remove(&waiter);
    }
    struct turns *turns = space->residence.turns;
    if (turns) {
        unqueue(turns, space);
    }
    set_closed(space, false);
    count_in(space);
    wake_all(&space->waiting);
    if (turns && turns->waiting) {
        wake_all(&turns->waiting->waiting);
    }
    unlock_memory();
    task_keep_wake();
}

static void go_away(bool is_brief)
{
    struct thread *thread = current_thread();
    if (thread->away == AWAY_FOR_A_LOCK && !is_brief) {
        end_brief(current_space());
    }
    if (thread->away) {
        return;
    }
    struct space *space = current_space();
    thread->away = is_brief ? AWAY_FOR_A_LOCK : AWAY;
    if (is_brief) {
        __atomic_add_fetch(&space->residence.returning, 1, __ATOMIC_SEQ_CST);
    }
    if (__atomic_sub_fetch(&space->residence.active, 1, __ATOMIC_SEQ_CST)) {
        return;
    }
    struct turns *turns = __atomic_load_n(&space->residence.turns, __ATOMIC_SEQ_CST);
    struct space *next = turns ? __atomic_load_n(&turns->waiting, __ATOMIC_SEQ_CST) : NULL;
    if (next) {
        wake_all(&next->waiting);
    }
}

void space_go_away(void)
{
    go_away(false);
}

void space_yield(void)
{
    struct space *space = current_space();
    if (!__atomic_load_n(&space->residence.turns, __ATOMIC_SEQ_CST)) {
        return;
    }
    lock_memory();
    const struct turns *turns = space->residence.turns;
    if (turns && turns->resident == space && turns->waiting && turns->waiting != space) {
        set_closed(space, true);
    }
    unlock_memory();
    space_go_away();
}

void space_reach(void)
{
    if (!current_thread()->away || has_memory_lock()) {
        return;
    }
    struct space *space = current_space();
    count_in(space);
    if (is_closed(space)) {
        space_go_away();
        wait_for_turn(space);
    }
}

/* boundary_upcalls.take_turn */
static void take_turn(void)
{
    if (is_closed(current_space())) {
        space_go_away();
    }
    space_reach();
}

void space_enter(struct space *space)
{
    space_go_away();
    ((struct resident *)current_task())->space = space;
}

bool space_hand_over(struct space *copy)
{
    space_go_away();
    lock_memory();
    struct turns *turns = copy->residence.turns;
    bool done = turns && turns->resident == current_space() && !turns->waiting && close_if_quiet(turns->resident);
    if (done) {
        __atomic_add_fetch(&copy->residence.active, 1, __ATOMIC_SEQ_CST);
        bring(turns, copy, false);
    }
    unlock_memory();
    return done;
}

void space_take_back(struct space *copy)
{
    __atomic_sub_fetch(&copy->residence.active, 1, __ATOMIC_SEQ_CST);
}

int64_t turns_join(struct space *space, struct space *newcomer)
{
    struct turns *turns = space->residence.turns ? space->residence.turns : make_group(space);
    if (!turns) {
        return -ENOMEM;
    }
    loaded_settle(space, APPLICATION_START, APPLICATION_END);
    set_closed(newcomer, true);
    newcomer->residence.next = turns->members;
    turns->members = newcomer;
    __atomic_store_n(&newcomer->residence.turns, turns, __ATOMIC_SEQ_CST);
    return 0;
}

void turns_leave(struct space *space)
{
    struct turns *turns = space->residence.turns;
    unqueue(turns, space);
    if (turns->resident == space) {
        struct space *next = turns->waiting ? turns->waiting : turns->members != space ? turns->members : space->residence.next;
        bring(turns, next, true);
    }
    kept_clear(&space->residence.kept);
    unlink_member(turns, space);
    if (!turns->members->residence.next) {
        dissolve(turns);
    }
}

/* False: it is not the first one, and in another group. */
static bool is_compatible(struct space *found, struct space **neighbour)
{
    const struct space *first = *neighbour;
    if (!first) {
        *neighbour = found;
    }
    return !first || first == found || (first->residence.turns && first->residence.turns == found->residence.turns);
}

int64_t turns_find_neighbour(const struct space *space, user_address start, user_address end, struct space **neighbour)
{
    bool good = true;
    *neighbour = NULL;
    for (const struct area_node *node = area_from(&areas, start); node && node->area.start < end && good; node = area_from(&areas, node->area.end)) {
        const struct space *found = node->area.space;
        user_address last = node->area.end < end ? node->area.end : end;
        bool stays = found->residence.turns && last > turns_end(found); /* it would be in the way when it is not resident */
        good = found == space || (!stays && is_compatible(node->area.space, neighbour));
    }
    for (const struct turns *turns = groups; turns && good; turns = turns->next) {
        for (struct space *member = turns->members; member && good; member = member->residence.next) {
            const struct area_node *node = member == turns->resident || member == space ? NULL : area_from(&member->residence.areas, start);
            good = !node || node->area.start >= end || is_compatible(member, neighbour);
        }
    }
    return good ? 0 : -ENOMEM;
}

const struct area_node *turns_find_absent(const struct space *space, user_address start, user_address end)
{
    for (const struct turns *turns = groups; turns; turns = turns->next) {
        user_address from = turns == space->residence.turns && start < turns_end(space) ? turns_end(space) : start;
        for (const struct space *member = from < end ? turns->members : NULL; member; member = member->residence.next) {
            const struct area_node *node = member == turns->resident || member == space ? NULL : area_from(&member->residence.areas, from);
            if (node && node->area.start < end) {
                return node;
            }
        }
    }
    return NULL;
}

const struct area_tree *turns_absent_tree(uint32_t nth)
{
    for (const struct turns *turns = groups; turns; turns = turns->next) {
        for (const struct space *member = turns->members; member; member = member->residence.next) {
            if (member != turns->resident && nth-- == 0) {
                return &member->residence.areas;
            }
        }
    }
    return NULL;
}

void turns_start(void)
{
    base_upcalls.reach_application = space_reach;
    boundary_upcalls.take_turn = take_turn;
    wait_upcalls.falls_asleep = go_away;
}
