#include "fs/epoll_items.h"

#define FIRST_CAPACITY 16U /* a power of two, as all are */

/* Descriptors are small numbers, one after the other: no better spread is needed. */
static struct item **bucket_of(const struct epoll *epoll, int descriptor)
{
    return &epoll->buckets[(uint32_t)descriptor & (epoll->capacity - 1)];
}

/* Longer chains do where there is no memory for more buckets. */
static bool make_room(struct epoll *epoll)
{
    if (epoll->count < epoll->capacity) {
        return true;
    }
    struct epoll grown = {.capacity = epoll->capacity == 0 ? FIRST_CAPACITY : epoll->capacity * 2};
    grown.buckets = allocate(grown.capacity * sizeof(struct item *));
    if (!grown.buckets) {
        return epoll->capacity > 0;
    }
    for (uint32_t at = 0; at < epoll->capacity; at++) {
        for (struct item *item = epoll->buckets[at], *next; item; item = next) {
            next = item->next_in_bucket;
            struct item **bucket = bucket_of(&grown, item->descriptor);
            item->next_in_bucket = *bucket;
            *bucket = item;
        }
    }
    release(epoll->buckets, epoll->capacity * sizeof(struct item *));
    epoll->buckets = grown.buckets;
    epoll->capacity = grown.capacity;
    return true;
}

struct item *items_find(const struct epoll *epoll, int descriptor, const struct file *file)
{
    struct item *item = epoll->capacity == 0 ? NULL : *bucket_of(epoll, descriptor);
    while (item && (item->descriptor != descriptor || item->file != file)) {
        item = item->next_in_bucket;
    }
    return item;
}

bool items_add(struct item *item)
{
    struct epoll *epoll = item->epoll;
    if (!make_room(epoll)) {
        return false;
    }
    struct item **bucket = bucket_of(epoll, item->descriptor);
    item->next_in_bucket = *bucket;
    *bucket = item;
    epoll->count++;
    epoll->nested += epoll_of(item->file) != NULL;
    item->next_of_file = item->file->items;
    if (item->next_of_file) {
        item->next_of_file->previous_of_file = item;
    }
    __atomic_store_n(&item->file->items, item, __ATOMIC_RELEASE);
    return true;
}

void items_remove(struct item *item)
{
    struct epoll *epoll = item->epoll;
    struct item **link = bucket_of(epoll, item->descriptor);
    while (*link != item) {
        link = &(*link)->next_in_bucket;
    }
    *link = item->next_in_bucket;
    epoll->count--;
    epoll->nested -= epoll_of(item->file) != NULL;
    if (item->next_of_file) {
        item->next_of_file->previous_of_file = item->previous_of_file;
    }
    __atomic_store_n(item->previous_of_file ? &item->previous_of_file->next_of_file : &item->file->items,
        item->next_of_file, __ATOMIC_RELEASE);
}

struct item *items_next(const struct epoll *epoll, const struct item *item)
{
    uint32_t at = 0;
    if (item) {
        if (item->next_in_bucket) {
            return item->next_in_bucket;
        }
        at = (uint32_t)(bucket_of(epoll, item->descriptor) - epoll->buckets) + 1;
    }
    while (at < epoll->capacity && !epoll->buckets[at]) {
        at++;
    }
    return at < epoll->capacity ? epoll->buckets[at] : NULL;
}
