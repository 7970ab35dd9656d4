/* The written part of a regular file: pages of enclave memory, sparse, over whatever lies below. */
#ifndef ENCLAVIZE_FS_PAGE_TABLE_H
#define ENCLAVIZE_FS_PAGE_TABLE_H

#include "base/base.h"

#define PAGES_PER_CHUNK 512U
#define PAGES_SIZE_MAX (1ULL << 40) /* bytes: largest file in memory */

struct page_chunk {
    uint8_t *page[PAGES_PER_CHUNK];
};

struct page_table {
    struct page_chunk **chunks;
    size_t chunk_count;
};

/* NULL: not there. */
uint8_t *page_table_find(const struct page_table *table, uint64_t index);
/* A zeroed page where there was none; NULL: out of memory. */
uint8_t *page_table_create(struct page_table *table, uint64_t index);
/* Give back the pages from `first` on. */
void page_table_drop(struct page_table *table, uint64_t first);

#endif
