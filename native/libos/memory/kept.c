#include "memory/kept.h"

/* Three levels of 256 words, 2 KiB each: a program that wrote to its stack and its heap needs a handful of them. */
#define LEVELS 3U
#define WORD_BITS 8U
#define WORDS (1U << WORD_BITS)

_Static_assert(APPLICATION_END / PAGE_SIZE <= 1ULL << (LEVELS * WORD_BITS), "an index has a word for each page");

struct kept_table {
    uint64_t word[WORDS]; /* tables of the level below, or the words of pages */
};

static uint64_t place_in(uint64_t number, unsigned level)
{
    return number >> (level * WORD_BITS) & (WORDS - 1);
}

uint64_t kept_word(const struct kept_index *index, user_address page)
{
    const struct kept_table *table = index->root;
    uint64_t number = page / PAGE_SIZE;
    for (unsigned level = LEVELS - 1; table && level > 0; level--) {
        table = (const struct kept_table *)table->word[place_in(number, level)];
    }
    return table ? table->word[place_in(number, 0)] : 0;
}

uint64_t *kept_make_word(struct kept_index *index, user_address page)
{
    uint64_t *link = (uint64_t *)&index->root, number = page / PAGE_SIZE;
    for (unsigned level = LEVELS; level-- > 0;) {
        if (!*link && !(*link = (uint64_t)allocate(sizeof(struct kept_table)))) {
            return NULL;
        }
        link = &((struct kept_table *)*link)->word[place_in(number, level)];
    }
    return link;
}

/* In one table, from the number on; numbers count pages from the start of the whole index. */
static uint64_t *next_in(struct kept_table *table, unsigned level, uint64_t *number)
{
    for (uint64_t at = place_in(*number, level); table && at < WORDS; at++) {
        uint64_t next = ((*number >> (level * WORD_BITS)) + 1) << (level * WORD_BITS);
        uint64_t *word = !table->word[at] ? NULL
                         : level == 0     ? &table->word[at]
                                          : next_in((struct kept_table *)table->word[at], level - 1, number);
        if (word) {
            return word;
        }
        *number = next;
    }
    return NULL;
}

uint64_t *kept_next(const struct kept_index *index, user_address *page)
{
    uint64_t number = *page / PAGE_SIZE;
    uint64_t *word = next_in(index->root, LEVELS - 1, &number);
    *page = number * PAGE_SIZE;
    return word;
}

static void clear_table(struct kept_table *table, unsigned level)
{
    for (size_t at = 0; at < WORDS; at++) {
        uint64_t word = table->word[at];
        if (level && word) {
            clear_table((struct kept_table *)word, level - 1);
        } else if (kept_page_of(word)) {
            kept_let_go(kept_page_of(word));
        }
    }
    release(table, sizeof *table);
}

void kept_clear(struct kept_index *index)
{
    if (index->root) {
        clear_table(index->root, LEVELS - 1);
    }
    index->root = NULL;
}

struct kept_page *kept_make_page(const void *from)
{
    struct kept_page *page = allocate(sizeof *page);
    uint8_t *bytes = page ? pages_allocate(1) : NULL;
    if (!bytes) {
        release(page, sizeof *page);
        return NULL;
    }
    memcpy(bytes, from, PAGE_SIZE);
    page->bytes = bytes;
    return page;
}

void kept_let_go(struct kept_page *page)
{
    if (--page->owners == 0) {
        pages_release(page->bytes, 1);
        release(page, sizeof *page);
    }
}
