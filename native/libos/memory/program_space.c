/* Spaces as programs have them: where the next program lies, and what becomes of its areas when it ends. */
#include "memory/space.h"

/* Programs lie this far apart, so that each heap can grow; closer when places run short. */
#define STRIDE_MAX 0x40000000ULL
#define STRIDE_MIN 0x1000000ULL

struct space *space_create(void)
{
    struct space *space = allocate(sizeof *space);
    if (space) {
        *space = (struct space){.references = 1, .limits = NO_MEMORY_LIMITS};
    }
    return space;
}

struct space *space_get(struct space *space)
{
    __atomic_fetch_add(&space->references, 1, __ATOMIC_RELAXED);
    return space;
}

void space_put(struct space *space)
{
    if (__atomic_sub_fetch(&space->references, 1, __ATOMIC_ACQ_REL) == 0) {
        space_clear(space);
        if (space != &first_space) {
            release(space, sizeof *space);
        }
    }
}

bool space_is_shared(const struct space *space)
{
    return __atomic_load_n(&space->references, __ATOMIC_ACQUIRE) > 1;
}

bool memory_is_taken(const struct space *own, user_address start, user_address end)
{
    lock_memory();
    bool taken = is_foreign(own, start, end);
    unlock_memory();
    return taken;
}

void space_clear(struct space *space)
{
    lock_memory();
    unmap_locked(space, APPLICATION_START, APPLICATION_END);
    space->heap.start = space->heap.end = 0;
    space->limits = NO_MEMORY_LIMITS;
    space->locks_future = 0;
    unlock_memory();
}

user_address memory_program_place(uint64_t length)
{
    user_address found = 0;
    if (length > APPLICATION_END) {
        return 0;
    }
    lock_memory();
    for (uint64_t stride = STRIDE_MAX; stride >= STRIDE_MIN && !found; stride /= 2) {
        uint64_t room = length < stride / 2 ? stride : length + stride / 2;
        for (user_address at = PROGRAM_BASE; at < MMAP_HIGH - room && !found; at += stride) {
            found = area_is_free(&areas, at, at + room) ? at : 0;
        }
    }
    unlock_memory();
    return found;
}
