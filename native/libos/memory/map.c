/* Mapping and unmapping: what mmap and munmap do. */
#include "memory/loaded.h"
#include "memory/object.h"
#include "memory/turns.h"

#define EAGER_MAX 0x10000ULL    /* a mapping up to this size gets its pages at once */
#define PATCHED_MAX 0x200000ULL /* and a text up to this one: C libraries are smaller */

struct file_upcalls file_upcalls;

/* Pages that a new area takes over are left where they are. */
static void unmap(struct space *space, user_address start, user_address end, bool keeps_pages)
{
    loaded_settle(space, start, end);
    for (struct area_node *node; (node = area_from(&areas, start)) && node->area.start < end;) {
        if (node->area.space != space) {
            start = node->area.end;
            continue;
        }
        if (node->area.start < start) {
            split_at(start);
            continue;
        }
        if (node->area.end > end) {
            split_at(end);
        }
        if (node->area.object) {
            shared_unmap(&node->area);
        }
        area_remove(&areas, node);
        note_gap(node->area.end);
        if (!keeps_pages) {
            versions_drop(space, node->area.start, node->area.end, node->area.protection);
        }
        space->mapped_pages -= (node->area.end - node->area.start) / PAGE_SIZE;
        space->locked_pages -= node->area.flags & MAP_LOCKED ? (node->area.end - node->area.start) / PAGE_SIZE : 0;
        drop_node(node);
    }
}

void unmap_locked(struct space *space, user_address start, user_address end)
{
    unmap(space, start, end, false);
}

/*
 * Pages of a file are read when it is mapped: a page that another thread could see between EACCEPT and the
 * end of the read would show zeros. Pages behind the end of the file are left out (SIGBUS).
 */
int64_t fill_from_file(const struct area *area)
{
    struct file_facts facts;
    file_upcalls.describe(area->file, &facts);
    if (area->offset >= facts.size) {
        return 0;
    }
    uint64_t length = area->end - area->start;
    uint64_t bytes = facts.size - area->offset < length ? facts.size - area->offset : length;
    user_address end = area->start + PAGE_UP(bytes);
    if (versions_add(area->space, area->start, end)) {
        return -ENOMEM;
    }
    int64_t (*read)(struct file *, void *, size_t, uint64_t) =
        file_upcalls.is_measured(area->file) ? file_upcalls.read_measured : file_upcalls.read_at;
    int64_t got = read(area->file, (void *)area->start, bytes, area->offset);
    if (got < 0) {
        return got;
    }
    if (area->protection & PROT_EXEC) {
        patch_text(area, bytes);
    }
    commit_protect(area->start, end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static int64_t populate(const struct area *area, bool eager)
{
    if (area->object || (area->flags & MAP_ON_TOUCH)) {
        return 0;
    }
    if (area->file) {
        return fill_from_file(area);
    }
    if (!eager || !(area->protection & ACCESS_MASK)) {
        return 0;
    }
    if (versions_add(area->space, area->start, area->end)) {
        return -ENOMEM;
    }
    commit_protect(area->start, area->end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

/* Where the new area goes, or 0. */
static user_address place(user_address hint, uint64_t length)
{
    hint = PAGE_DOWN(hint);
    if (hint && range_is_good(hint, length)) {
        loaded_make_way(hint, hint + length);
        const struct area_node *above = area_from(&areas, hint);
        if ((!above || hint + length <= area_border(&above->area)) && place_is_free(hint, hint + length)) {
            return hint;
        }
    }
    return find_gap(length);
}

/* glibc's loader maps all of an object, with a flag that nobody else sets, and then its segments over it. Until then texts could be read as they are patched. */
static bool begins_object(const struct area *area, uint32_t flags)
{
    if (!(flags & MAP_DENYWRITE) || !(area->flags & MAP_PRISTINE) || area->start || (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
        return false;
    }
    user_address caller = space_upcalls.return_address();
    return caller >= area->space->interpreter.start && caller < area->space->interpreter.end;
}

int64_t map_locked(struct area area, uint64_t length, uint32_t flags)
{
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE), is_object = begins_object(&area, flags);
    if (!reserve_nodes()) {
        return -ENOMEM;
    }
    if (is_object && (area.start = loaded_take(area.file, 0, length, 0))) {
        area.flags |= MAP_ON_TOUCH; /* its segments are there already */
        is_object = false;
    } else if (!fixed && !(area.start = place(area.start, length))) {
        return -ENOMEM;
    }
    area.end = area.start + length;
    if (fixed) {
        loaded_make_way(area.start, area.end);
    }
    if ((flags & MAP_FIXED_NOREPLACE) && !place_is_free(area.start, area.end)) {
        return -EEXIST;
    }
    if (fixed && is_foreign(area.space, area.start, area.end)) {
        return -ENOMEM;
    }
    if ((flags & MAP_FIXED) && has_sealed(area.space, area.start, area.end)) {
        return -EPERM;
    }
    bool has_pages = fixed && loaded_adopt(&area);
    if (flags & MAP_FIXED) {
        unmap(area.space, area.start, area.end, has_pages);
    }
    if (is_object) {
        loaded_note(area.file, area.start, area.end);
    }
    struct area_node *node = take_node();
    node->area = area;
    area_hold(&area);
    area_insert(&areas, node);
    area.space->mapped_pages += length / PAGE_SIZE;
    area.space->locked_pages += area.flags & MAP_LOCKED ? length / PAGE_SIZE : 0;
    bool eager = (flags & MAP_POPULATE) ||
                 (length <= EAGER_MAX && !(flags & (MAP_NORESERVE | MAP_STACK)));
    int64_t error = has_pages ? 0 : populate(&area, eager);
    if (error) {
        unmap_locked(area.space, area.start, area.end);
        return error;
    }
    join_around(area.start, area.end);
    return (int64_t)area.start;
}

/* A private mapping of a measured file need not be read at once: what is there is known. A text is, so that its `syscall` sites can be patched, unless it
 * is so large that it belongs to a program of which libraries make the system calls. */
static uint32_t on_touch(struct file *file, uint64_t length, uint32_t protection, uint32_t flags)
{
    bool is_text = protection & PROT_EXEC;
    bool is_eager = length <= EAGER_MAX || (flags & (MAP_POPULATE | MAP_LOCKED)) ||
                    (is_text && (length <= PATCHED_MAX || (flags & MAP_PATCHED_WHOLE)));
    return file && (flags & MAP_PRIVATE) && !is_eager && file_upcalls.is_measured(file) ? MAP_ON_TOUCH : 0;
}

/* Nobody can store to it. */
static uint32_t pristine(struct file *file, uint32_t protection, uint32_t flags)
{
    return file && (flags & MAP_PRIVATE) && !(protection & PROT_WRITE) && file_upcalls.is_measured(file) ? MAP_PRISTINE : 0;
}

#define AREA_FLAGS (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_LOCKED | MAP_NEVER_WRITABLE | MAP_WHOLE_STACK)

static int64_t map_checked(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                           struct file *file, struct shared_object *object, uint64_t offset)
{
    if (length == 0 || length > APPLICATION_END) {
        return length ? -ENOMEM : -EINVAL;
    }
    length = PAGE_UP(length);
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && !range_is_good(address, length)) {
        return address % PAGE_SIZE ? -EINVAL : -ENOMEM;
    }
    uint64_t committed, limit;
    pages_count(&committed, &limit);
    if ((protection & PROT_WRITE) && !(flags & MAP_NORESERVE) && length / PAGE_SIZE > limit) {
        return -ENOMEM; /* as Linux's heuristic overcommit refuses what can never be there */
    }
    struct area area = {
        .space = current_space(),
        .start = address,
        .protection = protection & ACCESS_MASK,
        .flags = locked_flag() | on_touch(file, length, protection, flags | locked_flag()) | pristine(file, protection, flags) |
                 (flags & AREA_FLAGS),
        .file = file,
        .object = object,
        .offset = offset,
    };
    lock_space();
    bool replaces = (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
    bool fits = is_within_limits(area.space, length, is_data(area.protection, area.flags), area.start,
                                 replaces ? area.start + length : area.start);
    int64_t result = fits ? 0 : -ENOMEM;
    if (fits && (area.flags & MAP_LOCKED) && !may_lock_more(area.space, length)) {
        result = -EAGAIN;
    }
    result = result ? result : map_locked(area, length, flags);
    unlock_memory();
    bool touches = (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE || (area.flags & (MAP_LOCKED | MAP_LOCKED_ON_FAULT)) == MAP_LOCKED;
    if (result >= 0 && touches && area.protection) {
        memory_touch((user_address)result, (user_address)result + length, FAULT_READ); /* as far as it goes: mmap(2) */
    }
    return result;
}

int64_t memory_map(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                   struct file *file, uint64_t offset)
{
    struct shared_object *object = NULL;
    offset = file ? offset : 0;
    if (flags & MAP_SHARED) {
        int64_t error = 0;
        if (file) {
            error = file_upcalls.object_of(file, &object);
        } else {
            object = shared_create_anonymous(PAGE_UP(length));
            error = object ? 0 : -ENOMEM;
        }
        if (error) {
            return error;
        }
    }
    int64_t result = map_checked(address, length, protection, flags, file, object, offset);
    if (object) {
        object_put(object);
    }
    return result;
}

int64_t memory_reserve(struct file *file, user_address start, uint64_t length, enum loaded_kind kind)
{
    struct area area = {.space = current_space(), .protection = PROT_NONE, .flags = locked_flag() | MAP_PRIVATE | MAP_ANONYMOUS};
    bool is_program = kind == LOADED_PROGRAM && !start;
    if (length > APPLICATION_END) {
        return -ENOMEM;
    }
    lock_space();
    bool fits = is_within_limits(area.space, length, false, 0, 0);
    user_address taken = fits ? loaded_take(file, start, length, is_program ? program_room(length) - length : 0) : 0;
    area.start = taken || !is_program ? taken | start : find_program_place(length);
    int64_t result = fits ? map_locked(area, length, MAP_NORESERVE | (area.start ? MAP_FIXED_NOREPLACE : 0)) : -ENOMEM;
    if (result >= 0 && !taken) {
        loaded_note(file, (user_address)result, (user_address)result + length);
    }
    if (result >= 0 && kind == LOADED_INTERPRETER) {
        area.space->interpreter.start = (user_address)result;
        area.space->interpreter.end = (user_address)result + length;
    }
    unlock_memory();
    return result;
}

int64_t memory_map_object(user_address address, uint64_t length, uint32_t protection, uint32_t flags,
                          struct shared_object *object)
{
    return map_checked(address, length, protection, flags | MAP_SHARED, NULL, object, 0);
}

/* An area would have to be split here. */
static bool lies_within(user_address at)
{
    const struct area_node *node = area_find(&areas, at);
    return node && node->area.start < at;
}

int64_t memory_unmap(user_address address, uint64_t length)
{
    if (length > APPLICATION_END || !range_is_good(address, PAGE_UP(length))) {
        return -EINVAL;
    }
    lock_space();
    user_address end = address + PAGE_UP(length);
    bool ready = reserve_nodes() || (!lies_within(address) && !lies_within(end)); /* no split, no node */
    int64_t result = !ready ? -ENOMEM : has_sealed(current_space(), address, end) ? -EPERM : 0;
    if (!result) {
        unmap_locked(current_space(), address, end);
    }
    unlock_memory();
    return result;
}
