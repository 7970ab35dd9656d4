/* The bookkeeping of the address space: areas, their nodes, gaps. Pages are touched elsewhere. */
#include "memory/loaded.h"
#include "memory/turns.h"

#define AREAS_MAX 65530U /* Linux's default vm.max_map_count */
#define SPARE_NODES 8U   /* no operation makes more areas than this */

static struct mutex memory_lock;
static const struct thread *owner; /* of the lock; atomic */
struct area_tree areas;
struct space first_space = {.references = 1, .id = 1, .limits = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
struct space libos_space = {.references = 1, .id = 2};

static struct area_node *spares; /* linked by `left` */
static uint32_t spare_count;
static uint32_t area_count;
/* no free page in [full_from, MMAP_HIGH): where the search for gaps begins */
static user_address full_from = MMAP_HIGH;

void lock_memory(void)
{
    mutex_lock(&memory_lock);
    __atomic_store_n(&owner, current_thread(), __ATOMIC_RELAXED);
}

void lock_space(void)
{
    lock_memory();
    while (!space_is_resident(current_space())) {
        unlock_memory();
        space_reach();
        lock_memory();
    }
}

void unlock_memory(void)
{
    while (pages_are_short() && loaded_drop_oldest()) {
    }
    __atomic_store_n(&owner, NULL, __ATOMIC_RELAXED);
    mutex_unlock(&memory_lock);
}

void memory_relieve(void)
{
    if (pages_are_short()) {
        lock_memory();
        unlock_memory();
    }
}

bool has_memory_lock(void)
{
    return __atomic_load_n(&owner, __ATOMIC_RELAXED) == current_thread();
}

bool reserve_nodes(void)
{
    while (spare_count < SPARE_NODES) {
        struct area_node *node = area_count < AREAS_MAX ? allocate(sizeof *node) : NULL;
        if (!node) {
            return false;
        }
        node->left = spares;
        spares = node;
        spare_count++;
    }
    return true;
}

struct area_node *take_node(void)
{
    struct area_node *node = spares;
    spares = node->left;
    spare_count--;
    area_count++;
    *node = (struct area_node){0};
    return node;
}

void area_hold(const struct area *area)
{
    if (area->object) {
        object_get(area->object);
        __atomic_add_fetch(&area->object->mappings, 1, __ATOMIC_SEQ_CST);
    }
    if (area->file) {
        file_upcalls.get(area->file);
    }
}

void area_let_go(const struct area *area)
{
    if (area->object) {
        __atomic_sub_fetch(&area->object->mappings, 1, __ATOMIC_SEQ_CST);
        object_put(area->object);
    }
    if (area->file) {
        file_upcalls.put(area->file);
    }
}

void drop_node(struct area_node *node)
{
    area_count--;
    area_let_go(&node->area);
    if (spare_count < SPARE_NODES) {
        node->left = spares;
        spares = node;
        spare_count++;
    } else {
        release(node, sizeof *node);
    }
}

struct area_node *find_own(const struct space *space, user_address address)
{
    struct area_node *node = area_find(&areas, address);
    return node && node->area.space == space ? node : NULL;
}

bool is_foreign(const struct space *space, user_address start, user_address end)
{
    const struct area_node *node = area_from(&areas, start);
    while (node && node->area.start < end && node->area.space == space) {
        node = area_from(&areas, node->area.end);
    }
    return (node && node->area.start < end) || turns_find_absent(space, start, end);
}

void split_at(user_address address)
{
    struct area_node *node = area_find(&areas, address);
    if (node && node->area.start < address) {
        struct area_node *upper = take_node();
        area_split(&areas, node, address, upper);
        area_hold(&upper->area);
    }
}

static void join_with_next(struct area_node *node)
{
    struct area_node *upper = area_from(&areas, node->area.end);
    if (upper && area_joins(&node->area, &upper->area)) {
        area_remove(&areas, upper);
        node->area.end = upper->area.end;
        drop_node(upper);
    }
}

void join_around(user_address start, user_address end)
{
    for (struct area_node *node = area_before(&areas, start ? start : 1); node && node->area.start <= end;) {
        user_address old_end = node->area.end;
        join_with_next(node);
        if (node->area.end == old_end) {
            node = area_from(&areas, node->area.end);
        }
    }
}

void note_gap(user_address end)
{
    if (end > full_from) {
        full_from = end < MMAP_HIGH ? end : MMAP_HIGH;
    }
}

/*
 * Large reservations never come to lie below 8 GiB, as on Linux, where only MAP_32BIT leads there. GHC's run-time
 * system counts on it: it gives back what lies lower and tries again, for ever (rts/posix/OSMem.c).
 */
#define LARGE_LENGTH 0x200000000ULL
#define LARGE_LOW 0x200000000ULL

user_address find_gap(uint64_t length)
{
    const struct area_node *below;
    while ((below = area_before(&areas, full_from)) && below->area.end >= full_from) {
        full_from = below->area.start;
    }
    return find_gap_within(length, length < LARGE_LENGTH ? MMAP_LOW : LARGE_LOW, full_from);
}

static user_address look_for_gap(uint64_t length, user_address low, user_address high)
{
    user_address at = area_find_gap(&areas, length, low, high);
    const struct area_node *absent;
    while (at && (absent = turns_find_absent(current_space(), at, at + length))) {
        at = absent->area.start > low ? area_find_gap(&areas, length, low, absent->area.start) : 0;
    }
    return at;
}

user_address find_gap_within(uint64_t length, user_address low, user_address high)
{
    user_address at = look_for_gap(length, low, high);
    while (!at && loaded_drop_oldest()) {
        at = look_for_gap(length, low, high);
    }
    return at;
}

bool place_is_free(user_address start, user_address end)
{
    return area_is_free(&areas, start, end) && !turns_find_absent(current_space(), start, end);
}

void forget_gaps(void)
{
    full_from = MMAP_HIGH;
}

bool range_is_good(user_address address, uint64_t length)
{
    return address % PAGE_SIZE == 0 && length && length <= APPLICATION_END && address >= APPLICATION_START &&
           address <= APPLICATION_END - length;
}

/* The first area from `at` on of the space, or of any one: those of the nth group of addresses; NULL: there is none. */
static const struct area *next_area(const struct space *space, uint32_t nth, user_address at)
{
    const struct area_tree *tree = nth ? turns_absent_tree(nth - 1) : &areas;
    const struct area_node *node = tree ? area_from(tree, at) : NULL;
    while (node && space && node->area.space != space) {
        node = area_from(tree, node->area.end);
    }
    return node ? &node->area : NULL;
}

void memory_each(const struct space *space, bool (*each)(const struct area *area, void *context), void *context)
{
    bool go_on = true;
    uint32_t nth = 0;
    for (user_address at = APPLICATION_START; go_on;) {
        space ? lock_space() : lock_memory();
        const struct area *found = next_area(space, nth, at);
        bool is_last = space || !turns_absent_tree(nth);
        struct area area = found ? *found : (struct area){0};
        if (area.file) {
            file_upcalls.get(area.file);
        }
        unlock_memory();
        if (!found && is_last) {
            return;
        }
        nth += !found;
        at = found ? area.end : APPLICATION_START;
        go_on = !found || each(&area, context);
        if (area.file) {
            file_upcalls.put(area.file);
        }
    }
}

void memory_count(const struct space *space, struct memory_counts *to)
{
    pages_count(&to->committed, &to->limit);
    to->mapped = __atomic_load_n(&space->mapped_pages, __ATOMIC_RELAXED);
    to->locked = __atomic_load_n(&space->locked_pages, __ATOMIC_RELAXED);
}
