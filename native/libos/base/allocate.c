/*
 * Small objects: one free list for each size class, filled page by page. Callers say the size when they
 * release, so objects have no headers and a page never goes back to pages.c.
 */
#include "base/base.h"

static const uint16_t class_sizes[] = {16, 32, 48, 64, 96, 128, 192, 256, 336, 512, 672, 1024, 1360, 2048};

#define LARGEST 2048U

struct free_object {
    struct free_object *next;
};

static struct size_class {
    struct spinlock lock;
    struct free_object *free;
} classes[ARRAY_LENGTH(class_sizes)];

static size_t class_of(size_t size)
{
    size_t class = 0;
    while (class_sizes[class] < size) {
        class++;
    }
    return class;
}

static struct free_object *take(struct size_class *class)
{
    spin_lock(&class->lock);
    struct free_object *object = class->free;
    if (object) {
        class->free = object->next;
    }
    spin_unlock(&class->lock);
    return object;
}

/* Puts all objects of a fresh page but the first into the class. */
static struct free_object *refill(struct size_class *class, size_t size)
{
    char *page = pages_allocate(1);
    if (!page) {
        return NULL;
    }
    struct free_object *last = NULL;
    for (size_t at = size; at + size <= PAGE_SIZE; at += size) {
        struct free_object *object = (struct free_object *)(page + at);
        object->next = last;
        last = object;
    }
    struct free_object *end = (struct free_object *)(page + size);
    spin_lock(&class->lock);
    end->next = class->free;
    class->free = last;
    spin_unlock(&class->lock);
    return (struct free_object *)page;
}

void *allocate(size_t size)
{
    if (size > LARGEST) {
        return size > SIZE_MAX - PAGE_SIZE ? NULL : pages_allocate(PAGE_UP(size) / PAGE_SIZE);
    }
    size_t index = class_of(size);
    struct free_object *object = take(&classes[index]);
    if (!object) {
        object = refill(&classes[index], class_sizes[index]);
    }
    return object ? memset(object, 0, class_sizes[index]) : NULL;
}

void release(void *pointer, size_t size)
{
    if (!pointer) {
        return;
    }
    if (size > LARGEST) {
        pages_release(pointer, PAGE_UP(size) / PAGE_SIZE);
        return;
    }
    struct size_class *class = &classes[class_of(size)];
    struct free_object *object = pointer;
    spin_lock(&class->lock);
    object->next = class->free;
    class->free = object;
    spin_unlock(&class->lock);
}

void *reallocate(void *object, size_t old_size, size_t new_size)
{
    void *copy = allocate(new_size);
    if (copy && object) {
        memcpy(copy, object, old_size < new_size ? old_size : new_size);
        release(object, old_size);
    }
    return copy;
}
