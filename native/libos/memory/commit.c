/*
 * Dynamic enclave memory of the application, with the order of steps that boundary.h asks for. One bit for
 * each page, and one more that says whether it is frozen; the bitmaps are themselves pages of the LibOS, made when their part of the range is first used.
 */
#include "memory/commit.h"

#define PAGES_PER_BITMAP (8 * PAGE_SIZE)
#define BITMAP_SPAN (PAGES_PER_BITMAP * PAGE_SIZE)
#define BITMAP_COUNT (APPLICATION_END / BITMAP_SPAN)

_Static_assert(APPLICATION_END % BITMAP_SPAN == 0, "bitmaps fill the range");

static uint64_t *bitmaps[BITMAP_COUNT]; /* which are there */
static uint64_t *frozen[BITMAP_COUNT];  /* which of them are frozen; missing: none in this part */

static uint64_t word_of(uint64_t *const map[BITMAP_COUNT], uint64_t page)
{
    const uint64_t *bitmap = map[page / PAGES_PER_BITMAP];
    return bitmap ? bitmap[page % PAGES_PER_BITMAP / 64] : 0;
}

static bool bit_of(uint64_t *const map[BITMAP_COUNT], user_address address)
{
    uint64_t page = address / PAGE_SIZE;
    return word_of(map, page) >> (page % 64) & 1;
}

bool commit_test(user_address address)
{
    return bit_of(bitmaps, address);
}

bool commit_is_frozen(user_address address)
{
    return bit_of(frozen, address);
}

user_address commit_run(user_address start, user_address end, bool *committed)
{
    *committed = commit_test(start);
    uint64_t page = start / PAGE_SIZE + 1;
    uint64_t last = end / PAGE_SIZE;
    while (page < last) {
        if (page % PAGES_PER_BITMAP == 0 && !bitmaps[page / PAGES_PER_BITMAP] && !*committed) {
            page += PAGES_PER_BITMAP;
            continue;
        }
        uint64_t word = word_of(bitmaps, page);
        if (page % 64 == 0 && word == (*committed ? UINT64_MAX : 0)) {
            page += 64;
        } else if ((word >> (page % 64) & 1) == *committed) {
            page++;
        } else {
            break;
        }
    }
    return (page < last ? page : last) * PAGE_SIZE;
}

static bool prepare(uint64_t *map[BITMAP_COUNT], user_address start, user_address end)
{
    for (uint64_t i = start / BITMAP_SPAN; i <= (end - 1) / BITMAP_SPAN; i++) {
        if (!map[i] && !(map[i] = pages_allocate(1))) {
            return false;
        }
    }
    return true;
}

static void mark(uint64_t *map[BITMAP_COUNT], user_address start, user_address end, bool value)
{
    for (uint64_t page = start / PAGE_SIZE; page < end / PAGE_SIZE; page++) {
        uint64_t *bitmap = map[page / PAGES_PER_BITMAP], bit = 1ULL << (page % 64);
        if (bitmap) {
            uint64_t *word = &bitmap[page % PAGES_PER_BITMAP / 64];
            *word = value ? *word | bit : *word & ~bit;
        }
    }
}

static int add_run(user_address start, user_address end, int (*add)(uint64_t address, uint64_t length))
{
    uint64_t pages = (end - start) / PAGE_SIZE;
    if (!pages_charge(pages)) {
        return -ENOMEM;
    }
    if (add(start, end - start)) {
        pages_uncharge(pages);
        return -ENOMEM;
    }
    mark(bitmaps, start, end, true);
    return 0;
}

int commit_add_pending(user_address start, user_address end)
{
    return prepare(bitmaps, start, end) ? add_run(start, end, host_memory_add) : -ENOMEM;
}

int commit_add(user_address start, user_address end)
{
    if (start >= end) {
        return 0;
    }
    if (!prepare(bitmaps, start, end)) {
        return -ENOMEM;
    }
    bool committed;
    for (user_address next; start < end; start = next) {
        next = commit_run(start, end, &committed);
        if (!committed && add_run(start, next, enclave_add)) {
            return -ENOMEM;
        }
    }
    return 0;
}

static void remove_pages(user_address start, user_address end, void (*count)(uint64_t pages))
{
    bool committed;
    for (user_address next; start < end; start = next) {
        next = commit_run(start, end, &committed);
        uint64_t length = next - start;
        if (!committed) {
            continue;
        }
        if (enclave_remove(start, length)) {
            fatal("the host did not remove memory at 0x%lx", start);
        }
        mark(bitmaps, start, next, false);
        mark(frozen, start, next, false);
        count(length / PAGE_SIZE);
    }
}

void commit_remove(user_address start, user_address end)
{
    remove_pages(start, end, pages_uncharge);
}

void commit_remove_spare(user_address start, user_address end)
{
    remove_pages(start, end, pages_drop_spare);
}

/* SGX has no page that is writable or executable but not readable (EMODPE, SDM volume 3D). */
static uint32_t page_rights(uint32_t protection)
{
    uint32_t rights = protection & (PROT_READ | PROT_WRITE | PROT_EXEC);
    return rights ? rights | PROT_READ : 0;
}

/* What pages of an area with this protection have in the EPCM. */
static uint32_t rights_of(uint32_t protection, bool is_frozen)
{
    return is_frozen ? page_rights(protection) & ~(uint32_t)PROT_WRITE : page_rights(protection);
}

static void change_rights(user_address start, user_address end, uint32_t old, uint32_t new)
{
    uint64_t length = end - start;
    if (old == new) {
        return;
    }
    if (new & ~old) {
        enclave_extend(start, length, old | new);
    }
    bool is_restriction = old & ~new;
    int error = is_restriction ? host_memory_restrict(start, length, new) : host_memory_protect(start, length, new);
    if (error || (is_restriction && enclave_accept_restricted(start, length, new))) {
        fatal("the host did not change the protection of memory at 0x%lx", start);
    }
}

/* The next run of pages from *start on that are there, and all of them frozen or none -> its end; 0: there is none. */
static user_address next_run(user_address *start, user_address end, bool *is_frozen)
{
    bool committed = false;
    user_address last = *start;
    while (*start < end && !committed) {
        last = commit_run(*start, end, &committed);
        *start = committed ? *start : last;
    }
    if (*start >= end) {
        return 0;
    }
    *is_frozen = commit_is_frozen(*start);
    user_address next = *start + PAGE_SIZE;
    while (next < last && commit_is_frozen(next) == *is_frozen) {
        next += PAGE_SIZE;
    }
    return next;
}

void commit_protect(user_address start, user_address end, uint32_t before, uint32_t after)
{
    bool is_frozen;
    if (page_rights(before) == page_rights(after)) {
        return;
    }
    for (user_address next; (next = next_run(&start, end, &is_frozen)); start = next) {
        change_rights(start, next, rights_of(before, is_frozen), rights_of(after, is_frozen));
    }
}

int commit_freeze(user_address start, user_address end, uint32_t protection)
{
    bool is_frozen;
    for (user_address next; (next = next_run(&start, end, &is_frozen)); start = next) {
        if (is_frozen) {
            continue;
        }
        if (!prepare(frozen, start, next)) {
            return -ENOMEM;
        }
        change_rights(start, next, rights_of(protection, false), rights_of(protection, true));
        mark(frozen, start, next, true);
    }
    return 0;
}

void commit_thaw(user_address start, user_address end, uint32_t protection)
{
    bool is_frozen;
    for (user_address next; (next = next_run(&start, end, &is_frozen)); start = next) {
        if (is_frozen) {
            change_rights(start, next, rights_of(protection, true), rights_of(protection, false));
            mark(frozen, start, next, false);
        }
    }
}

void commit_open(user_address start, user_address end, uint32_t protection)
{
    bool is_frozen;
    for (user_address next; (next = next_run(&start, end, &is_frozen)); start = next) {
        change_rights(start, next, rights_of(protection, is_frozen), page_rights(protection) | PROT_READ | PROT_WRITE);
    }
}

void commit_close(user_address start, user_address end, uint32_t protection)
{
    bool is_frozen;
    for (user_address next; (next = next_run(&start, end, &is_frozen)); start = next) {
        change_rights(start, next, page_rights(protection) | PROT_READ | PROT_WRITE, rights_of(protection, is_frozen));
    }
}

void commit_protect_new(user_address start, user_address end, uint32_t protection)
{
    bool is_frozen;
    for (user_address next; (next = next_run(&start, end, &is_frozen)); start = next) {
        change_rights(start, next, PROT_READ | PROT_WRITE, rights_of(protection, is_frozen));
    }
}

bool commit_set_frozen(user_address page, bool is_frozen)
{
    if (is_frozen && !prepare(frozen, page, page + PAGE_SIZE)) {
        return false;
    }
    mark(frozen, page, page + PAGE_SIZE, is_frozen);
    return true;
}
