/*
 * Instructions that need one page of an object at two addresses at once: an access across the border of two views side by side, a copy from view to
 * view, code that stores to its own page through another view. Moving the page would go on for ever. Such an instruction runs elsewhere: a copy of
 * it in a page of its own, with `ud2` behind it, and where it meets a view whose page it has at another address already, a copy of that page. When it is
 * done, what it has stored there goes to the page itself. It is one instruction that others see in steps, as they would one that is not atomic.
 */
#include "memory/object.h"

#define JUMP_REACH 0x70000000ULL /* of a 32-bit displacement */
#define UD2_SIZE 2U

/* The same registers fault at one page, at another, and at the first again: nothing has gone on in between. */
static bool goes_in_circles(struct step *step, const struct context *context, user_address page)
{
    bool is_same = memcmp(&step->last, context, sizeof *context) == 0;
    bool circles = is_same && page == step->pages[0] && page != step->pages[1];
    step->last = *context;
    step->pages[0] = is_same ? step->pages[1] : 0;
    step->pages[1] = page;
    return circles;
}

/* As much of an instruction as can be read. */
static size_t read_code(user_address from, uint8_t code[INSTRUCTION_MAX])
{
    size_t first = PAGE_SIZE - from % PAGE_SIZE;
    first = first < INSTRUCTION_MAX ? first : INSTRUCTION_MAX;
    if (copy_from_user(code, from, first)) {
        return 0;
    }
    return first < INSTRUCTION_MAX && !copy_from_user(code + first, from + first, INSTRUCTION_MAX - first) ? INSTRUCTION_MAX : first;
}

/* The instruction for another place, with `ud2` behind it, in a fresh page of the LibOS; NULL: it cannot be moved. */
static uint8_t *compose(const uint8_t *code, size_t length, int64_t distance)
{
    size_t relative = instruction_relative(code, length);
    int32_t displacement = 0;
    if (relative) {
        memcpy(&displacement, code + relative, sizeof displacement);
        if (__builtin_sub_overflow(displacement, distance, &displacement)) {
            return NULL;
        }
    }
    uint8_t *page = pages_allocate(1);
    if (page) {
        memcpy(page, code, length);
        if (relative) {
            memcpy(page + relative, &displacement, sizeof displacement);
        }
        page[length] = 0x0F;
        page[length + 1] = 0x0B;
    }
    return page;
}

/* A page of the space that can be executed and nothing else, near `rip`. 0: no room, no memory. */
static user_address map_slot(struct space *space, user_address rip, const uint8_t *code, size_t length)
{
    user_address low = rip > JUMP_REACH + APPLICATION_START ? rip - JUMP_REACH : APPLICATION_START;
    user_address high = PAGE_DOWN(rip < MMAP_HIGH ? rip : MMAP_HIGH);
    user_address at = reserve_nodes() ? area_find_gap(&areas, PAGE_SIZE, low, high) : 0;
    uint8_t *page = at ? compose(code, length, (int64_t)(at - rip)) : NULL;
    if (!page || commit_add_pending(at, at + PAGE_SIZE)) {
        pages_release(page, 1);
        return 0;
    }
    if (enclave_accept_copy(at, page, PROT_READ | PROT_EXEC) || host_memory_protect(at, PAGE_SIZE, PROT_READ | PROT_EXEC)) {
        fatal("the host did not change the memory at 0x%lx", at);
    }
    pages_release(page, 1);
    struct area_node *node = take_node();
    node->area = (struct area){
        .space = space, .start = at, .end = at + PAGE_SIZE, .protection = PROT_READ | PROT_EXEC, .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    area_insert(&areas, node);
    space->mapped_pages++;
    return at;
}

static int64_t begin(struct step *step, struct context *context)
{
    uint8_t code[INSTRUCTION_MAX];
    size_t size = read_code(context->rip, code), length = instruction_length(code, size);
    if (!length || instruction_changes_flow(code, length)) {
        return -EIO;
    }
    lock_memory();
    user_address slot = map_slot(current_space(), context->rip, code, length);
    unlock_memory();
    if (!slot) {
        return -EIO;
    }
    *step = (struct step){.rip = context->rip, .slot = slot, .length = length};
    context->rip = slot;
    return 0;
}

/* Both locks are held. */
static int64_t add_copy(struct step *step, const struct area *area, user_address page, uint64_t place)
{
    struct page_copy *copy = &step->copies[step->copy_count];
    uint8_t *original = pages_allocate(1);
    uint32_t rights = area->protection & ACCESS_MASK ? (area->protection & ACCESS_MASK) | PROT_READ : 0;
    if (!original || !(place & PROT_READ) || commit_add_pending(page, page + PAGE_SIZE)) {
        pages_release(original, 1);
        return -EIO;
    }
    memcpy(original, (const void *)place_address(place), PAGE_SIZE);
    rights &= ~(uint32_t)PROT_EXEC;
    if (enclave_accept_copy(page, original, rights)) {
        fatal("the host did not change the memory of a shared mapping at 0x%lx", page);
    }
    *copy = (struct page_copy){.object = area->object, .page = page_in_object(area, page), .address = page, .original = original, .rights = rights};
    object_get(area->object);
    step->copy_count++;
    return 0;
}

/* Has the instruction touched the page where it is now? Then it stays there. */
static bool has_touched(const struct step *step, const struct area *area, user_address page, uint64_t *place)
{
    const uint64_t *found = page_index_find(&area->object->pages, page_in_object(area, page));
    *place = found ? *found : 0;
    for (uint32_t at = 0; *place && at < step->taken_count; at++) {
        if (place_address(*place) == step->taken[at] && step->taken[at] != page) {
            return true;
        }
    }
    return false;
}

/* 0 when the page is there now; -ENOENT: it is none of those that the instruction needs twice. */
static int64_t serve_copy(struct step *step, user_address page, enum fault_access access)
{
    const struct area_node *node = find_own(current_space(), page);
    int64_t result = -ENOENT;
    uint64_t place;
    if (!node || !node->area.object) {
        return result;
    }
    mutex_lock(&node->area.object->lock);
    if (has_touched(step, &node->area, page, &place)) {
        bool is_allowed = node->area.protection & (access == FAULT_WRITE ? PROT_WRITE : ACCESS_MASK);
        result = !is_allowed ? -EACCES : commit_test(page) ? -EAGAIN : add_copy(step, &node->area, page, place);
    }
    mutex_unlock(&node->area.object->lock);
    return result;
}

/* A fault of the instruction that runs elsewhere. It waits for nobody, since others may wait for its copies: it begins anew instead. */
static int64_t serve(struct step *step, struct context *context, user_address page, enum fault_access access)
{
    int64_t result = -EAGAIN;
    if (step->copy_count < STEP_COPIES && step->taken_count < STEP_COPIES) {
        lock_memory();
        result = serve_copy(step, page, access);
        unlock_memory();
    }
    if (result == -ENOENT) {
        result = fault_once(page, access);
        step->taken[step->taken_count++] = page;
    }
    if (result == -EAGAIN) {
        step_end(context);
        let_others_use_pages();
        result = 0;
    }
    return result;
}

static void store_changes(const struct page_copy *copy)
{
    uint8_t *to = NULL;
    const uint8_t *from = (const uint8_t *)copy->address;
    for (size_t at = 0; at < PAGE_SIZE; at++) {
        if (from[at] != copy->original[at]) {
            to = to ? to : holder_change(copy->object, copy->page);
            if (to) { /* not cut off meanwhile */
                to[at] = from[at];
            }
        }
    }
}

/* Both locks are held. */
static void end_copy(const struct page_copy *copy)
{
    const struct area_node *node = area_find(&areas, copy->address);
    bool is_there = node && node->area.object == copy->object && page_in_object(&node->area, copy->address) == copy->page &&
                    commit_test(copy->address);
    if (!is_there) {
        return; /* unmapped meanwhile */
    }
    if (copy->rights & PROT_WRITE) {
        if (host_memory_protect(copy->address, PAGE_SIZE, PROT_READ) || enclave_accept_restricted(copy->address, PAGE_SIZE, PROT_READ)) {
            fatal("the host did not change the memory of a shared mapping at 0x%lx", copy->address);
        }
        store_changes(copy);
    }
    commit_remove(copy->address, copy->address + PAGE_SIZE);
}

void step_end(struct context *context)
{
    struct step *step = current_step();
    if (!step->slot) {
        return;
    }
    context->rip = context->rip == step->slot ? step->rip : context->rip == step->slot + step->length ? step->rip + step->length : context->rip;
    lock_memory();
    for (uint32_t at = 0; at < step->copy_count; at++) {
        const struct page_copy *copy = &step->copies[at];
        mutex_lock(&copy->object->lock);
        end_copy(copy);
        mutex_unlock(&copy->object->lock);
        object_put(copy->object);
        pages_release(copy->original, 1);
    }
    unmap_locked(current_space(), step->slot, step->slot + PAGE_SIZE);
    unlock_memory();
    *step = (struct step){0};
}

bool step_is_done(const struct context *context)
{
    const struct step *step = current_step();
    return step->slot && context->rip == step->slot + step->length;
}

int64_t memory_fault_of(struct context *context, user_address address, enum fault_access access)
{
    struct step *step = current_step();
    if (step->slot && context->rip == step->slot) {
        return serve(step, context, PAGE_DOWN(address), access);
    }
    int64_t result = memory_fault(address, access);
    if (!result && goes_in_circles(step, context, PAGE_DOWN(address))) {
        result = begin(step, context);
        if (result) {
            log_line(LOG_ERROR, "the instruction at 0x%lx needs a page of a shared mapping at two addresses", context->rip);
        }
    }
    return result;
}
