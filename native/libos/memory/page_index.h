/* The pages of an object by their index: a word for each, sparse. */
#ifndef ENCLAVIZE_MEMORY_PAGE_INDEX_H
#define ENCLAVIZE_MEMORY_PAGE_INDEX_H

#include "memory/memory.h"

/* NULL: nothing was ever put there. A word of 0 is an absent page. */
uint64_t *page_index_find(const struct page_index *index, uint64_t page);
/* The word, made where there was none; NULL: out of memory. */
uint64_t *page_index_make(struct page_index *index, uint64_t page);
/* The first page in [first, end) whose word is not 0, with its word; NULL: none. */
uint64_t *page_index_next(const struct page_index *index, uint64_t *first, uint64_t end);
bool page_is_zero(const void *page);
/* All words must be 0. */
void page_index_free(struct page_index *index);

#endif
