/* Loaded code gets trampolines nearby, by which its `syscall` sites jump into the LibOS. */
#include "memory/turns.h"

#define JUMP_REACH 0x70000000ULL /* of a jump with a 32-bit distance, with room for the text itself */

/* Without room for trampolines nearby the sites go on trapping. */
static void patch_with(struct space *space, user_address text, uint64_t size, struct patch_site *sites)
{
    size_t count = patch_find((const uint8_t *)text, size, sites);
    uint64_t length = patch_trampoline_pages(count) * PAGE_SIZE;
    user_address low = text > JUMP_REACH + APPLICATION_START ? text - JUMP_REACH : APPLICATION_START;
    user_address start = count ? find_gap_within(length, low, PAGE_DOWN(text)) : 0;
    if (!start) {
        return;
    }
    if (versions_add(space, start, start + length)) {
        commit_remove(start, start + length);
        return;
    }
    struct area_node *node = take_node();
    node->area = (struct area){
        .space = space,
        .start = start,
        .end = start + length,
        .protection = PROT_READ | PROT_EXEC,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS,
    };
    area_insert(&areas, node);
    space->mapped_pages += length / PAGE_SIZE;
    patch_apply((uint8_t *)text, sites, count, (uint8_t *)start);
    commit_protect(start, start + length, PROT_READ | PROT_WRITE, node->area.protection);
}

void patch_text(struct space *space, user_address text, uint64_t size)
{
    size_t candidates = size < JUMP_REACH ? patch_candidates((const uint8_t *)text, size) : 0;
    struct patch_site *sites = candidates ? allocate(candidates * sizeof *sites) : NULL;
    if (sites) {
        patch_with(space, text, size, sites);
        release(sites, candidates * sizeof *sites);
    }
}
