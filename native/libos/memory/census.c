/* What /proc tells of areas and their pages: memory that the enclave really has. */
#include "memory/object.h"
#include "memory/turns.h"

/* A page of an object is in one view at most. */
static bool is_in_view(const struct area *area, user_address page, bool *is_dirty)
{
    const uint64_t *place = page_index_find(&area->object->pages, page_in_object(area, page));
    bool is_there = place && place_address(*place) == page;
    *is_dirty = is_there && (*place & PLACE_CHANGED);
    return is_there;
}

static void count_object(const struct area *area, struct area_counts *counts)
{
    mutex_lock(&area->object->lock);
    for (user_address page = area->start; page < area->end; page += PAGE_SIZE) {
        bool is_dirty;
        counts->resident += is_in_view(area, page, &is_dirty);
        counts->dirty += is_dirty;
    }
    mutex_unlock(&area->object->lock);
}

static uint64_t count_committed(const struct area *area)
{
    bool committed;
    uint64_t count = 0;
    for (user_address at = area->start, next; at < area->end; at = next) {
        next = commit_run(at, area->end, &committed);
        count += committed ? (next - at) / PAGE_SIZE : 0;
    }
    return count;
}

/* Private pages of a space that is not resident: what is in place counts where it has no other word. */
static uint64_t count_kept(const struct space *space, const struct area *area)
{
    uint64_t count = 0;
    for (user_address page = area->start; page < area->end; page += PAGE_SIZE) {
        uint64_t word = kept_word(&space->residence.kept, page);
        count += word ? word != KEPT_NOTHING : commit_test(page);
    }
    return count;
}

static void count_in_space(const struct space *space, const struct area *area, bool is_resident, struct space_counts *counts)
{
    uint64_t pages = (area->end - area->start) / PAGE_SIZE;
    struct area_counts of_area = {0};
    if (area->object) {
        count_object(area, &of_area);
    } else {
        of_area.resident = is_resident ? count_committed(area) : count_kept(space, area);
    }
    bool is_memory = area->object && !area->object->operations->write;
    counts->resident += of_area.resident;
    counts->resident_shared += is_memory ? of_area.resident : 0;
    counts->resident_of_files += (area->file && !is_memory && !(area->protection & PROT_WRITE)) || (area->object && !is_memory) ? of_area.resident : 0;
    counts->text += (area->protection & PROT_EXEC) ? pages : 0;
    counts->data += is_data(area->protection, area->flags) ? pages : 0;
    counts->stack += (area->flags & MAP_WHOLE_STACK) ? pages : 0;
}

void memory_count_space(const struct space *space, struct space_counts *counts)
{
    *counts = (struct space_counts){0};
    lock_memory();
    const struct area_tree *absent = &space->residence.areas; /* empty while it is resident */
    for (const struct area_node *node = area_from(&areas, 0); node; node = area_from(&areas, node->area.end)) {
        if (node->area.space == space) {
            count_in_space(space, &node->area, true, counts);
        }
    }
    for (const struct area_node *node = area_from(absent, 0); node; node = area_from(absent, node->area.end)) {
        count_in_space(space, &node->area, false, counts);
    }
    counts->mapped = space->mapped_pages;
    counts->locked = space->locked_pages;
    unlock_memory();
}

void memory_count_area(const struct area *area, struct area_counts *counts)
{
    *counts = (struct area_counts){0};
    lock_space();
    const struct area_node *node = find_own(area->space, area->start);
    bool is_same = node && node->area.start == area->start && node->area.end == area->end && node->area.object == area->object;
    if (is_same && area->object) {
        count_object(area, counts);
    } else if (is_same) {
        counts->resident = count_committed(area);
        bool may_differ = !area->file || (area->protection & PROT_WRITE);
        counts->dirty = may_differ ? counts->resident : 0;
    }
    unlock_memory();
}

void memory_look_at_pages(user_address start, uint8_t *states, size_t count)
{
    lock_space();
    for (size_t at = 0; at < count; at++) {
        user_address page = start + at * PAGE_SIZE;
        const struct area_node *node = page < APPLICATION_END ? find_own(current_space(), page) : NULL;
        states[at] = 0;
        if (!node) {
            continue;
        }
        const struct area *area = &node->area;
        bool is_there = false, is_dirty;
        if (area->object) {
            mutex_lock(&area->object->lock);
            is_there = is_in_view(area, page, &is_dirty);
            mutex_unlock(&area->object->lock);
        } else {
            is_there = commit_test(page);
        }
        states[at] = (uint8_t)(PAGE_MAPPED | (is_there ? PAGE_PRESENT : 0) | (area->file || area->object ? PAGE_OF_FILE : 0));
    }
    unlock_memory();
}
