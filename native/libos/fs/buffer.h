/* Buffers that calls need for their own time: paths and blocks of data. A few are kept ready, so that no call
 * allocates in the usual case. */
#ifndef ENCLAVIZE_FS_BUFFER_H
#define ENCLAVIZE_FS_BUFFER_H

#include "base/base.h"

#define PATH_BUFFER_SIZE 0x1000U
#define DATA_BUFFER_SIZE 0x41000U /* one OCALL's data and one block more */

struct buffer_pool {
    struct spinlock lock;
    uint32_t pages;
    uint32_t count;
    void *ready[8];
};

extern struct buffer_pool path_buffers;
extern struct buffer_pool data_buffers;

/* NULL when out of memory. The content is arbitrary. */
void *buffer_take(struct buffer_pool *pool);
void buffer_give(struct buffer_pool *pool, void *buffer);

#endif
