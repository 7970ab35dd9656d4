/*
 * The place of an object's page, between the files of the memory room: a word with the address at which the page is, and what is known of it.
 * A process would be a further part of it.
 */
#ifndef ENCLAVIZE_MEMORY_OBJECT_H
#define ENCLAVIZE_MEMORY_OBJECT_H

#include "memory/page_index.h"
#include "memory/space.h"

/* The rights of a view's page in the EPCM are the bits of enum protection. A page at home has none of them. */
#define PLACE_RIGHTS 7U
#define PLACE_OPEN 8U     /* a view's page is writable in the page tables: the EPCM alone decides */
#define PLACE_CHANGED 16U /* it differs from what object_operations.read gives, as far as is known */
#define PLACE_FRESH 32U   /* it has just been taken from another view, and may not have been used yet */
/* Pages that may be there before anybody used them: as long as they are zeros they are holes. */
#define PLACE_RESERVED 64U /* set aside, and counted */
#define PLACE_NEARBY 128U  /* came into a view with one that was touched, and not counted */
#define PLACE_UNUSED (PLACE_RESERVED | PLACE_NEARBY)
#define PLACE_FLAGS (PAGE_SIZE - 1)

static inline user_address place_address(uint64_t place)
{
    return place & ~PLACE_FLAGS;
}
static inline bool place_is_view(uint64_t place)
{
    return place && place < APPLICATION_END;
}
static inline bool place_is_reachable(uint64_t place, bool writes)
{
    return !place_is_view(place) || (place & (writes ? PROT_WRITE : PROT_READ));
}

/* The end of the pages from `first`, which is in a view, that lie there one behind the other with the same rights. */
uint64_t object_run(struct shared_object *object, uint64_t first, uint64_t end);

/* Somebody uses the page: it is no hole any more. Under the object's lock. */
void object_use_page(struct shared_object *object, uint64_t *place);
/* Nobody has, as far as can be seen. Under the object's lock. */
bool object_is_unused(struct shared_object *object, uint64_t *place);
void object_count_pages(struct shared_object *object, int64_t added);

/* Below, both locks are held. */

/* Bring home the pages in [first, end) that cannot be read, or written, where they are. 0 or -ENOMEM. */
int64_t holder_bring_home(struct shared_object *object, uint64_t first, uint64_t end, bool writes);
/* Bring home all pages that are in [start, end), a part of this view; those that were not changed are dropped. */
void holder_vacate(const struct area *area, user_address start, user_address end);
/* Bring the page at `page`, and some around it, into the view. 0, -EIO, -ENOMEM; -EAGAIN: another view has just got it. */
int64_t holder_take(const struct area *area, user_address page, enum fault_access access);
/* Give the view's pages in [start, end) the rights that `protection` means. */
void holder_protect(const struct area *area, user_address start, user_address end, uint32_t protection);
/* The page, to be changed; NULL: there is none. */
uint8_t *holder_change(struct shared_object *object, uint64_t page);
/* Write changed pages in [first, end) where the object is kept. */
int64_t holder_write_back(struct shared_object *object, uint64_t first, uint64_t end);

static inline uint64_t page_in_object(const struct area *area, user_address address)
{
    return (area->offset + (address - area->start)) / PAGE_SIZE;
}

/* For the functions of map.c and its neighbours, which hold the memory lock: the same with the object's lock taken. */
int64_t shared_fault(const struct area *area, user_address page, enum fault_access access);
void shared_unmap(const struct area *area);
/* The same for an area of a space that is not resident. */
void shared_let_go(const struct area *area);
void shared_protect(const struct area *area, uint32_t protection);
int64_t shared_synchronise(const struct area *area, user_address start, user_address end, bool waits);
bool shared_is_resident(const struct area *area, user_address page);
/* Memory that is shared and no file, with one count; NULL: out of memory. */
struct shared_object *shared_create_anonymous(uint64_t size);

#endif
