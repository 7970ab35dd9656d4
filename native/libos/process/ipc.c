#include "process/process.h"

/* An id is an index and how often the indices have been gone through (IPCMNI_SHIFT of Linux). */
#define INDEX_BITS 15U
#define SEQUENCE_MAX (UINT16_MAX >> 1)
#define INITIAL_CAPACITY 16U
#define NO_ID UINT32_MAX

static uint32_t index_of(int32_t id)
{
    return (uint32_t)id & ((1U << INDEX_BITS) - 1);
}

struct ipc_object *ipc_at(const struct ipc_table *table, uint32_t index)
{
    return index < table->capacity ? table->objects[index] : NULL;
}

struct ipc_object *ipc_find(const struct ipc_table *table, int32_t id)
{
    struct ipc_object *object = id < 0 ? NULL : ipc_at(table, index_of(id));
    return object && object->id == id ? object : NULL;
}

uint32_t ipc_highest(const struct ipc_table *table)
{
    uint32_t index = table->capacity;
    while (index > 0 && !table->objects[index - 1]) {
        index--;
    }
    return index > 0 ? index - 1 : 0;
}

static struct ipc_object *find_key(const struct ipc_table *table, int32_t key)
{
    for (uint32_t index = 0; key != IPC_PRIVATE && index < table->capacity; index++) {
        struct ipc_object *object = table->objects[index];
        if (object && object->permissions.key == key) {
            return object;
        }
    }
    return NULL;
}

bool ipc_is_owner(const struct ipc_object *object)
{
    uint32_t uid = credentials()->user.effective;
    return uid == object->permissions.uid || uid == object->permissions.creator_uid;
}

bool ipc_is_allowed(const struct ipc_object *object, uint32_t modes)
{
    const struct ipc_permissions *permissions = &object->permissions;
    uint32_t requested = modes >> 6 | modes >> 3 | modes, granted = permissions->mode;
    if (ipc_is_owner(object)) {
        granted >>= 6;
    } else if (is_in_group(permissions->creator_gid) || is_in_group(permissions->gid)) {
        granted >>= 3;
    }
    return !(requested & ~granted & 7); /* nobody has CAP_IPC_OWNER */
}

int64_t ipc_set(struct ipc_object *object, const struct ipc_permissions *wanted)
{
    if (wanted->uid == NO_ID || wanted->gid == NO_ID) {
        return -EINVAL;
    }
    struct ipc_permissions *permissions = &object->permissions;
    permissions->uid = wanted->uid;
    permissions->gid = wanted->gid;
    permissions->mode = (permissions->mode & ~IPC_MODES) | (wanted->mode & IPC_MODES);
    return 0;
}

/* A free index, or -ENOMEM. */
static int64_t find_index(struct ipc_table *table)
{
    for (uint32_t index = 0; index < table->capacity; index++) {
        if (!table->objects[index]) {
            return index;
        }
    }
    uint32_t capacity = table->capacity ? 2 * table->capacity : INITIAL_CAPACITY, index = table->capacity;
    struct ipc_object **objects =
        reallocate(table->objects, table->capacity * sizeof *objects, capacity * sizeof *objects);
    if (!objects) {
        return -ENOMEM;
    }
    table->objects = objects;
    table->capacity = capacity;
    return index;
}

static int64_t add(struct ipc_table *table, int32_t key, uint32_t flags, const void *wanted)
{
    if (table->count >= table->limit) {
        return -ENOSPC;
    }
    int64_t index = find_index(table);
    if (index < 0) {
        return index;
    }
    int64_t error = -ENOMEM;
    struct ipc_object *object = table->make(wanted, &error);
    if (!object) {
        return error;
    }
    if (index < table->next_index) {
        table->sequence = table->sequence == SEQUENCE_MAX ? 0 : table->sequence + 1;
    }
    table->next_index = (uint32_t)index + 1;
    const struct credentials *who = credentials();
    object->id = (int32_t)((uint32_t)table->sequence << INDEX_BITS | (uint32_t)index);
    object->permissions = (struct ipc_permissions){
        .key = key,
        .uid = who->user.effective,
        .gid = who->group.effective,
        .creator_uid = who->user.effective,
        .creator_gid = who->group.effective,
        .mode = flags & IPC_MODES,
        .sequence = table->sequence,
    };
    table->objects[index] = object;
    table->count++;
    return object->id;
}

static int64_t get(struct ipc_table *table, int32_t key, uint32_t flags, const void *wanted)
{
    const struct ipc_object *object = find_key(table, key);
    if (!object) {
        return key == IPC_PRIVATE || (flags & IPC_CREAT) ? add(table, key, flags, wanted) : -ENOENT;
    }
    if ((flags & IPC_CREAT) && (flags & IPC_EXCL)) {
        return -EEXIST;
    }
    int64_t error = table->check ? table->check(object, wanted) : 0;
    if (error) {
        return error;
    }
    return ipc_is_allowed(object, flags & IPC_MODES) ? object->id : -EACCES;
}

int64_t ipc_get(struct ipc_table *table, int32_t key, uint32_t flags, const void *wanted)
{
    mutex_lock(&table->lock);
    int64_t result = get(table, key, flags, wanted);
    mutex_unlock(&table->lock);
    return result;
}

void ipc_remove(struct ipc_table *table, struct ipc_object *object)
{
    table->objects[index_of(object->id)] = NULL;
    table->count--;
}

struct ipc_object *ipc_look(const struct ipc_table *table, int32_t number, bool is_index)
{
    return !is_index ? ipc_find(table, number) : number < 0 ? NULL : ipc_at(table, index_of(number));
}

int ipc_sleep(struct ipc_table *table, int32_t id, uint64_t timeout_ns)
{
    return wait_queue_sleep(&table->sleepers[(uint32_t)id % IPC_QUEUES], &table->lock, timeout_ns);
}

void ipc_wake(struct ipc_table *table, int32_t id)
{
    wake_all(&table->sleepers[(uint32_t)id % IPC_QUEUES]);
}

static struct ipc_waiting **find_link(struct ipc_waiting **first, const struct ipc_waiting *call)
{
    while (*first && *first != call) {
        first = &(*first)->next;
    }
    return first;
}

void ipc_enlist(struct ipc_waiting **first, struct ipc_waiting *call)
{
    *find_link(first, call) = call;
}

void ipc_delist(struct ipc_waiting **first, const struct ipc_waiting *call)
{
    struct ipc_waiting **link = find_link(first, call);
    if (*link) {
        *link = call->next;
    }
}

int64_t ipc_time(void)
{
    return (int64_t)(clock_now_ns(CLOCK_REALTIME) / NS_PER_SECOND);
}
