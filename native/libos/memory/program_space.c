/* Spaces as programs have them: where the next program lies, and what becomes of its areas when it ends. */
#include "memory/loaded.h"
#include "memory/object.h"
#include "memory/turns.h"

/* Programs lie this far apart, so that each heap can grow; closer when places run short. */
#define STRIDE_MAX 0x40000000ULL
#define STRIDE_MIN 0x1000000ULL

static struct space *free_spaces;

struct space *space_create(void)
{
    lock_memory();
    struct space *space = free_spaces;
    if (space) {
        free_spaces = space->residence.next;
        size_t kept = offsetof(struct space, references); /* a late wake may be about to look at it */
        memset((char *)space + kept, 0, sizeof *space - kept);
    }
    unlock_memory();
    space = space ? space : allocate(sizeof *space);
    if (space) {
        space->references = 1;
        space->id = object_new_id();
        space->limits = NO_MEMORY_LIMITS;
    }
    return space;
}

struct space *space_get(struct space *space)
{
    __atomic_fetch_add(&space->references, 1, __ATOMIC_RELAXED);
    return space;
}

static void put(struct space *space, uint32_t counts)
{
    if (__atomic_sub_fetch(&space->references, counts, __ATOMIC_ACQ_REL) == 0) {
        space_clear(space);
        if (space != &first_space) {
            lock_memory();
            space->residence.next = free_spaces;
            free_spaces = space;
            unlock_memory();
        }
    }
}

void space_put(struct space *space)
{
    put(space, 1);
}

int64_t space_visit(struct space *space)
{
    uint32_t references = __atomic_load_n(&space->references, __ATOMIC_ACQUIRE);
    do {
        if (!(references & SPACE_PROCESSES)) {
            return -ESRCH;
        }
        if (references & SPACE_CLAIMED) {
            return -EBUSY;
        }
    } while (!__atomic_compare_exchange_n(&space->references, &references, references + SPACE_VISITOR, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    space_enter(space);
    return 0;
}

void space_end_visit(struct space *own)
{
    struct space *visited = current_space();
    space_enter(own);
    put(visited, SPACE_VISITOR);
}

bool space_claim(struct space *space)
{
    uint32_t alone = 1;
    return __atomic_compare_exchange_n(&space->references, &alone, 1 | SPACE_CLAIMED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void space_release(struct space *space)
{
    __atomic_and_fetch(&space->references, ~SPACE_CLAIMED, __ATOMIC_RELEASE);
}

int64_t space_fork(struct space **copy)
{
    struct space *space = current_space(), *newcomer = space_create();
    if (!newcomer) {
        return -ENOMEM;
    }
    mutex_lock(&space->heap.lock);
    lock_space();
    int64_t error = versions_widen(space);
    error = error ? error : turns_join(space, newcomer);
    error = error ? error : versions_fork(space, newcomer);
    newcomer->limits = space->limits;
    newcomer->interpreter = space->interpreter;
    newcomer->heap.start = space->heap.start;
    newcomer->heap.end = space->heap.end;
    unlock_memory();
    mutex_unlock(&space->heap.lock);
    if (error) {
        space_put(newcomer);
        return error;
    }
    *copy = newcomer;
    return 0;
}

bool space_is_shared(const struct space *space)
{
    return (__atomic_load_n(&space->references, __ATOMIC_ACQUIRE) & SPACE_PROCESSES) > 1;
}

/* What was not resident has nothing in place. */
static void drop_absent(struct space *space)
{
    struct area_tree *tree = &space->residence.areas;
    for (struct area_node *node; (node = area_from(tree, 0));) {
        uint64_t pages = (node->area.end - node->area.start) / PAGE_SIZE;
        if (node->area.object) {
            shared_let_go(&node->area);
        }
        space->mapped_pages -= pages;
        space->locked_pages -= node->area.flags & MAP_LOCKED ? pages : 0;
        area_remove(tree, node);
        drop_node(node);
    }
}

static void forget(struct space *space)
{
    space->heap.start = space->heap.end = 0;
    space->interpreter.start = space->interpreter.end = 0;
    space->limits = NO_MEMORY_LIMITS;
    space->locks_future = 0;
    space->residence.is_whole = false;
}

static void clear_locked(struct space *space)
{
    if (space->residence.turns) {
        turns_leave(space);
        drop_absent(space);
    }
    loaded_leave(space);
    unmap_locked(space, APPLICATION_START, APPLICATION_END);
    forget(space);
}

void space_clear(struct space *space)
{
    lock_memory();
    clear_locked(space);
    unlock_memory();
}

int64_t space_check_place(const struct space *space, user_address start, user_address end)
{
    struct space *neighbour;
    lock_memory();
    loaded_make_way(start, end);
    int64_t error = turns_find_neighbour(space, start, end, &neighbour);
    unlock_memory();
    return error;
}

int64_t space_clear_for(struct space *space, user_address start, user_address end)
{
    struct space *neighbour;
    bool is_own = space == current_space();
    is_own ? lock_space() : lock_memory();
    loaded_make_way(start, end);
    int64_t error = turns_find_neighbour(space, start, end, &neighbour);
    bool stays = is_own && neighbour && space->residence.turns && neighbour->residence.turns == space->residence.turns;
    if (stays) {
        loaded_forget(space);
        unmap_locked(space, APPLICATION_START, APPLICATION_END);
        forget(space);
    } else {
        clear_locked(space);
    }
    unlock_memory();
    if (error || !neighbour || stays) {
        return error;
    }
    if (is_own) {
        space_go_away(); /* the other one is resident */
    }
    lock_memory();
    loaded_make_way(start, end);
    error = turns_find_neighbour(space, start, end, &neighbour); /* it may have ended meanwhile */
    if (!error && neighbour) {
        bool is_high = end > MMAP_LOW;
        error = is_high && !neighbour->residence.turns ? versions_widen(neighbour) : 0;
        error = error ? error : turns_join(neighbour, space);
        space->residence.is_whole = is_high;
        error = error ? error : versions_leave_out_all(space);
    }
    unlock_memory();
    return error;
}

void heap_start_apart(user_address otherwise)
{
    struct area guard = {.space = current_space(), .protection = PROT_NONE, .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    lock_space();
    guard.start = find_program_place(PAGE_SIZE);
    bool done = guard.start && map_locked(guard, PAGE_SIZE, MAP_NORESERVE | MAP_FIXED_NOREPLACE) >= 0;
    unlock_memory();
    heap_start(done ? guard.start + PAGE_SIZE : otherwise);
}

uint64_t program_room(uint64_t length)
{
    return length < STRIDE_MAX / 2 ? STRIDE_MAX : length + STRIDE_MAX / 2;
}

static user_address look_for_place(uint64_t length)
{
    user_address found = 0;
    for (uint64_t stride = STRIDE_MAX; stride >= STRIDE_MIN && !found; stride /= 2) {
        uint64_t room = length < stride / 2 ? stride : length + stride / 2;
        for (user_address at = PROGRAM_BASE; at < MMAP_HIGH - room && !found; at += stride) {
            found = place_is_free(at, at + room) ? at : 0;
        }
    }
    return found;
}

user_address find_program_place(uint64_t length)
{
    user_address found = look_for_place(length);
    while (!found && loaded_drop_oldest()) {
        found = look_for_place(length);
    }
    return found;
}
