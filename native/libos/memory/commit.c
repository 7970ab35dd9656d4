/*
 * Dynamic enclave memory of the application, with the order of steps that boundary.h asks for. One bit for
 * each page; the bitmaps are themselves pages of the LibOS, made when their part of the range is first used.
 */
#include "memory/commit.h"

#define PAGES_PER_BITMAP (8 * PAGE_SIZE)
#define BITMAP_SPAN (PAGES_PER_BITMAP * PAGE_SIZE)
#define BITMAP_COUNT (APPLICATION_END / BITMAP_SPAN)

_Static_assert(APPLICATION_END % BITMAP_SPAN == 0, "bitmaps fill the range");

static uint64_t *bitmaps[BITMAP_COUNT];

static uint64_t word_of(uint64_t page)
{
    const uint64_t *bitmap = bitmaps[page / PAGES_PER_BITMAP];
    return bitmap ? bitmap[page % PAGES_PER_BITMAP / 64] : 0;
}

bool commit_test(user_address address)
{
    uint64_t page = address / PAGE_SIZE;
    return word_of(page) >> (page % 64) & 1;
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
        uint64_t word = word_of(page);
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

static bool prepare_bitmaps(user_address start, user_address end)
{
    for (uint64_t i = start / BITMAP_SPAN; i <= (end - 1) / BITMAP_SPAN; i++) {
        if (!bitmaps[i] && !(bitmaps[i] = pages_allocate(1))) {
            return false;
        }
    }
    return true;
}

static void mark(user_address start, user_address end, bool committed)
{
    for (uint64_t page = start / PAGE_SIZE; page < end / PAGE_SIZE; page++) {
        uint64_t *word = &bitmaps[page / PAGES_PER_BITMAP][page % PAGES_PER_BITMAP / 64];
        uint64_t bit = 1ULL << (page % 64);
        *word = committed ? *word | bit : *word & ~bit;
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
    mark(start, end, true);
    return 0;
}

int commit_add_pending(user_address start, user_address end)
{
    return prepare_bitmaps(start, end) ? add_run(start, end, host_memory_add) : -ENOMEM;
}

int commit_add(user_address start, user_address end)
{
    if (start >= end) {
        return 0;
    }
    if (!prepare_bitmaps(start, end)) {
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

void commit_remove(user_address start, user_address end)
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
        mark(start, next, false);
        pages_uncharge(length / PAGE_SIZE);
    }
}

/* SGX has no page that is writable or executable but not readable (EMODPE, SDM volume 3D). */
static uint32_t page_rights(uint32_t protection)
{
    uint32_t rights = protection & (PROT_READ | PROT_WRITE | PROT_EXEC);
    return rights ? rights | PROT_READ : 0;
}

void commit_protect(user_address start, user_address end, uint32_t before, uint32_t after)
{
    uint32_t old = page_rights(before);
    uint32_t new = page_rights(after);
    bool committed;
    for (user_address next; start < end && old != new; start = next) {
        next = commit_run(start, end, &committed);
        uint64_t length = next - start;
        if (!committed) {
            continue;
        }
        if (new & ~old) {
            enclave_extend(start, length, new);
        }
        if (host_memory_protect(start, length, new) ||
            ((old & ~new) && enclave_accept_restricted(start, length, new))) {
            fatal("the host did not change the protection of memory at 0x%lx", start);
        }
    }
}
