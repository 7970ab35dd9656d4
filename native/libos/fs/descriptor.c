#include "fs/file_lock.h"

#define INITIAL_CAPACITY 64U

struct descriptor {
    struct file *file;
    bool close_on_exec;
};

static struct {
    struct spinlock lock;
    struct descriptor *at;
    uint64_t capacity;
} table;

static struct descriptor *find(int64_t descriptor)
{
    if (descriptor < 0 || (uint64_t)descriptor >= table.capacity || table.at[descriptor].file == NULL) {
        return NULL;
    }
    return &table.at[descriptor];
}

/* Makes room for `index`; called without the lock, since it allocates. */
static bool make_room(uint64_t index)
{
    uint64_t capacity = INITIAL_CAPACITY;
    while (capacity <= index) {
        capacity *= 2;
    }
    struct descriptor *fresh = allocate(capacity * sizeof(struct descriptor));
    if (fresh == NULL) {
        return false;
    }
    spin_lock(&table.lock);
    struct descriptor *old = fresh;
    uint64_t old_capacity = capacity;
    if (table.capacity < capacity) {
        old = table.at;
        old_capacity = table.capacity;
        if (old != NULL) {
            memcpy(fresh, old, old_capacity * sizeof(struct descriptor));
        }
        table.at = fresh;
        table.capacity = capacity;
    }
    spin_unlock(&table.lock);
    release(old, old_capacity * sizeof(struct descriptor));
    return true;
}

int64_t descriptor_add(struct file *file, int64_t lowest, bool close_on_exec)
{
    for (;;) {
        spin_lock(&table.lock);
        uint64_t index = (uint64_t)lowest;
        while (index < table.capacity && table.at[index].file != NULL) {
            index++;
        }
        bool allowed = index < resource_limit(RLIMIT_NOFILE);
        bool fits = index < table.capacity;
        if (allowed && fits) {
            table.at[index] = (struct descriptor){.file = file, .close_on_exec = close_on_exec};
        }
        spin_unlock(&table.lock);
        if (!allowed) {
            return -EMFILE;
        }
        if (fits) {
            return (int64_t)index;
        }
        if (!make_room(index)) {
            return -ENOMEM;
        }
    }
}

static void close_file(struct file *file)
{
    if (file != NULL) {
        file_unlock_process(file);
        file_put(file);
    }
}

int64_t descriptor_set(int64_t descriptor, struct file *file, bool close_on_exec)
{
    if (descriptor < 0 || (uint64_t)descriptor >= resource_limit(RLIMIT_NOFILE)) {
        return -EBADF;
    }
    if ((uint64_t)descriptor >= __atomic_load_n(&table.capacity, __ATOMIC_RELAXED) &&
        !make_room((uint64_t)descriptor)) {
        return -ENOMEM;
    }
    spin_lock(&table.lock);
    struct file *old = table.at[descriptor].file;
    table.at[descriptor] = (struct descriptor){.file = file, .close_on_exec = close_on_exec};
    spin_unlock(&table.lock);
    close_file(old);
    return descriptor;
}

int64_t descriptor_close(int64_t descriptor)
{
    spin_lock(&table.lock);
    struct descriptor *entry = find(descriptor);
    struct file *file = entry != NULL ? entry->file : NULL;
    if (entry != NULL) {
        entry->file = NULL;
    }
    spin_unlock(&table.lock);
    if (file == NULL) {
        return -EBADF;
    }
    close_file(file);
    return 0;
}

struct file *file_of_descriptor(int descriptor)
{
    spin_lock(&table.lock);
    struct descriptor *entry = find(descriptor);
    struct file *file = entry != NULL ? entry->file : NULL;
    if (file != NULL) {
        file_get(file);
    }
    spin_unlock(&table.lock);
    return file;
}

int64_t descriptor_flags(int64_t descriptor)
{
    spin_lock(&table.lock);
    struct descriptor *entry = find(descriptor);
    int64_t result = entry != NULL ? entry->close_on_exec : -EBADF;
    spin_unlock(&table.lock);
    return result;
}

int64_t descriptor_set_flags(int64_t descriptor, bool close_on_exec)
{
    spin_lock(&table.lock);
    struct descriptor *entry = find(descriptor);
    if (entry != NULL) {
        entry->close_on_exec = close_on_exec;
    }
    spin_unlock(&table.lock);
    return entry != NULL ? 0 : -EBADF;
}

int64_t descriptor_next(int64_t from)
{
    int64_t result = -1;
    spin_lock(&table.lock);
    for (uint64_t index = (uint64_t)from; index < table.capacity && result < 0; index++) {
        if (table.at[index].file != NULL) {
            result = (int64_t)index;
        }
    }
    spin_unlock(&table.lock);
    return result;
}
