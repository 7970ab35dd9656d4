#include "fs/page_table.h"

uint8_t *page_table_find(const struct page_table *table, uint64_t index)
{
    uint64_t chunk = index / PAGES_PER_CHUNK;
    if (chunk >= table->chunk_count || table->chunks[chunk] == NULL) {
        return NULL;
    }
    return table->chunks[chunk]->page[index % PAGES_PER_CHUNK];
}

static bool grow(struct page_table *table, uint64_t chunk)
{
    size_t count = table->chunk_count == 0 ? 1 : table->chunk_count;
    while (count <= chunk) {
        count *= 2;
    }
    size_t old_size = table->chunk_count * sizeof(struct page_chunk *);
    struct page_chunk **chunks =
        table->chunks == NULL ? allocate(count * sizeof(struct page_chunk *))
                              : reallocate(table->chunks, old_size, count * sizeof(struct page_chunk *));
    if (chunks == NULL) {
        return false;
    }
    table->chunks = chunks;
    table->chunk_count = count;
    return true;
}

uint8_t *page_table_create(struct page_table *table, uint64_t index)
{
    uint64_t chunk = index / PAGES_PER_CHUNK;
    if (chunk >= table->chunk_count && !grow(table, chunk)) {
        return NULL;
    }
    if (table->chunks[chunk] == NULL &&
        (table->chunks[chunk] = allocate(sizeof(struct page_chunk))) == NULL) {
        return NULL;
    }
    return table->chunks[chunk]->page[index % PAGES_PER_CHUNK] = pages_allocate(1);
}

void page_table_drop(struct page_table *table, uint64_t first)
{
    for (uint64_t chunk = first / PAGES_PER_CHUNK; chunk < table->chunk_count; chunk++) {
        struct page_chunk *pages = table->chunks[chunk];
        uint64_t start = chunk == first / PAGES_PER_CHUNK ? first % PAGES_PER_CHUNK : 0;
        for (uint64_t at = start; pages != NULL && at < PAGES_PER_CHUNK; at++) {
            if (pages->page[at] != NULL) {
                pages_release(pages->page[at], 1);
                pages->page[at] = NULL;
            }
        }
        if (pages != NULL && start == 0) {
            release(pages, sizeof(struct page_chunk));
            table->chunks[chunk] = NULL;
        }
    }
    if (first == 0) {
        release(table->chunks, table->chunk_count * sizeof(struct page_chunk *));
        table->chunks = NULL;
        table->chunk_count = 0;
    }
}
