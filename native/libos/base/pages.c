/*
 * The LibOS's own memory in whole pages. The range is cut into regions; the first page of each region is the
 * bitmap of its pages, so that bookkeeping costs memory only where there is memory to keep book of. Single
 * pages, the common case, come from a cache of committed ones.
 */
#include "base/base.h"

#define REGION_PAGES (8 * PAGE_SIZE)
#define REGION_SIZE (REGION_PAGES * PAGE_SIZE)
#define REGION_COUNT ((LIBOS_DYNAMIC_END - LIBOS_STACKS_END) / REGION_SIZE)
#define WORDS (REGION_PAGES / 64)

_Static_assert(LIBOS_STACKS_END % REGION_SIZE == 0 && LIBOS_DYNAMIC_END % REGION_SIZE == 0,
               "regions fill the range");

#define CACHE_REFILL 16U
#define CACHE_MAX 256U
#define CACHE_MAX_FOR_RUNS 64U /* several pages at once, which single ones break up */

struct cached_page {
    struct cached_page *next;
};

static bool region_is_used[REGION_COUNT];
static uint64_t region_hint[REGION_COUNT]; /* no free page lies below */
static struct cached_page *cache;
static uint64_t cache_count;

static uint64_t region_start(uint64_t region)
{
    return LIBOS_STACKS_END + region * REGION_SIZE;
}

static uint64_t *region_bitmap(uint64_t region)
{
    return (uint64_t *)region_start(region);
}

static uint64_t peak_pages;
static uint64_t committed_pages; /* of the LibOS and of the application; atomic */
static uint64_t spare_pages;     /* besides, and only kept; atomic */
static uint64_t page_limit;

void pages_set_limit(uint64_t pages)
{
    page_limit = pages;
}

void pages_lend(int64_t pages)
{
    __atomic_add_fetch(&page_limit, pages, __ATOMIC_RELAXED);
}

bool pages_charge(uint64_t pages)
{
    uint64_t now = __atomic_add_fetch(&committed_pages, pages, __ATOMIC_RELAXED);
    uint64_t limit = __atomic_load_n(&page_limit, __ATOMIC_RELAXED);
    if (pages > limit || now > limit) {
        __atomic_sub_fetch(&committed_pages, pages, __ATOMIC_RELAXED);
        return false;
    }
    uint64_t peak = __atomic_load_n(&peak_pages, __ATOMIC_RELAXED);
    while (now > peak && !__atomic_compare_exchange_n(&peak_pages, &peak, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return true;
}

uint64_t pages_peak(void)
{
    return __atomic_load_n(&peak_pages, __ATOMIC_RELAXED);
}

void pages_uncharge(uint64_t pages)
{
    __atomic_sub_fetch(&committed_pages, pages, __ATOMIC_RELAXED);
}

void pages_spare(uint64_t pages)
{
    __atomic_add_fetch(&spare_pages, pages, __ATOMIC_RELAXED);
    pages_uncharge(pages);
}

bool pages_use_spare(uint64_t pages)
{
    if (!pages_charge(pages)) {
        return false;
    }
    pages_drop_spare(pages);
    return true;
}

void pages_drop_spare(uint64_t pages)
{
    __atomic_sub_fetch(&spare_pages, pages, __ATOMIC_RELAXED);
}

bool pages_are_short(void)
{
    uint64_t spare = __atomic_load_n(&spare_pages, __ATOMIC_RELAXED);
    return spare && __atomic_load_n(&committed_pages, __ATOMIC_RELAXED) + spare > __atomic_load_n(&page_limit, __ATOMIC_RELAXED);
}

void pages_count(uint64_t *committed, uint64_t *limit)
{
    *committed = __atomic_load_n(&committed_pages, __ATOMIC_RELAXED);
    *limit = page_limit;
}

static bool commit(uint64_t address, uint64_t pages)
{
    if (!pages_charge(pages)) {
        return false;
    }
    if (base_upcalls.add_pages(address, pages * PAGE_SIZE)) {
        pages_uncharge(pages);
        return false;
    }
    return true;
}

static void decommit(uint64_t address, uint64_t pages)
{
    if (base_upcalls.remove_pages(address, pages * PAGE_SIZE)) {
        fatal("the host did not remove memory at 0x%lx", address);
    }
    pages_uncharge(pages);
}

static bool bit_is_set(const uint64_t *bitmap, uint64_t page)
{
    return bitmap[page / 64] >> (page % 64) & 1;
}

static void set_bits(uint64_t *bitmap, uint64_t page, uint64_t count, bool value)
{
    for (; count; page++, count--) {
        uint64_t bit = 1ULL << (page % 64);
        bitmap[page / 64] = value ? bitmap[page / 64] | bit : bitmap[page / 64] & ~bit;
    }
}

/* The first run of free pages, or 0: page 0 is the bitmap itself. */
static uint64_t find_run(const uint64_t *bitmap, uint64_t from, uint64_t count)
{
    uint64_t run = 0;
    for (uint64_t page = from; page < REGION_PAGES; page++) {
        if (page % 64 == 0 && bitmap[page / 64] == UINT64_MAX) {
            page += 63;
            run = 0;
        } else if (bit_is_set(bitmap, page)) {
            run = 0;
        } else if (++run == count) {
            return page - count + 1;
        }
    }
    return 0;
}

static void *allocate_in_region(uint64_t region, uint64_t count)
{
    uint64_t *bitmap = region_bitmap(region);
    if (!region_is_used[region]) {
        if (!commit(region_start(region), 1)) {
            return NULL;
        }
        region_is_used[region] = true;
        region_hint[region] = 1;
        bitmap[0] = 1;
    }
    uint64_t page = find_run(bitmap, region_hint[region], count);
    if (!page || !commit(region_start(region) + page * PAGE_SIZE, count)) {
        return NULL;
    }
    set_bits(bitmap, page, count, true);
    if (page == region_hint[region]) {
        region_hint[region] = page + count;
    }
    return (void *)(region_start(region) + page * PAGE_SIZE);
}

static void *allocate_run(uint64_t count)
{
    for (uint64_t region = 0; region < REGION_COUNT; region++) {
        void *run = allocate_in_region(region, count);
        if (run) {
            return run;
        }
    }
    return NULL;
}

static void release_run(uint64_t address, uint64_t count)
{
    uint64_t region = (address - LIBOS_STACKS_END) / REGION_SIZE;
    uint64_t page = (address - region_start(region)) / PAGE_SIZE;
    decommit(address, count);
    set_bits(region_bitmap(region), page, count, false);
    if (page < region_hint[region]) {
        region_hint[region] = page;
    }
}

/* The first one is taken out first: pages that are taken together lie one behind the other. */
static void put_into_cache(char *run, uint64_t count)
{
    for (uint64_t i = count; i > 0; i--) {
        struct cached_page *page = (struct cached_page *)(run + (i - 1) * PAGE_SIZE);
        page->next = cache;
        cache = page;
        cache_count++;
    }
}

static void refill_cache(void)
{
    uint64_t count = CACHE_REFILL;
    char *run = allocate_run(count);
    if (!run) {
        count = 1;
        run = allocate_run(count);
    }
    if (run) {
        put_into_cache(run, count);
    }
}

/* Half of it goes. What was put there together lies together, and is asked of the host at once. */
static void shrink_cache(void)
{
    for (uint64_t left = CACHE_MAX / 2; left && cache;) {
        uint64_t start = (uint64_t)cache, end = start;
        do {
            start = (uint64_t)cache < start ? (uint64_t)cache : start;
            end = (uint64_t)cache + PAGE_SIZE > end ? (uint64_t)cache + PAGE_SIZE : end;
            cache = cache->next;
            cache_count--;
        } while (--left && ((uint64_t)cache == end || (cache && (uint64_t)cache + PAGE_SIZE == start)));
        release_run(start, (end - start) / PAGE_SIZE);
    }
}

/* So many pages one behind the other, as they were put there; or NULL. */
static void *take_from_cache(uint64_t count)
{
    uint64_t found = 0;
    struct cached_page **link = &cache; /* to the first one that was found */
    for (struct cached_page *page = cache; page; page = page->next) {
        if (++found == count) {
            void *first = *link;
            *link = page->next;
            cache_count -= count;
            return first;
        }
        if ((char *)page->next != (char *)page + PAGE_SIZE) {
            link = &page->next;
            found = 0;
        }
    }
    return NULL;
}

void *pages_allocate(size_t count)
{
    if (count == 0 || count >= REGION_PAGES) {
        return NULL;
    }
    base_upcalls.lock_pages();
    if (count == 1 && !cache) {
        refill_cache();
    }
    void *cached = take_from_cache(count), *fresh = cached || count == 1 ? NULL : allocate_run(count);
    base_upcalls.unlock_pages();
    if (cached) {
        memset(cached, 0, count * PAGE_SIZE);
    }
    return cached ? cached : fresh;
}

void pages_release(void *first, size_t count)
{
    if (!first || !count) {
        return;
    }
    base_upcalls.lock_pages();
    if (count == 1 && cache_count == CACHE_MAX) {
        shrink_cache();
    }
    if (count <= CACHE_REFILL && cache_count + count <= (count == 1 ? CACHE_MAX : CACHE_MAX_FOR_RUNS)) {
        put_into_cache(first, count);
    } else {
        release_run((uint64_t)first, count);
    }
    base_upcalls.unlock_pages();
}
