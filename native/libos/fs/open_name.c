#include "fs/open_name.h"

#define BUCKETS 64U

struct open_name {
    struct open_name *next; /* in its bucket, unless removed */
    uint32_t references;
    bool removed;
    struct inode *directory; /* counted */
    size_t length;
    char *bytes;
};

static struct mutex lock;
static struct open_name *buckets[BUCKETS];

static struct open_name **bucket_of(const struct inode *directory, struct name name)
{
    uint64_t hash = directory->number * 31;
    for (size_t at = 0; at < name.length; at++) {
        hash = hash * 31 + (uint8_t)name.bytes[at];
    }
    return &buckets[(hash ^ hash >> 32) % BUCKETS];
}

static struct name name_of(const struct open_name *entry)
{
    return (struct name){.bytes = entry->bytes, .length = entry->length};
}

/* Directories of volumes come into being anew for each path: the number tells them. */
static bool is_at(const struct open_name *entry, const struct inode *directory, struct name name)
{
    return entry->directory->number == directory->number &&
           entry->directory->file_system == directory->file_system && name_equals(name_of(entry), name);
}

static struct open_name **find(const struct inode *directory, struct name name)
{
    struct open_name **link = bucket_of(directory, name);
    while (*link && !is_at(*link, directory, name)) {
        link = &(*link)->next;
    }
    return link;
}

static bool set_place(struct open_name *entry, struct inode *directory, struct name name)
{
    char *bytes = allocate(name.length);
    if (!bytes) {
        return false;
    }
    memcpy(bytes, name.bytes, name.length);
    struct inode *old = entry->directory;
    release(entry->bytes, entry->length);
    entry->bytes = bytes;
    entry->length = name.length;
    entry->directory = inode_get(directory);
    inode_pin(directory);
    inode_unpin(old);
    inode_put(old);
    return true;
}

static struct open_name *make(struct inode *directory, struct name name)
{
    struct open_name *entry = allocate(sizeof(struct open_name));
    if (entry && !set_place(entry, directory, name)) {
        release(entry, sizeof(struct open_name));
        entry = NULL;
    }
    return entry;
}

struct open_name *open_name_of_unnamed(struct inode *directory, struct name name)
{
    struct open_name *entry = make(directory, name);
    if (entry) {
        entry->removed = true;
        entry->references = 1;
    }
    return entry;
}

struct open_name *open_name_of(struct inode *directory, struct name name)
{
    mutex_lock(&lock);
    struct open_name **link = find(directory, name);
    struct open_name *entry = *link;
    if (!entry) {
        *link = entry = make(directory, name);
    }
    if (entry) {
        entry->references++;
    }
    mutex_unlock(&lock);
    return entry;
}

struct open_name *open_name_get(struct open_name *name)
{
    mutex_lock(&lock);
    name->references++;
    mutex_unlock(&lock);
    return name;
}

/* What names that lie nowhere keep is where they were. */
static struct open_name *take_out(struct open_name **link)
{
    struct open_name *entry = *link;
    if (entry) {
        *link = entry->next;
        entry->next = NULL;
    }
    return entry;
}

bool open_name_put(struct open_name *name)
{
    if (!name) {
        return false;
    }
    mutex_lock(&lock);
    bool last = --name->references == 0, removed = name->removed;
    if (last && !removed) {
        take_out(find(name->directory, name_of(name)));
    }
    mutex_unlock(&lock);
    if (last) {
        inode_unpin(name->directory);
        inode_put(name->directory);
        release(name->bytes, name->length);
        release(name, sizeof(struct open_name));
    }
    return last && removed;
}

/* Without memory it counts as removed. */
static void put_in(struct open_name *entry, struct inode *directory, struct name name)
{
    if (!entry) {
        return;
    }
    if (!set_place(entry, directory, name)) {
        entry->removed = true;
        return;
    }
    struct open_name **link = bucket_of(directory, name);
    entry->next = *link;
    *link = entry;
}

static bool remove_locked(struct inode *directory, struct name name)
{
    struct open_name *entry = take_out(find(directory, name));
    if (entry) {
        entry->removed = true;
    }
    return entry != NULL;
}

bool open_names_moved(struct inode *from, struct name from_name, struct inode *to, struct name to_name)
{
    mutex_lock(&lock);
    struct open_name *entry = take_out(find(from, from_name));
    bool was_open = remove_locked(to, to_name);
    put_in(entry, to, to_name);
    mutex_unlock(&lock);
    return was_open;
}

void open_names_exchanged(struct inode *one, struct name one_name, struct inode *other, struct name other_name)
{
    mutex_lock(&lock);
    struct open_name *first = take_out(find(one, one_name)), *second = take_out(find(other, other_name));
    put_in(first, other, other_name);
    put_in(second, one, one_name);
    mutex_unlock(&lock);
}

bool open_names_removed(struct inode *directory, struct name name)
{
    mutex_lock(&lock);
    bool was_open = remove_locked(directory, name);
    mutex_unlock(&lock);
    return was_open;
}

void location_of_name(const struct open_name *name, struct location *location)
{
    *location = (struct location){0};
    if (!name) {
        return;
    }
    mutex_lock(&lock);
    location->parent = inode_get(name->directory);
    location->removed = name->removed;
    location->length = name->length;
    memcpy(location->name, name->bytes, name->length);
    mutex_unlock(&lock);
}

void location_release(struct location *location)
{
    inode_put(location->parent);
}
