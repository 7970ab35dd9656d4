/*
 * Turns at one range of addresses, between the files of the memory room (docs/processes.md, "fork"). Spaces that overlap form a group, of which one is
 * resident: its areas are in the tree of all, its pages in place. Which one is changes under the memory lock, while no thread runs in the one that
 * leaves or touches its memory. So who holds the memory lock and has seen that a space is resident may go on with it.
 */
#ifndef ENCLAVIZE_MEMORY_TURNS_H
#define ENCLAVIZE_MEMORY_TURNS_H

#include "memory/space.h"

/* Groups are recycled, as spaces are. */
struct turns {
    struct turns *next;      /* all groups, or all that are free */
    struct space *members;   /* linked by residence.next */
    struct space *resident;
    struct space *waiting, *last_waiting; /* for a turn, in order; `waiting` is atomic */
    uint64_t since, slice;   /* ns of the monotonic clock: when the resident one came, and how long it may stay when others wait */
    uint64_t cost;           /* ns: what bringing it in took */
    uint64_t grace_end;      /* the same clock: how long one that only waits for locks keeps the turn; 0: it runs */
};

void turns_start(void);

/* Below, the memory lock is held. */

static inline bool space_is_resident(const struct space *space)
{
    return !space->residence.turns || space->residence.turns->resident == space;
}

/* Programs that are linked for one address take turns below MMAP_LOW; what each has above it is nobody else's and
 * stays in place, in the tree of all. Forked ones take turns everywhere. */
static inline user_address turns_end(const struct space *space)
{
    return space->residence.is_whole ? APPLICATION_END : MMAP_LOW;
}

/* The space, which is resident, and a new one that takes turns with it. 0 or -ENOMEM. */
int64_t turns_join(struct space *space, struct space *newcomer);
/* The space has no thread and goes: another one of the group is resident afterwards. It is alone then, and its areas are in its own tree. */
void turns_leave(struct space *space);

/* Any other space that has an area in [start, end), resident or not; NULL: there is none. 0, or -ENOMEM: there are several, which do not take turns with each
 * other. */
int64_t turns_find_neighbour(const struct space *space, user_address start, user_address end, struct space **neighbour);
/* An area in [start, end) of a space that is not resident, and does not take turns there with the space; or NULL. */
const struct area_node *turns_find_absent(const struct space *space, user_address start, user_address end);
/* The areas of the nth space that is not resident; NULL: there are not so many. */
const struct area_tree *turns_absent_tree(uint32_t nth);

/* What is in place and what is kept (versions.c). */

/* Lent while pages move, which must not fail: for the words of the other programs, beside the pages themselves. */
#define WORDS_RESERVE 1024

/* commit_add() and commit_add_pending() for private pages of the space, which is resident: the others of its group have nothing there. */
int versions_add(const struct space *space, user_address start, user_address end);
int versions_add_pending(const struct space *space, user_address start, user_address end);
/* Takes pages of the space in [start, end) away; others of the group to which they belong, too, keep what they hold. */
void versions_drop(const struct space *space, user_address start, user_address end, uint32_t protection);
/* A frozen page of the area may be stored to from now on. 0 or -ENOMEM. */
int64_t versions_thaw(const struct area *area, user_address page);
/* The newcomer, which has joined a group and has no areas, has nothing of what is in place. 0 or -ENOMEM. */
int64_t versions_leave_out_all(struct space *newcomer);
/* The space, which is resident, takes turns everywhere from now on. 0 or -ENOMEM. */
int64_t versions_widen(struct space *space);
/* The newcomer has the areas and the pages of the space, which is resident and takes turns everywhere, as the newcomer does then. 0 or -ENOMEM. */
int64_t versions_fork(const struct space *space, struct space *newcomer);

/* `to` comes in place of `from`, which goes for good, or keeps what it has (exchange.c). */
void exchange_spaces(const struct turns *turns, struct space *from, struct space *to, bool goes_for_good);

#endif
