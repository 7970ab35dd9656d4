/* What is in a pipe: slots of one page each, as in Linux (fs/pipe.c), so that as many writes of any size fit as there. */
#ifndef ENCLAVIZE_FS_PIPE_RING_H
#define ENCLAVIZE_FS_PIPE_RING_H

#include "base/base.h"

struct pipe_slot {
    uint8_t *page; /* NULL until it is needed first */
    uint16_t start, used;
    bool packet; /* is read as a whole, and nothing is added to it (O_DIRECT) */
};

struct pipe_ring {
    struct pipe_slot *slots;
    uint32_t count; /* of slots, a power of two */
    uint32_t first, occupied;
    size_t bytes;
};

/* -ENOMEM. */
int64_t pipe_ring_create(struct pipe_ring *ring, uint32_t count);
void pipe_ring_destroy(struct pipe_ring *ring);
void pipe_ring_clear(struct pipe_ring *ring);
/* -EBUSY: more slots are in use. -ENOMEM. */
int64_t pipe_ring_resize(struct pipe_ring *ring, uint32_t count);

static inline bool pipe_ring_is_full(const struct pipe_ring *ring)
{
    return ring->occupied == ring->count;
}

/* How many bytes went in: as much as there is room for; 0: none. -ENOMEM. */
int64_t pipe_ring_put(struct pipe_ring *ring, const uint8_t *from, size_t length, bool packets);
/* Copies up to the end of a packet; `drop` takes out what was copied, and what is left of the packet. */
size_t pipe_ring_take(struct pipe_ring *ring, uint8_t *to, size_t length, bool drop);
/* Takes out bytes that were copied before. */
void pipe_ring_drop(struct pipe_ring *ring, size_t length);

#endif
