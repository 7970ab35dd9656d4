#include "fs/block_cache.h"

#define SLOT_COUNT 2048U /* 8 MiB */
#define BUCKET_COUNT 4096U
#define NO_SLOT UINT32_MAX

struct slot {
    struct block_key key;
    uint32_t next_in_bucket;
    uint32_t newer, older; /* order of use */
    uint8_t *block;
};

static struct {
    struct spinlock lock;
    struct slot *slots;
    uint32_t *buckets;
    uint32_t used;
    uint32_t newest, oldest;
} cache;

static uint32_t bucket_of(const struct block_key *key)
{
    uint64_t mixed =
        (key->object * 2 + (uint64_t)key->kind) * 0x9E3779B97F4A7C15ULL + key->index * 0xC2B2AE3D27D4EB4FULL;
    return (uint32_t)(mixed >> 40) % BUCKET_COUNT;
}

static bool same_key(const struct block_key *one, const struct block_key *other)
{
    return one->object == other->object && one->index == other->index && one->kind == other->kind;
}

static uint32_t find(const struct block_key *key)
{
    if (!cache.slots) {
        return NO_SLOT;
    }
    uint32_t at = cache.buckets[bucket_of(key)];
    while (at != NO_SLOT && !same_key(&cache.slots[at].key, key)) {
        at = cache.slots[at].next_in_bucket;
    }
    return at;
}

static void unlink_from_order(uint32_t at)
{
    struct slot *slot = &cache.slots[at];
    if (slot->newer != NO_SLOT) {
        cache.slots[slot->newer].older = slot->older;
    } else {
        cache.newest = slot->older;
    }
    if (slot->older != NO_SLOT) {
        cache.slots[slot->older].newer = slot->newer;
    } else {
        cache.oldest = slot->newer;
    }
}

static void make_newest(uint32_t at)
{
    struct slot *slot = &cache.slots[at];
    slot->newer = NO_SLOT;
    slot->older = cache.newest;
    if (cache.newest != NO_SLOT) {
        cache.slots[cache.newest].newer = at;
    } else {
        cache.oldest = at;
    }
    cache.newest = at;
}

static void unlink_from_bucket(uint32_t at)
{
    uint32_t *link = &cache.buckets[bucket_of(&cache.slots[at].key)];
    while (*link != at) {
        link = &cache.slots[*link].next_in_bucket;
    }
    *link = cache.slots[at].next_in_bucket;
}

bool block_cache_copy(const struct block_key *key, size_t offset, size_t length, void *to)
{
    spin_lock(&cache.lock);
    uint32_t at = find(key);
    if (at != NO_SLOT) {
        memcpy(to, cache.slots[at].block + offset, length);
        unlink_from_order(at);
        make_newest(at);
    }
    spin_unlock(&cache.lock);
    return at != NO_SLOT;
}

/* Memory is taken outside the spin lock; the loser of a race gives its memory back. */
static bool prepare(void)
{
    if (__atomic_load_n(&cache.slots, __ATOMIC_ACQUIRE)) {
        return true;
    }
    struct slot *slots = allocate(SLOT_COUNT * sizeof(struct slot));
    uint32_t *buckets = allocate(BUCKET_COUNT * sizeof(uint32_t));
    if (!slots || !buckets) {
        release(slots, SLOT_COUNT * sizeof(struct slot));
        release(buckets, BUCKET_COUNT * sizeof(uint32_t));
        return false;
    }
    memset(buckets, 0xFF, BUCKET_COUNT * sizeof(uint32_t));
    spin_lock(&cache.lock);
    bool first = !cache.slots;
    if (first) {
        cache.buckets = buckets;
        cache.newest = cache.oldest = NO_SLOT;
        __atomic_store_n(&cache.slots, slots, __ATOMIC_RELEASE);
    }
    spin_unlock(&cache.lock);
    if (!first) {
        release(slots, SLOT_COUNT * sizeof(struct slot));
        release(buckets, BUCKET_COUNT * sizeof(uint32_t));
    }
    return true;
}

void block_cache_insert(const struct block_key *key, const void *block)
{
    if (!prepare()) {
        return;
    }
    uint8_t *fresh = NULL;
    if (__atomic_load_n(&cache.used, __ATOMIC_RELAXED) < SLOT_COUNT) {
        fresh = pages_allocate(1);
    }
    spin_lock(&cache.lock);
    if (find(key) == NO_SLOT) {
        uint32_t at = NO_SLOT;
        if (fresh && cache.used < SLOT_COUNT) {
            at = cache.used;
            __atomic_store_n(&cache.used, at + 1, __ATOMIC_RELAXED);
            cache.slots[at].block = fresh;
            fresh = NULL;
        } else if (cache.oldest != NO_SLOT) {
            at = cache.oldest;
            unlink_from_bucket(at);
            unlink_from_order(at);
        }
        if (at != NO_SLOT) {
            struct slot *slot = &cache.slots[at];
            uint32_t *bucket = &cache.buckets[bucket_of(key)];
            slot->key = *key;
            slot->next_in_bucket = *bucket;
            *bucket = at;
            memcpy(slot->block, block, BLOCK_SIZE);
            make_newest(at);
        }
    }
    spin_unlock(&cache.lock);
    if (fresh) {
        pages_release(fresh, 1);
    }
}
