/* What faults, munmap, mprotect and msync do to areas of shared objects. The memory lock is held, but where it says otherwise. */
#include "memory/object.h"
#include "memory/turns.h"

static void free_anonymous(struct shared_object *object)
{
    page_index_free(&object->pages);
    release(object, sizeof *object);
}

static const struct object_operations anonymous_operations = {.unused = free_anonymous};

struct shared_object *shared_create_anonymous(uint64_t size)
{
    struct shared_object *object = allocate(sizeof *object);
    if (object) {
        object_start(object, &anonymous_operations);
        object->size = size;
    }
    return object;
}

int64_t shared_fault(const struct area *area, user_address page, enum fault_access access)
{
    mutex_lock(&area->object->lock);
    int64_t result = holder_take(area, page, access);
    mutex_unlock(&area->object->lock);
    return result;
}

static uint64_t count(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* The last view takes along what is kept elsewhere, and all of what nobody can find any more. */
static void unmap(const struct area *area, bool is_in_place)
{
    struct shared_object *object = area->object;
    uint64_t first = page_in_object(area, area->start), end = page_in_object(area, area->end);
    mutex_lock(&object->lock);
    if (object->operations->write) {
        bool is_last = count(&object->mappings) == 1;
        first = is_last ? 0 : first;
        end = is_last ? OBJECT_PAGES_MAX : end;
        int64_t error = holder_write_back(object, first, end);
        if (error) {
            log_line(LOG_ERROR, "what was stored to a shared mapping could not be written: errno %d", (int)-error);
        }
        if (is_last) {
            object_drop(object, first, end);
        }
    }
    if (count(&object->references) == 1) {
        object_drop(object, 0, OBJECT_PAGES_MAX);
    } else if (is_in_place) {
        holder_vacate(area, area->start, area->end);
    }
    mutex_unlock(&object->lock);
}

void shared_unmap(const struct area *area)
{
    unmap(area, true);
}

void shared_let_go(const struct area *area)
{
    unmap(area, false);
}

void shared_protect(const struct area *area, uint32_t protection)
{
    mutex_lock(&area->object->lock);
    holder_protect(area, area->start, area->end, protection);
    mutex_unlock(&area->object->lock);
}

int64_t shared_synchronise(const struct area *area, user_address start, user_address end, bool waits)
{
    struct shared_object *object = area->object;
    if (!object->operations->write) {
        return 0;
    }
    mutex_lock(&object->lock);
    int64_t result = holder_write_back(object, page_in_object(area, start), page_in_object(area, end));
    if (!result && waits && object->operations->sync) {
        result = object->operations->sync(object);
    }
    mutex_unlock(&object->lock);
    return result;
}

bool shared_is_resident(const struct area *area, user_address page)
{
    struct shared_object *object = area->object;
    mutex_lock(&object->lock);
    uint64_t *place = page_index_find(&object->pages, page_in_object(area, page));
    bool is_there = place && *place && !((*place & PLACE_NEARBY) && object_is_unused(object, place));
    mutex_unlock(&object->lock);
    return is_there;
}

/* Takes the memory lock. */
int64_t object_write_back(struct shared_object *object, uint64_t first, uint64_t end)
{
    object_lock_whole(object);
    int64_t result = holder_write_back(object, first, end);
    object_unlock(object);
    return result;
}

static void write_back_views(const struct area_tree *tree)
{
    for (struct area_node *node = area_from(tree, 0); node; node = area_from(tree, node->area.end)) {
        const struct area *area = &node->area;
        int64_t error = area->object ? shared_synchronise(area, area->start, area->end, false) : 0;
        if (error) {
            log_line(LOG_ERROR, "what was stored to a shared mapping could not be written: errno %d", (int)-error);
        }
    }
}

/* Takes the memory lock. */
void memory_write_back(void)
{
    lock_memory();
    const struct area_tree *tree = &areas;
    for (uint32_t nth = 0; tree; nth++) {
        write_back_views(tree);
        tree = turns_absent_tree(nth);
    }
    unlock_memory();
}

/* A segment that is unmapped in part keeps what is left at its offset from where all of it began. */
static bool is_of(const struct area *area, user_address start)
{
    return area->space == current_space() && area->object && area->start - start == area->offset;
}

struct shared_object *memory_object_at(user_address start, const struct object_operations *operations)
{
    struct shared_object *object = NULL;
    lock_space();
    for (struct area_node *node = area_from(&areas, start); node && !object; node = area_from(&areas, node->area.end)) {
        if (is_of(&node->area, start) && node->area.object->operations == operations) {
            object = node->area.object;
            object_get(object);
        }
    }
    unlock_memory();
    return object;
}

void memory_detach(user_address start, const struct shared_object *object)
{
    lock_space();
    user_address end = start + PAGE_UP(object->size);
    for (struct area_node *node = area_from(&areas, start), *next; node && node->area.start < end; node = next) {
        user_address last = node->area.end;
        bool is_wanted = is_of(&node->area, start) && node->area.object == object;
        if (is_wanted && !(node->area.flags & MAP_SEALED)) { /* shmdt(2) says nothing of sealed ones */
            unmap_locked(node->area.space, node->area.start, last);
        }
        next = area_from(&areas, last);
    }
    unlock_memory();
}

/* wait_upcalls.find_key */
static struct futex_key find_key(user_address address, bool is_private)
{
    struct futex_key key = {current_space()->id, address};
    if (is_private) {
        return key;
    }
    lock_space();
    const struct area_node *node = find_own(current_space(), address);
    if (node && node->area.object) {
        key = (struct futex_key){node->area.object->id, node->area.offset + (address - node->area.start)};
    }
    unlock_memory();
    return key;
}

void memory_start(void)
{
    wait_upcalls.find_key = find_key;
    turns_start();
}
