/* The index of kept pages against a plain array of words. argv: seed, operations. */
#include "memory/kept.h"

#include "check.h"

#define PAGES 600U /* spread over the whole range, in clusters */

static struct kept_index index_of_pages;
static uint64_t words[PAGES];
static uint32_t live; /* pages of the LibOS that are allocated */

void *pages_allocate(size_t count)
{
    live++;
    return calloc(count, PAGE_SIZE);
}

void pages_release(void *first, size_t count)
{
    (void)count;
    live--;
    free(first);
}

/* Ascending: neighbours, then a large step, up to the last page of the range. */
static user_address page_of(uint64_t at)
{
    uint64_t clusters = PAGES / 20, step = APPLICATION_END / PAGE_SIZE / clusters;
    uint64_t number = at / 20 * step + at % 20;
    return at == PAGES - 1 ? APPLICATION_END - PAGE_SIZE : number * PAGE_SIZE;
}

static void look(void)
{
    user_address page = 0;
    for (uint64_t at = 0; at < PAGES; at++) {
        CHECK(kept_word(&index_of_pages, page_of(at)) == words[at]);
        if (words[at]) {
            const uint64_t *word = kept_next(&index_of_pages, &page);
            CHECK(word && page == page_of(at) && *word == words[at]);
            page += PAGE_SIZE;
        }
    }
    CHECK(!kept_next(&index_of_pages, &page));
}

static uint64_t new_word(void)
{
    uint8_t bytes[PAGE_SIZE] = {1};
    if (random_number(2)) {
        return KEPT_NOTHING;
    }
    struct kept_page *page = kept_make_page(bytes);
    page->owners = 1;
    CHECK(page->bytes[0] == 1);
    return (uint64_t)page;
}

int main(int count, char *arguments[])
{
    random_state = count > 1 ? (uint64_t)atol(arguments[1]) : 1;
    long operations = count > 2 ? atol(arguments[2]) : 1000;
    for (long operation = 0; operation < operations; operation++) {
        uint64_t at = random_number(PAGES);
        if (kept_page_of(words[at])) {
            kept_let_go(kept_page_of(words[at]));
        }
        words[at] = random_number(3) ? new_word() : 0;
        *kept_make_word(&index_of_pages, page_of(at)) = words[at];
        if (operation % 1024 == 0) {
            look();
        }
        if (random_number(20000) == 0) {
            kept_clear(&index_of_pages);
            memset(words, 0, sizeof words);
            CHECK(live == 0);
        }
    }
    look();
    kept_clear(&index_of_pages);
    CHECK(live == 0);
    return 0;
}
