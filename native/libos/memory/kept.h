/* What a program that is not resident has at its addresses: a word for each page that differs from what is in place there. */
#ifndef ENCLAVIZE_MEMORY_KEPT_H
#define ENCLAVIZE_MEMORY_KEPT_H

#include "memory/memory.h"

struct kept_table;
struct kept_index {
    struct kept_table *root; /* NULL: it differs nowhere */
};

/* A page of the LibOS with what one page of the application holds, for all programs that have the same there. */
struct kept_page {
    uint32_t owners;
    uint8_t *bytes;
};

/* A word: 0, the same as in place, which may be nothing; KEPT_NOTHING; or a struct kept_page. */
#define KEPT_NOTHING 1ULL

static inline struct kept_page *kept_page_of(uint64_t word)
{
    return word > KEPT_NOTHING ? (struct kept_page *)word : NULL;
}

uint64_t kept_word(const struct kept_index *index, user_address page);
/* The word, made where there was none; NULL: out of memory. */
uint64_t *kept_make_word(struct kept_index *index, user_address page);
/* The first word from *page on that is not 0, whose page becomes *page; NULL: there is none. */
uint64_t *kept_next(const struct kept_index *index, user_address *page);
/* One owner fewer of each page, and no word any more. */
void kept_clear(struct kept_index *index);

/* With what is at `from`; owners are the caller's to set. NULL: out of memory. */
struct kept_page *kept_make_page(const void *from);
/* One owner fewer. */
void kept_let_go(struct kept_page *page);

#endif
