#include "patch.h"

#include "boundary.h"
#include "instruction.h"

#define SYSCALL_SIZE 2U
#define JUMP_SIZE 5U
#define TRAMPOLINE_SIZE 32U
#define TRAMPOLINES_PER_PAGE (PAGE_SIZE / TRAMPOLINE_SIZE - 1) /* the first slot of a page holds the address of syscall_entry */
#define BREAKPOINT 0xCC

/* Decoding starts at every distance from NEAREST to FARTHEST in front of a `syscall`, and each start votes for the length of the instruction
 * that it finds before it. The winner must lead all other votes together by MAJORITY. Over the text of musl, that took one position in 300,000
 * for an instruction that the disassembler did not see, and found all but 1 of 499 `syscall` instructions. */
#define NEAREST 64U
#define FARTHEST 95U
#define MAJORITY ((FARTHEST - NEAREST + 1) / 2)

static bool is_disabled;

void patch_disable(void)
{
    is_disabled = true;
}

/* The length of the last instruction before `end` when decoding from `start` falls on `end`, else 0. */
static size_t last_length(const uint8_t *start, const uint8_t *end)
{
    size_t length = 0;
    for (const uint8_t *at = start; at < end; at += length) {
        length = instruction_length(at, (size_t)(end - at));
        if (!length) {
            return 0;
        }
    }
    return length;
}

/* The movable instruction before the `syscall` at `site`, or NULL. */
static const uint8_t *patchable(const uint8_t *text, const uint8_t *site)
{
    if ((size_t)(site - text) < FARTHEST) {
        return NULL;
    }
    unsigned votes[INSTRUCTION_MAX + 1] = {0}, cast = 0;
    size_t winner = 0;
    for (size_t distance = NEAREST; distance <= FARTHEST; distance++) {
        size_t length = last_length(site - distance, site);
        if (length) {
            cast++;
            votes[length]++;
            winner = votes[length] > votes[winner] ? length : winner;
        }
    }
    bool is_sure = winner && 2 * votes[winner] >= cast + MAJORITY;
    return is_sure && winner >= JUMP_SIZE && instruction_is_movable(site - winner, winner) ? site - winner : NULL;
}

/* The next site from `at` on, or NULL. */
static uint8_t *next_site(const uint8_t *text, uint8_t *at, const uint8_t *end, const uint8_t **instruction)
{
    for (; at + SYSCALL_SIZE <= end; at++) {
        if (at[0] == 0x0F && at[1] == 0x05 && (*instruction = patchable(text, at))) {
            return at;
        }
    }
    return NULL;
}

size_t patch_count(const uint8_t *text, size_t size)
{
    size_t count = 0;
    const uint8_t *instruction;
    uint8_t *at = (uint8_t *)text;
    while (!is_disabled && (at = next_site(text, at, text + size, &instruction))) {
        count++;
        at += SYSCALL_SIZE;
    }
    return count;
}

size_t patch_trampoline_pages(size_t sites)
{
    return (sites + TRAMPOLINES_PER_PAGE - 1) / TRAMPOLINES_PER_PAGE;
}

static uint8_t *put_relative(uint8_t *at, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - (at + 4));
    memcpy(at, &distance, 4);
    return at + 4;
}

static void write_trampoline(uint8_t *at, const uint8_t *instruction, size_t length, const uint8_t *back, const uint8_t *entry_slot)
{
    memcpy(at, instruction, length);
    at += length;
    memcpy(at, "\x48\x8D\x0D", 3); /* lea back(%rip), %rcx */
    at = put_relative(at + 3, back);
    memcpy(at, "\xFF\x25", 2); /* jmp *entry_slot(%rip) */
    put_relative(at + 2, entry_slot);
}

void patch_apply(uint8_t *text, size_t size, uint8_t *trampolines, size_t sites)
{
    memset(trampolines, BREAKPOINT, patch_trampoline_pages(sites) * PAGE_SIZE);
    const uint8_t *instruction;
    uint8_t *at = text;
    for (size_t i = 0; i < sites && (at = next_site(text, at, text + size, &instruction)); i++) {
        uint8_t *page = trampolines + i / TRAMPOLINES_PER_PAGE * PAGE_SIZE;
        uint8_t *trampoline = page + (i % TRAMPOLINES_PER_PAGE + 1) * TRAMPOLINE_SIZE;
        uint64_t entry = (uint64_t)syscall_entry;
        memcpy(page, &entry, sizeof entry);
        uint8_t *start = (uint8_t *)instruction;
        size_t length = (size_t)(at - start);
        write_trampoline(trampoline, start, length, at + SYSCALL_SIZE, page);
        start[0] = 0xE9;
        put_relative(start + 1, trampoline);
        memset(start + JUMP_SIZE, BREAKPOINT, length - JUMP_SIZE);
        at += SYSCALL_SIZE;
    }
}
