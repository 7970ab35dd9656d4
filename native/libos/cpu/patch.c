/*
 * Load-time patching of `syscall` sites. A trapped `syscall` costs an exception; a patched site jumps to the
 * LibOS.
 *
 * What is patched is the block before a `syscall`: as few whole instructions as make up 5 bytes, all movable
 * (instruction.h). They are moved to a trampoline and replaced by a jump there. The `syscall` itself stays,
 * so code that jumps to it directly still works, by trapping. Patching happens before any thread can run the
 * bytes, never later. Why it is safe:
 *
 * Nothing can jump into the middle of a block that is one instruction. A block of several is left alone if
 * any bytes of the text, read as a direct branch, lead into its middle: compilers reach a place in
 * straight-line code by direct branches, and a place that a jump table reaches is also the target of the
 * table's range check or of another case. A return address is no such place, since no instruction of a block
 * is a call.
 *
 * Bytes that only look like a block are left alone: decoding must see the same instructions from most of many
 * starting points in front of them. x86 decoding falls into step with the true instruction stream within a
 * few instructions; where the starting points do not agree, there is data or the middle of an instruction.
 */
#include "cpu/cpu.h"
#include "cpu/instruction.h"

#define SYSCALL_SIZE 2U
#define JUMP_SIZE 5U
#define BLOCK_MAX (JUMP_SIZE - 1 + INSTRUCTION_MAX)
#define BREAKPOINT 0xCC

/* A trampoline: the block, LEA (7 bytes), JMP (6 bytes). The first slot of a page holds the address of
 * syscall_entry. */
#define TRAMPOLINE_SIZE 32U
#define TRAMPOLINES_PER_PAGE (PAGE_SIZE / TRAMPOLINE_SIZE - 1)

_Static_assert(BLOCK_MAX + 7 + 6 <= TRAMPOLINE_SIZE, "the longest block fits");

/* Decoding starts at every distance from NEAREST to FARTHEST before a `syscall`, and each start votes. The
 * winner must lead all other votes together by MAJORITY. Tried on every position of musl's text, one in
 * 300,000 was taken for the end of an instruction that is none, and 498 of 499 `syscall` instructions were
 * recognised. */
#define NEAREST 64U
#define FARTHEST 95U
#define MAJORITY ((FARTHEST - NEAREST + 1) / 2)

static bool is_disabled;

void patch_disable(void)
{
    is_disabled = true;
}

static int32_t distance_at(const uint8_t *text)
{
    typedef int32_t unaligned __attribute__((aligned(1), may_alias));
    return *(const unaligned *)text; /* memcpy() is a call here */
}

/* places.zig */
typedef void mark_function(const uint8_t *text, size_t count, uint64_t *marks);
mark_function places_of_syscalls HIDDEN, places_of_branches HIDDEN;

/* The places of one kind in a text, in their order. Large texts are looked through a piece at a time. */
#define BYTES_PER_MARKS 64U
#define PIECE_SIZE (BYTES_PER_MARKS * 256U)

struct places {
    const uint8_t *text;
    size_t size;
    mark_function *mark;
    size_t start, end; /* of the piece that is marked */
    size_t at;         /* what of it has been given out: whole words of marks */
    uint64_t marks[PIECE_SIZE / BYTES_PER_MARKS];
};

static void mark_piece(void *argument)
{
    struct places *places = argument;
    uint8_t last[BYTES_PER_MARKS + 1] = {0};
    size_t left = places->size - places->end, piece = left <= BYTES_PER_MARKS ? left : (left - 1) / BYTES_PER_MARKS * BYTES_PER_MARKS;
    places->start = places->at = places->end;
    if (left <= BYTES_PER_MARKS) {
        memcpy(last, places->text + places->start, left);
        places->mark(last, 1, places->marks);
    } else {
        piece = piece < PIECE_SIZE ? piece : PIECE_SIZE;
        places->mark(places->text + places->start, piece / BYTES_PER_MARKS, places->marks);
    }
    places->end += piece;
}

/* The next place, or `size`. */
static size_t next_place(struct places *places)
{
    for (;;) {
        for (; places->at < places->end; places->at += BYTES_PER_MARKS) {
            uint64_t *marks = &places->marks[(places->at - places->start) / BYTES_PER_MARKS];
            if (*marks) {
                size_t found = places->at + (size_t)__builtin_ctzll(*marks);
                *marks &= *marks - 1;
                return found;
            }
        }
        if (places->end == places->size) {
            return places->size;
        }
        base_upcalls.with_vector_registers(mark_piece, places);
    }
}

/* The next `syscall` with enough in front of it to be decoded. */
static size_t next_syscall(struct places *places)
{
    size_t at;
    do {
        at = next_place(places);
    } while (at < FARTHEST && at < places->size);
    return at;
}

size_t patch_candidates(const uint8_t *text, size_t size)
{
    struct places places = {.text = text, .size = size, .mark = places_of_syscalls};
    size_t count = 0;
    while (!is_disabled && next_syscall(&places) < size) {
        count++;
    }
    return count;
}

/* What most starting points see (Boyer and Moore's majority vote, then a count), or 0. Bit n - 1: an instruction
 * starts n bytes before the site. */
static uint32_t agreed_starts(const uint8_t *site)
{
    uint32_t seen[FARTHEST + 1] = {0}; /* by distance of the starting point; 0: decoding does not fall on the site */
    uint8_t lengths[FARTHEST + 1] = {0}; /* where decoding comes by; it falls into step, so most other places need no decoding */
    bool is_passed[FARTHEST + 1] = {0};
    for (size_t distance = FARTHEST; distance > 0; distance--) {
        if (distance >= NEAREST || is_passed[distance]) {
            lengths[distance] = (uint8_t)instruction_length(site - distance, distance);
            is_passed[distance - lengths[distance]] = true;
        }
    }
    for (size_t distance = 1; distance <= FARTHEST; distance++) {
        size_t length = lengths[distance];
        uint32_t bit = distance <= BLOCK_MAX ? 1U << (distance - 1) : 0;
        uint32_t rest = length ? seen[distance - length] : 0; /* decoding goes on where a nearer point started */
        seen[distance] = length == distance ? bit : rest ? rest | bit : 0;
    }
    uint32_t winner = 0;
    unsigned lead = 0, with = 0, against = 0;
    for (size_t distance = NEAREST; distance <= FARTHEST; distance++) {
        if (seen[distance]) {
            winner = lead ? winner : seen[distance];
            lead = seen[distance] == winner ? lead + 1 : lead - 1;
        }
    }
    for (size_t distance = NEAREST; distance <= FARTHEST; distance++) {
        with += seen[distance] && seen[distance] == winner;
        against += seen[distance] && seen[distance] != winner;
    }
    return with >= against + MAJORITY ? winner : 0;
}

/* The size of the block before the `syscall` at `site`, or 0. */
static size_t block_size(const uint8_t *site)
{
    uint32_t starts = agreed_starts(site);
    size_t end = 0; /* distances from the site */
    for (size_t start = 1; start <= BLOCK_MAX; start++) {
        if (!(starts >> (start - 1) & 1)) {
            continue;
        }
        if (!instruction_is_movable(site - start, start - end)) {
            return 0;
        }
        if (start >= JUMP_SIZE) {
            return start;
        }
        end = start;
    }
    return 0;
}

static bool is_middle(const struct patch_site *site, int64_t target)
{
    return target > site->start && target < site->end;
}

/* Which stretches of the text, folded, have a part of a block: almost all branches lead elsewhere, and are known by one bit. */
#define STRETCH 32U
#define STRETCHES 32768U
_Static_assert(BLOCK_MAX <= STRETCH, "a block reaches into two stretches at most");

struct stretches {
    uint64_t words[STRETCHES / 64];
};

static void note_stretch(struct stretches *stretches, uint64_t at)
{
    uint64_t stretch = at / STRETCH % STRETCHES;
    stretches->words[stretch / 64] |= 1ULL << (stretch % 64);
}

static bool may_be_in_block(const struct stretches *stretches, int64_t target)
{
    uint64_t stretch = (uint64_t)target / STRETCH % STRETCHES;
    return stretches->words[stretch / 64] >> (stretch % 64) & 1;
}

/* The site whose block has `target` in its middle, or NULL. */
static struct patch_site *site_at(struct patch_site *sites, size_t count, int64_t target)
{
    size_t low = 0, high = count; /* the first site that ends behind the target is in [low, high] */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sites[middle].end > target) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low < count && is_middle(&sites[low], target) ? &sites[low] : NULL;
}

/* Whatever may be a branch, at whatever offset, counts: too many are found rather than too few. */
static bool is_short_branch(uint8_t opcode)
{
    return (opcode & 0xF0) == 0x70 || opcode == 0xEB || (opcode & 0xFC) == 0xE0;
}

/* Does a branch with an 8-bit distance lead into the block? */
static bool is_near_target(const uint8_t *text, size_t size, const struct patch_site *site)
{
    size_t at = site->start > 128 ? site->start - 128 : 0;
    size_t end = size - site->end > 128 ? site->end + 128 : size - 1;
    for (; at < end; at++) {
        if (is_short_branch(text[at]) && is_middle(site, (int64_t)at + 2 + (int8_t)text[at + 1])) {
            return true;
        }
    }
    return false;
}

static void drop(struct patch_site *site)
{
    site->start = site->end;
}

/* Blocks of one instruction need no check: nothing leads into its middle. */
static bool is_single(const uint8_t *text, const struct patch_site *site)
{
    size_t size = site->end - site->start;
    return instruction_length(text + site->start, size) == size;
}

/* Drops the site that the branch at `at` leads into. */
static void drop_target(const uint8_t *text, size_t size, size_t at, const struct stretches *stretches, struct patch_site *sites, size_t count)
{
    size_t end = at + 5 + (text[at] == 0x0F);
    if (end > size) {
        return;
    }
    int64_t target = (int64_t)end + distance_at(text + end - sizeof(int32_t));
    struct patch_site *site = may_be_in_block(stretches, target) ? site_at(sites, count, target) : NULL;
    if (site && !is_single(text, site)) {
        drop(site);
    }
}

static void drop_branch_targets(const uint8_t *text, size_t size, struct patch_site *sites, size_t count)
{
    struct stretches stretches = {0};
    size_t several = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_single(text, &sites[i])) {
            continue;
        }
        several++;
        note_stretch(&stretches, sites[i].start);
        note_stretch(&stretches, sites[i].end);
        if (is_near_target(text, size, &sites[i])) {
            drop(&sites[i]);
        }
    }
    if (!several) {
        return;
    }
    struct places branches = {.text = text, .size = size, .mark = places_of_branches};
    for (size_t at; (at = next_place(&branches)) < size;) {
        drop_target(text, size, at, &stretches, sites, count);
    }
}

size_t patch_find(const uint8_t *text, size_t size, struct patch_site *sites)
{
    struct places syscalls = {.text = text, .size = size, .mark = places_of_syscalls};
    size_t found = 0, kept = 0;
    for (size_t at; (at = next_syscall(&syscalls)) < size;) {
        size_t block = block_size(text + at);
        if (block) {
            sites[found++] = (struct patch_site){.start = (uint32_t)(at - block), .end = (uint32_t)at};
        }
    }
    if (found) {
        drop_branch_targets(text, size, sites, found);
    }
    for (size_t i = 0; i < found; i++) {
        if (sites[i].start != sites[i].end) {
            sites[kept++] = sites[i];
        }
    }
    return kept;
}

size_t patch_trampoline_pages(size_t count)
{
    return (count + TRAMPOLINES_PER_PAGE - 1) / TRAMPOLINES_PER_PAGE;
}

static uint8_t *put_distance(uint8_t *at, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - (at + 4));
    memcpy(at, &distance, 4);
    return at + 4;
}

static void write_trampoline(uint8_t *at, const uint8_t *block, size_t size, const uint8_t *back,
                             const uint8_t *entry_slot)
{
    memcpy(at, block, size);
    at += size;
    memcpy(at, "\x48\x8D\x0D", 3); /* lea back(%rip), %rcx */
    at = put_distance(at + 3, back);
    memcpy(at, "\xFF\x25", 2); /* jmp *entry_slot(%rip) */
    put_distance(at + 2, entry_slot);
}

void patch_apply(uint8_t *text, const struct patch_site *sites, size_t count, uint8_t *trampolines)
{
    const uint64_t entry = (uint64_t)syscall_entry;
    memset(trampolines, BREAKPOINT, patch_trampoline_pages(count) * PAGE_SIZE);
    for (size_t i = 0; i < count; i++) {
        uint8_t *page = trampolines + i / TRAMPOLINES_PER_PAGE * PAGE_SIZE;
        uint8_t *trampoline = page + (i % TRAMPOLINES_PER_PAGE + 1) * TRAMPOLINE_SIZE;
        uint8_t *block = text + sites[i].start, *site = text + sites[i].end;
        size_t size = (size_t)(site - block);
        memcpy(page, &entry, sizeof entry);
        write_trampoline(trampoline, block, size, site + SYSCALL_SIZE, page);
        block[0] = 0xE9; /* jmp */
        put_distance(block + 1, trampoline);
        memset(block + JUMP_SIZE, BREAKPOINT, size - JUMP_SIZE);
    }
}
