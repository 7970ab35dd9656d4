/* Loaded code gets trampolines nearby, by which its `syscall` sites jump into the LibOS. */
#include "memory/loaded.h"
#include "memory/turns.h"

#define JUMP_REACH 0x70000000ULL /* of a jump with a 32-bit distance, with room for the text itself */

/* Without room for trampolines nearby the sites go on trapping. */
static void patch_with(const struct area *text, uint64_t size, struct patch_site *sites)
{
    size_t count = patch_find((const uint8_t *)text->start, size, sites);
    uint64_t length = patch_trampoline_pages(count) * PAGE_SIZE;
    user_address low = text->start > JUMP_REACH + APPLICATION_START ? text->start - JUMP_REACH : APPLICATION_START;
    user_address start = count ? find_gap_within(length, low, PAGE_DOWN(text->start)) : 0;
    if (!start) {
        return;
    }
    if (versions_add(text->space, start, start + length)) {
        commit_remove(start, start + length);
        return;
    }
    struct area_node *node = take_node();
    node->area = (struct area){
        .space = text->space,
        .start = start,
        .end = start + length,
        .protection = PROT_READ | PROT_EXEC,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_PRISTINE,
    };
    area_insert(&areas, node);
    text->space->mapped_pages += length / PAGE_SIZE;
    patch_apply((uint8_t *)text->start, sites, count, (uint8_t *)start);
    commit_protect(start, start + length, PROT_READ | PROT_WRITE, node->area.protection);
    loaded_note_text(text, start, start + length);
}

void patch_text(const struct area *text, uint64_t size)
{
    size_t candidates = size < JUMP_REACH ? patch_candidates((const uint8_t *)text->start, size) : 0;
    if (!candidates) {
        loaded_note_text(text, 0, 0);
        return;
    }
    struct patch_site *sites = allocate(candidates * sizeof *sites);
    if (sites) {
        patch_with(text, size, sites);
        release(sites, candidates * sizeof *sites);
    }
}
