#include "fs/descriptor.h"

#include "fs/file_lock.h"

#define INITIAL_CAPACITY 64U

struct descriptor {
    struct file *file;
    bool close_on_exec;
    bool is_reserved; /* the file is still to come */
};

struct descriptor_table {
    uint32_t references; /* atomic */
    struct spinlock lock;
    struct descriptor *at;
    uint64_t capacity;
    uint64_t first_free; /* below it, all are in use */
};

static struct descriptor_table *current_table(void)
{
    return current_task()->files.descriptors;
}

static struct descriptor *find(const struct descriptor_table *table, int64_t descriptor)
{
    if (descriptor < 0 || (uint64_t)descriptor >= table->capacity || !table->at[descriptor].file) {
        return NULL;
    }
    return &table->at[descriptor];
}

/* Makes room for `index`; called without the lock, since it allocates. */
static bool make_room(struct descriptor_table *table, uint64_t index)
{
    uint64_t capacity = INITIAL_CAPACITY;
    while (capacity <= index) {
        capacity *= 2;
    }
    struct descriptor *fresh = allocate(capacity * sizeof(struct descriptor));
    if (!fresh) {
        return false;
    }
    spin_lock(&table->lock);
    struct descriptor *old = fresh;
    uint64_t old_capacity = capacity;
    if (table->capacity < capacity) {
        old = table->at;
        old_capacity = table->capacity;
        if (old) {
            memcpy(fresh, old, old_capacity * sizeof(struct descriptor));
        }
        table->at = fresh;
        table->capacity = capacity;
    }
    spin_unlock(&table->lock);
    release(old, old_capacity * sizeof(struct descriptor));
    return true;
}

static bool is_free(const struct descriptor *entry)
{
    return !entry->file && !entry->is_reserved;
}

/* The lowest free one from `lowest` on becomes this. */
static int64_t take_free(struct descriptor_table *table, int64_t lowest, const struct descriptor *entry)
{
    for (;;) {
        spin_lock(&table->lock);
        uint64_t from = (uint64_t)lowest > table->first_free ? (uint64_t)lowest : table->first_free, index = from;
        while (index < table->capacity && !is_free(&table->at[index])) {
            index++;
        }
        bool allowed = index < resource_limit(RLIMIT_NOFILE);
        bool fits = index < table->capacity;
        if (allowed && fits) {
            table->at[index] = *entry;
            table->first_free = from == table->first_free ? index + 1 : table->first_free;
        }
        spin_unlock(&table->lock);
        if (!allowed) {
            return -EMFILE;
        }
        if (fits) {
            return (int64_t)index;
        }
        if (!make_room(table, index)) {
            return -ENOMEM;
        }
    }
}

uint64_t descriptor_capacity(void)
{
    struct descriptor_table *table = current_table();
    spin_lock(&table->lock);
    uint64_t capacity = table->capacity;
    spin_unlock(&table->lock);
    return capacity;
}

int64_t descriptor_add(struct file *file, int64_t lowest, bool close_on_exec)
{
    return take_free(current_table(), lowest, &(struct descriptor){.file = file, .close_on_exec = close_on_exec});
}

int64_t descriptor_reserve(struct descriptor_slot *slot, bool close_on_exec)
{
    slot->table = current_table();
    slot->number = take_free(slot->table, 0, &(struct descriptor){.close_on_exec = close_on_exec, .is_reserved = true});
    if (slot->number < 0) {
        return slot->number;
    }
    descriptor_table_inherit(slot->table, true);
    return 0;
}

int64_t descriptor_fill(struct descriptor_slot *slot, int64_t result, struct file *file)
{
    struct descriptor_table *table = slot->table;
    spin_lock(&table->lock);
    struct descriptor *entry = &table->at[slot->number];
    entry->is_reserved = false;
    bool close_on_exec = entry->close_on_exec, is_own = table == current_table();
    if (result >= 0 && is_own) {
        entry->file = file;
        result = slot->number;
    } else {
        table->first_free = (uint64_t)slot->number < table->first_free ? (uint64_t)slot->number : table->first_free;
    }
    spin_unlock(&table->lock);
    descriptor_table_put(table);
    if (result >= 0 && !is_own) { /* another thread has left the table, with the process (unshare(2)) */
        result = descriptor_add(file, 0, close_on_exec);
        if (result < 0) {
            file_put(file);
        }
    }
    return result;
}

static void close_file(const struct descriptor_table *table, struct file *file)
{
    if (file) {
        file_unlock_process(file, table);
        if (file->operations->flush) {
            file->operations->flush(file);
        }
        file_put(file);
    }
}

int64_t descriptor_set(int64_t descriptor, struct file *file, bool close_on_exec)
{
    struct descriptor_table *table = current_table();
    if (descriptor < 0 || (uint64_t)descriptor >= resource_limit(RLIMIT_NOFILE)) {
        return -EBADF;
    }
    if ((uint64_t)descriptor >= __atomic_load_n(&table->capacity, __ATOMIC_RELAXED) &&
        !make_room(table, (uint64_t)descriptor)) {
        return -ENOMEM;
    }
    spin_lock(&table->lock);
    bool is_reserved = table->at[descriptor].is_reserved;
    struct file *old = table->at[descriptor].file;
    if (!is_reserved) {
        table->at[descriptor] = (struct descriptor){.file = file, .close_on_exec = close_on_exec};
    }
    spin_unlock(&table->lock);
    if (is_reserved) {
        return -EBUSY;
    }
    close_file(table, old);
    return descriptor;
}

static int64_t close_entry(struct descriptor_table *table, int64_t descriptor)
{
    spin_lock(&table->lock);
    struct descriptor *entry = find(table, descriptor);
    struct file *file = entry ? entry->file : NULL;
    if (entry) {
        entry->file = NULL;
        table->first_free = (uint64_t)descriptor < table->first_free ? (uint64_t)descriptor : table->first_free;
    }
    spin_unlock(&table->lock);
    if (!file) {
        return -EBADF;
    }
    close_file(table, file);
    return 0;
}

int64_t descriptor_close(int64_t descriptor)
{
    return close_entry(current_table(), descriptor);
}

void descriptor_table_close_all(struct descriptor_table *table)
{
    for (uint64_t index = 0; index < __atomic_load_n(&table->capacity, __ATOMIC_ACQUIRE); index++) {
        close_entry(table, (int64_t)index);
    }
}

struct file *file_of_descriptor(int descriptor)
{
    struct descriptor_table *table = current_table();
    spin_lock(&table->lock);
    struct descriptor *entry = find(table, descriptor);
    struct file *file = entry ? entry->file : NULL;
    if (file) {
        file_get(file);
    }
    spin_unlock(&table->lock);
    return file;
}

struct file *opened_file_of_descriptor(int descriptor)
{
    struct file *file = file_of_descriptor(descriptor);
    if (file && (file->flags & O_PATH) != 0) {
        file_put(file);
        return NULL;
    }
    return file;
}

int64_t descriptor_flags(int64_t descriptor)
{
    struct descriptor_table *table = current_table();
    spin_lock(&table->lock);
    struct descriptor *entry = find(table, descriptor);
    int64_t result = entry ? entry->close_on_exec : -EBADF;
    spin_unlock(&table->lock);
    return result;
}

int64_t descriptor_set_flags(int64_t descriptor, bool close_on_exec)
{
    struct descriptor_table *table = current_table();
    spin_lock(&table->lock);
    struct descriptor *entry = find(table, descriptor);
    if (entry) {
        entry->close_on_exec = close_on_exec;
    }
    spin_unlock(&table->lock);
    return entry ? 0 : -EBADF;
}

static int64_t next_in_use(struct descriptor_table *table, int64_t from)
{
    int64_t result = -1;
    spin_lock(&table->lock);
    for (uint64_t index = (uint64_t)from; index < table->capacity && result < 0; index++) {
        if (table->at[index].file) {
            result = (int64_t)index;
        }
    }
    spin_unlock(&table->lock);
    return result;
}

int64_t descriptor_next(int64_t from)
{
    return next_in_use(current_table(), from);
}

/* A table of another thread stays while the lists are locked, since who leaves it takes it away under that lock. */
struct look {
    int64_t descriptor;
    struct file *file;
    bool close_on_exec;
    uint64_t capacity;
};

static void look_at_descriptor(struct process *process, struct task *task, void *context)
{
    (void)process;
    struct look *look = context;
    struct descriptor_table *table = task ? task->files.descriptors : NULL;
    if (!table) {
        return;
    }
    spin_lock(&table->lock);
    const struct descriptor *entry = find(table, look->descriptor);
    if (entry) {
        look->file = entry->file;
        look->close_on_exec = entry->close_on_exec;
        file_get(look->file);
    }
    look->capacity = table->capacity;
    spin_unlock(&table->lock);
}

struct file *descriptor_file_of(const struct subject *subject, int64_t descriptor, bool *close_on_exec)
{
    struct look look = {.descriptor = descriptor};
    (void)subject_with(subject, look_at_descriptor, &look);
    *close_on_exec = look.close_on_exec;
    return look.file;
}

uint64_t descriptor_capacity_of(const struct subject *subject)
{
    struct look look = {.descriptor = -1};
    (void)subject_with(subject, look_at_descriptor, &look);
    return look.capacity;
}

static void look_for_next(struct process *process, struct task *task, void *context)
{
    (void)process;
    int64_t *descriptor = context;
    *descriptor = task && task->files.descriptors ? next_in_use(task->files.descriptors, *descriptor) : -1;
}

int64_t descriptor_next_of(const struct subject *subject, int64_t from)
{
    int64_t descriptor = from;
    return subject_with(subject, look_for_next, &descriptor) == 0 ? descriptor : -1;
}

static bool copy_entries(struct descriptor_table *to, struct descriptor_table *from)
{
    for (;;) {
        spin_lock(&from->lock);
        uint64_t last = from->capacity;
        while (last > 0 && !from->at[last - 1].file) {
            last--;
        }
        bool fits = last <= to->capacity;
        for (uint64_t index = 0; fits && index < last; index++) {
            to->at[index] = from->at[index];
            to->at[index].is_reserved = false; /* what comes is for who asked */
            if (to->at[index].file) {
                file_get(to->at[index].file);
            }
        }
        spin_unlock(&from->lock);
        if (fits || !make_room(to, last - 1)) {
            return fits;
        }
    }
}

struct descriptor_table *descriptor_table_inherit(struct descriptor_table *from, bool shares)
{
    if (shares) {
        __atomic_fetch_add(&from->references, 1, __ATOMIC_RELAXED);
        return from;
    }
    struct descriptor_table *table = allocate(sizeof(struct descriptor_table));
    if (!table) {
        return NULL;
    }
    table->references = 1;
    if (from && !copy_entries(table, from)) {
        descriptor_table_put(table);
        return NULL;
    }
    return table;
}

void descriptor_table_put(struct descriptor_table *table)
{
    if (!table || __atomic_sub_fetch(&table->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    descriptor_table_close_all(table);
    release(table->at, table->capacity * sizeof(struct descriptor));
    release(table, sizeof(struct descriptor_table));
}

void descriptor_table_close_on_exec(void)
{
    for (int64_t at = descriptor_next(0); at >= 0; at = descriptor_next(at + 1)) {
        if (descriptor_flags(at) > 0) {
            descriptor_close(at);
        }
    }
}
