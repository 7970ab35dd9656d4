#include "fs/pipe_ring.h"

static struct pipe_slot *slot_at(const struct pipe_ring *ring, uint32_t index)
{
    return &ring->slots[(ring->first + index) & (ring->count - 1)];
}

static void release_pages(struct pipe_ring *ring, uint32_t from)
{
    for (uint32_t at = from; at < ring->count; at++) {
        struct pipe_slot *slot = slot_at(ring, at);
        if (slot->page) {
            pages_release(slot->page, 1);
        }
        *slot = (struct pipe_slot){0};
    }
}

int64_t pipe_ring_create(struct pipe_ring *ring, uint32_t count)
{
    struct pipe_slot *slots = allocate(count * sizeof(struct pipe_slot));
    if (!slots) {
        return -ENOMEM;
    }
    *ring = (struct pipe_ring){.slots = slots, .count = count};
    return 0;
}

void pipe_ring_destroy(struct pipe_ring *ring)
{
    release_pages(ring, 0);
    release(ring->slots, ring->count * sizeof(struct pipe_slot));
}

void pipe_ring_clear(struct pipe_ring *ring)
{
    release_pages(ring, 0);
    ring->first = ring->occupied = 0;
    ring->bytes = 0;
}

int64_t pipe_ring_resize(struct pipe_ring *ring, uint32_t count)
{
    struct pipe_ring fresh;
    if (count < ring->occupied) {
        return -EBUSY;
    }
    if (pipe_ring_create(&fresh, count) < 0) {
        return -ENOMEM;
    }
    for (uint32_t at = 0; at < ring->occupied; at++) {
        fresh.slots[at] = *slot_at(ring, at);
    }
    fresh.occupied = ring->occupied;
    fresh.bytes = ring->bytes;
    release_pages(ring, ring->occupied);
    release(ring->slots, ring->count * sizeof(struct pipe_slot));
    *ring = fresh;
    return 0;
}

static void append(struct pipe_ring *ring, struct pipe_slot *slot, const uint8_t *from, size_t length)
{
    memcpy(slot->page + slot->start + slot->used, from, length);
    slot->used += (uint16_t)length;
    ring->bytes += length;
}

/* The end of a write that is no whole number of pages goes to the last page if all of it fits there. */
static size_t merge(struct pipe_ring *ring, const uint8_t *from, size_t length)
{
    size_t part = length % PAGE_SIZE;
    if (part == 0 || ring->occupied == 0) {
        return 0;
    }
    struct pipe_slot *last = slot_at(ring, ring->occupied - 1);
    if (last->packet || last->start + last->used + part > PAGE_SIZE) {
        return 0;
    }
    append(ring, last, from, part);
    return part;
}

int64_t pipe_ring_put(struct pipe_ring *ring, const uint8_t *from, size_t length, bool packets)
{
    size_t done = merge(ring, from, length);
    while (done < length && !pipe_ring_is_full(ring)) {
        struct pipe_slot *slot = slot_at(ring, ring->occupied);
        if (!slot->page && !(slot->page = pages_allocate(1))) {
            return done > 0 ? (int64_t)done : -ENOMEM;
        }
        size_t part = length - done < PAGE_SIZE ? length - done : PAGE_SIZE;
        slot->start = slot->used = 0;
        slot->packet = packets;
        append(ring, slot, from + done, part);
        ring->occupied++;
        done += part;
    }
    return (int64_t)done;
}

static void drop_from(struct pipe_ring *ring, struct pipe_slot *slot, size_t length)
{
    slot->start += (uint16_t)length;
    slot->used -= (uint16_t)length;
    ring->bytes -= length;
    if (slot->used == 0) {
        ring->first = (ring->first + 1) & (ring->count - 1);
        ring->occupied--;
    }
}

size_t pipe_ring_take(struct pipe_ring *ring, uint8_t *to, size_t length, bool drop)
{
    size_t done = 0;
    bool packet = false;
    for (uint32_t at = 0; done < length && at < ring->occupied && !packet;) {
        struct pipe_slot *slot = slot_at(ring, at);
        size_t part = slot->used < length - done ? slot->used : length - done;
        memcpy(to + done, slot->page + slot->start, part);
        done += part;
        packet = slot->packet;
        if (!drop) {
            at++;
        } else {
            drop_from(ring, slot, packet ? slot->used : part);
        }
    }
    return done;
}

void pipe_ring_drop(struct pipe_ring *ring, size_t length)
{
    while (length > 0 && ring->occupied > 0) {
        struct pipe_slot *slot = slot_at(ring, 0);
        size_t part = slot->used < length ? slot->used : length;
        drop_from(ring, slot, part);
        length -= part;
    }
}
