#include "memory/page_index.h"

#define WORDS_PER_CHUNK 512U

struct page_chunk {
    uint64_t word[WORDS_PER_CHUNK];
};

uint64_t *page_index_find(const struct page_index *index, uint64_t page)
{
    uint64_t chunk = page / WORDS_PER_CHUNK;
    if (chunk >= index->chunk_count || !index->chunks[chunk]) {
        return NULL;
    }
    return &index->chunks[chunk]->word[page % WORDS_PER_CHUNK];
}

static bool grow(struct page_index *index, uint64_t chunk)
{
    size_t count = index->chunk_count ? index->chunk_count : 1;
    while (count <= chunk) {
        count *= 2;
    }
    struct page_chunk **chunks = reallocate(index->chunks, index->chunk_count * sizeof *chunks, count * sizeof *chunks);
    if (!chunks) {
        return false;
    }
    index->chunks = chunks;
    index->chunk_count = count;
    return true;
}

uint64_t *page_index_make(struct page_index *index, uint64_t page)
{
    uint64_t chunk = page / WORDS_PER_CHUNK;
    if (chunk >= index->chunk_count && !grow(index, chunk)) {
        return NULL;
    }
    if (!index->chunks[chunk] && !(index->chunks[chunk] = allocate(sizeof(struct page_chunk)))) {
        return NULL;
    }
    return &index->chunks[chunk]->word[page % WORDS_PER_CHUNK];
}

uint64_t *page_index_next(const struct page_index *index, uint64_t *first, uint64_t end)
{
    while (*first < end && *first / WORDS_PER_CHUNK < index->chunk_count) {
        uint64_t *word = page_index_find(index, *first);
        if (!word) {
            *first = (*first / WORDS_PER_CHUNK + 1) * WORDS_PER_CHUNK;
        } else if (*word) {
            return word;
        } else {
            ++*first;
        }
    }
    return NULL;
}

bool page_is_zero(const void *page)
{
    const uint64_t *words = page;
    uint64_t any = 0;
    for (size_t at = 0; at < PAGE_SIZE / sizeof *words; at++) {
        any |= words[at];
    }
    return !any;
}

void page_index_free(struct page_index *index)
{
    for (size_t chunk = 0; chunk < index->chunk_count; chunk++) {
        release(index->chunks[chunk], sizeof(struct page_chunk));
    }
    release(index->chunks, index->chunk_count * sizeof(struct page_chunk *));
    *index = (struct page_index){0};
}
