/* Shared objects as files see them: their locks, and their pages wherever they are. */
#include "memory/object.h"

uint64_t object_new_id(void)
{
    static uint64_t last_id = FIRST_IDS;
    return __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
}

void object_start(struct shared_object *object, const struct object_operations *operations)
{
    object->operations = operations;
    object->references = 1;
    object->id = object_new_id();
}

void object_get(struct shared_object *object)
{
    __atomic_add_fetch(&object->references, 1, __ATOMIC_RELAXED);
}

void object_put(struct shared_object *object)
{
    bool is_last = __atomic_sub_fetch(&object->references, 1, __ATOMIC_ACQ_REL) == 0;
    if (is_last && object->operations->unused) {
        object->operations->unused(object);
    }
}

static bool is_mapped(const struct shared_object *object)
{
    return __atomic_load_n(&object->mappings, __ATOMIC_SEQ_CST) != 0;
}

static bool all_are_reachable(const struct shared_object *object, uint64_t first, uint64_t end, bool writes)
{
    const uint64_t *place;
    for (; (place = page_index_next(&object->pages, &first, end)); first++) {
        if (!place_is_reachable(*place, writes)) {
            return false;
        }
    }
    return true;
}

int64_t object_lock_pages(struct shared_object *object, uint64_t first, uint64_t end, bool writes)
{
    mutex_lock(&object->lock);
    if (!is_mapped(object) || all_are_reachable(object, first, end, writes)) {
        return 0;
    }
    mutex_unlock(&object->lock);
    object_lock_whole(object);
    int64_t error = holder_bring_home(object, first, end, writes);
    if (error) {
        object_unlock(object);
    }
    return error;
}

void object_lock_whole(struct shared_object *object)
{
    mutex_lock(&object->lock);
    if (!is_mapped(object)) {
        return; /* nobody can come to hold a page without this lock */
    }
    mutex_unlock(&object->lock);
    bool takes_memory = !has_memory_lock(); /* a file is read while it is mapped */
    if (takes_memory) {
        lock_memory();
    }
    mutex_lock(&object->lock);
    object->locked_whole = true;
    object->locked_memory = takes_memory;
}

void object_unlock(struct shared_object *object)
{
    bool locked_memory = object->locked_memory;
    object->locked_whole = object->locked_memory = false;
    mutex_unlock(&object->lock);
    if (locked_memory) {
        unlock_memory();
    }
}

uint8_t *object_page(struct shared_object *object, uint64_t page)
{
    const uint64_t *place = page_index_find(&object->pages, page);
    return place && *place ? (uint8_t *)place_address(*place) : NULL;
}

void object_count_pages(struct shared_object *object, int64_t added)
{
    __atomic_fetch_add(&object->page_count, (uint64_t)added, __ATOMIC_RELAXED);
}

void object_use_page(struct shared_object *object, uint64_t *place)
{
    object_count_pages(object, *place & PLACE_NEARBY ? 1 : 0);
    *place &= ~(uint64_t)PLACE_UNUSED;
}

bool object_is_unused(struct shared_object *object, uint64_t *place)
{
    if (!(*place & PLACE_UNUSED)) {
        return false;
    }
    if (place_is_reachable(*place, false) && page_is_zero((const void *)place_address(*place))) {
        return true;
    }
    object_use_page(object, place);
    return false;
}

bool object_next_page(struct shared_object *object, uint64_t *page, uint64_t end)
{
    uint64_t *place;
    while ((place = page_index_next(&object->pages, page, end)) && object_is_unused(object, place)) {
        ++*page;
    }
    return place != NULL;
}

uint64_t object_page_count(struct shared_object *object)
{
    mutex_lock(&object->lock);
    uint64_t *place;
    for (uint64_t page = 0; object->has_nearby && (place = page_index_next(&object->pages, &page, OBJECT_PAGES_MAX)); page++) {
        object_is_unused(object, place);
    }
    uint64_t count = object->page_count;
    mutex_unlock(&object->lock);
    return count;
}

uint8_t *object_page_to_change(struct shared_object *object, uint64_t page)
{
    uint64_t *place = page_index_find(&object->pages, page);
    if (!place || !*place) {
        return NULL;
    }
    object_use_page(object, place);
    if (object->locked_whole && !place_is_reachable(*place, true)) {
        return holder_change(object, page);
    }
    if (!object->operations->write) {
        *place |= PLACE_CHANGED;
    }
    return (uint8_t *)place_address(*place);
}

uint8_t *object_create_page(struct shared_object *object, uint64_t page)
{
    uint64_t *place = page_index_make(&object->pages, page);
    uint8_t *home = place ? pages_allocate(1) : NULL;
    if (home) {
        *place = (uint64_t)home | PLACE_CHANGED;
        object_count_pages(object, 1);
    }
    return home;
}

bool object_reserve_page(struct shared_object *object, uint64_t page)
{
    if (!object_create_page(object, page)) {
        return false;
    }
    *page_index_find(&object->pages, page) |= PLACE_RESERVED;
    return true;
}

/* The end of the pages from `first` on that lie one behind the other in a view, with the same rights. */
uint64_t object_run(struct shared_object *object, uint64_t first, uint64_t end)
{
    const uint64_t start = *page_index_find(&object->pages, first);
    uint64_t next = first + 1;
    for (const uint64_t *place; next < end && (place = page_index_find(&object->pages, next)); next++) {
        bool follows = place_address(*place) == place_address(start) + (next - first) * PAGE_SIZE;
        if (!follows || ((*place ^ start) & (PLACE_RIGHTS | PLACE_OPEN))) {
            break;
        }
    }
    return next;
}

void object_drop(struct shared_object *object, uint64_t first, uint64_t end)
{
    uint64_t *place;
    for (uint64_t at = first, next; (place = page_index_next(&object->pages, &at, end)); at = next) {
        next = at + 1;
        user_address address = place_address(*place);
        if (place_is_view(*place)) {
            next = object_run(object, at, end);
            commit_remove(address, address + (next - at) * PAGE_SIZE);
        } else {
            pages_release((void *)address, 1);
        }
        for (; at < next; at++) {
            place = page_index_find(&object->pages, at);
            object_count_pages(object, *place & PLACE_NEARBY ? 0 : -1);
            *place = 0;
        }
    }
    if (first == 0 && end == OBJECT_PAGES_MAX) {
        page_index_free(&object->pages);
    }
}

void object_drop_reserved(struct shared_object *object, uint64_t first, uint64_t end)
{
    for (const uint64_t *place; (place = page_index_next(&object->pages, &first, end)); first++) {
        if (*place & PLACE_RESERVED) {
            object_drop(object, first, first + 1);
        }
    }
}

void object_discard(struct shared_object *object)
{
    __atomic_store_n(&object->is_removed, true, __ATOMIC_RELEASE);
    mutex_lock(&object->lock);
    if (!is_mapped(object)) {
        object_drop(object, 0, OBJECT_PAGES_MAX);
    }
    mutex_unlock(&object->lock);
}
