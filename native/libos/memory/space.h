/*
 * The application's range, between the files of the memory room only. One lock guards areas and pages of all spaces. While it
 * is held, application memory is touched only where it is known to be committed and writable, so a fault never needs the
 * lock that its own thread holds. The functions down to program_room() want it held.
 */
#ifndef ENCLAVIZE_MEMORY_SPACE_H
#define ENCLAVIZE_MEMORY_SPACE_H

#include "memory/area.h"
#include "memory/commit.h"
#include "memory/kept.h"

#define MMAP_LOW 0x10000000ULL
#define MMAP_HIGH (STACK_TOP - STACK_SIZE - STACK_GUARD)
#define ACCESS_MASK (PROT_READ | PROT_WRITE | PROT_EXEC)

void lock_memory(void);
/* The same, and the current space is resident. */
void lock_space(void);
void unlock_memory(void);
bool has_memory_lock(void); /* the calling thread has it */
/* What futexes are known by: of objects and of spaces. The first ones are those of first_space and libos_space. */
#define FIRST_IDS 2U
uint64_t object_new_id(void);
extern struct area_tree areas; /* of all spaces that are resident */

#define SPACE_PROCESSES 0xFFFFU
#define SPACE_VISITOR 0x10000U
#define SPACE_CLAIMED 0x80000000U

/* Spaces are recycled, not freed: a late look through an old pointer is harmless. */
struct space {
    struct wait_queue waiting; /* threads that wait for its turn; stays when the space is recycled */
    uint32_t references;       /* atomic: of processes; SPACE_VISITOR for each who visits it; SPACE_CLAIMED */
    uint64_t id;               /* never used again: private futexes are known by it */
    struct residence {         /* turns.c */
        struct turns *turns;        /* atomic; NULL: it is alone at its addresses, and always resident */
        struct space *next;         /* in the group */
        struct space *next_waiting; /* for a turn */
        bool waits;
        bool is_whole;             /* it takes turns at all of its addresses (turns_end()) */
        bool is_closed;             /* atomic: no thread may come: it is not resident, or has to make room */
        uint32_t active;            /* atomic: threads that run in it, or touch its memory */
        uint32_t returning;         /* atomic: those that are not, but only wait for a lock of the LibOS */
        struct area_tree areas;     /* while it is not resident: those below turns_end() */
        struct kept_index kept;     /* the same */
    } residence;
    uint64_t mapped_pages, locked_pages;
    struct loaded *loaded; /* ELF objects (loaded.c) */
    struct {
        user_address start, end;
    } interpreter; /* PT_INTERP's */
    uint32_t locks_future; /* MAP_LOCKED and MAP_LOCKED_ON_FAULT, of what is mapped from now on; atomic */
    struct memory_limits limits;
    struct {
        struct mutex lock;
        user_address start, end;
    } heap;
};

/* So that no operation has to stop half-way for want of a node. Call it first. */
bool reserve_nodes(void);
struct area_node *take_node(void);
void drop_node(struct area_node *node);
/* One more count of the area's file and object, and one less: drop_node() takes one away, too. */
void area_hold(const struct area *area);
void area_let_go(const struct area *area);

/* The space's area that holds the address, or NULL. Of a space that is not resident it may be in its own tree. */
struct area_node *find_own(const struct space *space, user_address address);
/* Does an area of another space lie in the range? */
bool is_foreign(const struct space *space, user_address start, user_address end);

/* Does a sealed area of the space lie in the range? (seal.c) */
bool has_sealed(const struct space *space, user_address start, user_address end);

/* Make `address` a border between areas. */
void split_at(user_address address);
void join_around(user_address start, user_address end);

/* Where an area of this length may go, or 0. */
user_address find_gap(uint64_t length);
/* The same within [low, high). */
user_address find_gap_within(uint64_t length, user_address low, user_address high);
/* Does nothing lie there, of any space that could be resident together with the current one? */
bool place_is_free(user_address start, user_address end);
/* Areas have come or gone otherwise than by the functions here: where the search for gaps begins is not known any more. */
void forget_gaps(void);
/* A gap has come to be that ends here. */
void note_gap(user_address end);
/* May an area lie there? */
bool range_is_good(user_address address, uint64_t length);

/* Gives the area its place and its pages (map.c). */
int64_t map_locked(struct area area, uint64_t length, uint32_t flags);
void unmap_locked(struct space *space, user_address start, user_address end);

/* What counts as data: private and writable (mm/mmap.c, is_data_mapping()). */
bool is_data(uint32_t protection, uint32_t flags);
/* May `length` more bytes be mapped into the space, in place of what lies in [start, end)? (limits.c) */
bool is_within_limits(const struct space *space, uint64_t length, bool data, user_address start, user_address end);
/* May `length` more bytes be locked in the space? */
bool may_lock_more(const struct space *space, uint64_t length);
/* can_do_mlock() of Linux: may anything be locked? Without the lock. */
bool may_lock(void);

/* Make the `syscall` sites of freshly loaded code, which is still writable, jump into the LibOS; `size` bytes of the area are there (text.c). */
void patch_text(const struct area *text, uint64_t size);
/* Where a program of this length may lie, with room for its heap behind it, or 0 (program_space.c). */
user_address find_program_place(uint64_t length);
/* That room, in bytes. */
uint64_t program_room(uint64_t length);

/* For calls.c: what memory.h does not offer to others. These take the lock. */
enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 };

int64_t memory_remap(user_address address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                     user_address target);
/* Bring back what a file has in a part of a private area whose pages have been removed (map.c). */
int64_t fill_from_file(const struct area *area);
/* -ENOMEM where there is a gap; with MS_INVALIDATE, -EBUSY at what is locked (msync(2)). */
int64_t memory_synchronise(user_address start, user_address end, uint32_t flags);
enum msync_flag { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
/* False: there is a gap. */
bool memory_residence(user_address start, user_address end, uint8_t *resident);
/* mlock2(2): -ENOMEM at a gap, behind which nothing is done. */
int64_t memory_lock_range(user_address start, user_address end, uint32_t locked_flags);
/* mlockall(2): what there is, and what is mapped from now on. Neither: munlockall(2). */
int64_t memory_lock_all(bool current, bool future, uint32_t locked_flags);
/* As if each page was read. 0, or the error of the first that cannot be. */
int64_t memory_touch(user_address start, user_address end, enum fault_access access);
/* MAP_LOCKED and MAP_LOCKED_ON_FAULT, or 0: of what is mapped now. */
uint32_t locked_flag(void);
/* A touch below an area that grows down: 0, it reaches there now; or -EFAULT (grow.c). */
int64_t grow_down(user_address page);
/* madvise(2) of a range that is not empty (advice.c). */
int64_t memory_advise(user_address start, user_address end, uint32_t advice);

#endif
