#include "fs/buffer.h"

struct buffer_pool path_buffers = {.pages = PATH_BUFFER_SIZE / PAGE_SIZE};
struct buffer_pool data_buffers = {.pages = DATA_BUFFER_SIZE / PAGE_SIZE};

void *buffer_take(struct buffer_pool *pool)
{
    void *buffer = NULL;
    spin_lock(&pool->lock);
    if (pool->count > 0) {
        buffer = pool->ready[--pool->count];
    }
    spin_unlock(&pool->lock);
    return buffer ? buffer : pages_allocate(pool->pages);
}

void buffer_give(struct buffer_pool *pool, void *buffer)
{
    if (!buffer) {
        return;
    }
    spin_lock(&pool->lock);
    bool keep = pool->count < ARRAY_LENGTH(pool->ready);
    if (keep) {
        pool->ready[pool->count++] = buffer;
    }
    spin_unlock(&pool->lock);
    if (!keep) {
        pages_release(buffer, pool->pages);
    }
}
