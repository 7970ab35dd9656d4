/* System V shared memory: shmget(2), shmop(2), shmctl(2), ipc/shm.c of Linux. A segment is a shared object with a key. */
#include "process/process.h"

enum shm_command { SHM_LOCK = 11, SHM_UNLOCK = 12, SHM_STAT = 13, SHM_INFO = 14, SHM_STAT_ANY = 15 };
#define SHM_RDONLY 010000U
#define SHM_RND 020000U
#define SHM_REMAP 040000U
#define SHM_EXEC 0100000U
#define SHM_HUGETLB 04000U
#define SHM_DEST 01000U   /* of the mode: it goes with the last mapping */
#define SHM_LOCKED 02000U
#define IPC_EXECUTES 0111U
#define SHMMNI 4096U
#define SHMMAX (UINT64_MAX - (1ULL << 24))

struct segment {
    struct ipc_object ipc;
    struct shared_object object;
    int64_t attach_time, detach_time, change_time;
    int32_t creator, last;
    uint64_t size;
    bool is_gone; /* nobody has it: atomic, since that is found out under the memory lock */
};

static struct segment *segment_of(struct ipc_object *object)
{
    return CONTAINER_OF(object, struct segment, ipc);
}

static void unused(struct shared_object *object)
{
    __atomic_store_n(&CONTAINER_OF(object, struct segment, object)->is_gone, true, __ATOMIC_RELEASE);
}

static const struct object_operations segment_operations = {.unused = unused};

static struct ipc_object *make(const void *wanted, int64_t *error)
{
    uint64_t size = *(const uint64_t *)wanted, committed, limit;
    pages_count(&committed, &limit);
    if (size == 0 || size > SHMMAX) {
        *error = -EINVAL;
        return NULL;
    }
    if (size / PAGE_SIZE >= limit) {
        *error = -ENOMEM;
        return NULL;
    }
    struct segment *segment = allocate(sizeof *segment);
    if (!segment) {
        return NULL;
    }
    object_start(&segment->object, &segment_operations);
    segment->object.size = segment->size = size;
    segment->change_time = ipc_time();
    segment->creator = current_process()->id;
    return &segment->ipc;
}

static int64_t check(const struct ipc_object *object, const void *wanted)
{
    return *(const uint64_t *)wanted > CONTAINER_OF(object, const struct segment, ipc)->size ? -EINVAL : 0;
}

struct ipc_table shared_segments = {.make = make, .check = check, .limit = SHMMNI};
#define table (&shared_segments)

void shared_segments_lock(void)
{
    mutex_lock(&table->lock);
    for (uint32_t at = 0; at < table->capacity; at++) {
        struct ipc_object *object = ipc_at(table, at);
        if (object && __atomic_load_n(&segment_of(object)->is_gone, __ATOMIC_ACQUIRE)) {
            ipc_remove(table, object);
            release(segment_of(object), sizeof(struct segment));
        }
    }
}

int64_t sys_shmget(const struct arguments *arguments)
{
    uint64_t size = arguments->at[1];
    uint32_t flags = (uint32_t)arguments->at[2];
    if (flags & SHM_HUGETLB) {
        return -EINVAL; /* there are no huge pages */
    }
    shared_segments_lock();
    mutex_unlock(&table->lock);
    return ipc_get(table, (int32_t)arguments->at[0], flags, &size);
}

static int64_t attach(struct segment *segment, user_address address, uint32_t flags)
{
    uint32_t modes = IPC_READS | (flags & SHM_RDONLY ? 0 : IPC_WRITES) | (flags & SHM_EXEC ? IPC_EXECUTES : 0);
    if (!ipc_is_allowed(&segment->ipc, modes)) {
        return -EACCES;
    }
    uint32_t protection = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    uint32_t map_flags = (flags & SHM_RDONLY ? MAP_NEVER_WRITABLE : 0) |
                         (!address ? 0 : flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE);
    int64_t result = memory_map_object(address, segment->size, protection, map_flags, &segment->object);
    if (result >= 0) {
        segment->attach_time = ipc_time();
        segment->last = current_process()->id;
    }
    return result == -EEXIST ? -EINVAL : result;
}

int64_t sys_shmat(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    user_address address = arguments->at[1];
    uint32_t flags = (uint32_t)arguments->at[2];
    if (id < 0 || (!address && (flags & SHM_REMAP))) {
        return -EINVAL;
    }
    if (address % PAGE_SIZE) {
        address = PAGE_DOWN(address);
        if (!(flags & SHM_RND) || (!address && (flags & SHM_REMAP))) {
            return -EINVAL;
        }
    }
    shared_segments_lock();
    struct ipc_object *object = ipc_find(table, id);
    int64_t result = object ? attach(segment_of(object), address, flags) : -EINVAL;
    mutex_unlock(&table->lock);
    return result;
}

int64_t sys_shmdt(const struct arguments *arguments)
{
    user_address address = arguments->at[0];
    if (address % PAGE_SIZE) {
        return -EINVAL;
    }
    shared_segments_lock();
    struct shared_object *object = memory_object_at(address, &segment_operations);
    if (object) {
        struct segment *segment = CONTAINER_OF(object, struct segment, object);
        segment->detach_time = ipc_time();
        segment->last = current_process()->id;
        memory_detach(address, object);
        object_put(object);
    }
    mutex_unlock(&table->lock);
    return object ? 0 : -EINVAL;
}

void shared_segment_describe(const struct ipc_object *object, struct shared_segment_status *status)
{
    const struct segment *segment = CONTAINER_OF(object, const struct segment, ipc);
    *status = (struct shared_segment_status){
        .permissions = object->permissions,
        .size = segment->size,
        .attach_time = segment->attach_time,
        .detach_time = segment->detach_time,
        .change_time = segment->change_time,
        .creator = segment->creator,
        .last = segment->last,
        .attached = __atomic_load_n(&segment->object.mappings, __ATOMIC_RELAXED),
    };
}

/* struct shminfo64, struct shm_info */
struct limits_information {
    uint64_t maximum, minimum, segments, segments_of_process, pages, unused[4];
};
struct use_information {
    int32_t segments, padding;
    uint64_t pages, resident, swapped, attempts, successes;
};

static int64_t inform(user_address to, bool of_use)
{
    uint32_t highest = ipc_highest(table);
    int error;
    if (of_use) {
        struct use_information use = {.segments = (int32_t)table->count};
        for (uint32_t at = 0; at <= highest; at++) {
            struct ipc_object *object = ipc_at(table, at);
            use.pages += object ? PAGE_UP(segment_of(object)->size) / PAGE_SIZE : 0;
        }
        use.resident = use.pages; /* never on a disk */
        error = copy_to_user(to, &use, sizeof use);
    } else {
        const struct limits_information limits = {
            .maximum = SHMMAX, .minimum = 1, .segments = SHMMNI, .segments_of_process = SHMMNI, .pages = SHMMAX};
        error = copy_to_user(to, &limits, sizeof limits);
    }
    return error ? -EFAULT : (int64_t)highest;
}

/* It goes at once if nobody has it mapped, and with the last mapping otherwise; its key is free. */
static int64_t remove_segment(struct segment *segment)
{
    if (!(segment->ipc.permissions.mode & SHM_DEST)) {
        segment->ipc.permissions.mode |= SHM_DEST;
        segment->ipc.permissions.key = IPC_PRIVATE;
        object_discard(&segment->object);
        object_put(&segment->object);
    }
    return 0;
}

static int64_t set_locked(struct segment *segment, bool locks)
{
    if (!ipc_is_owner(&segment->ipc)) {
        return -EPERM; /* nobody has CAP_IPC_LOCK */
    }
    uint32_t mode = segment->ipc.permissions.mode;
    segment->ipc.permissions.mode = locks ? mode | SHM_LOCKED : mode & ~SHM_LOCKED;
    return 0;
}

static int64_t set(struct segment *segment, const struct shared_segment_status *wanted)
{
    int64_t error = ipc_set(&segment->ipc, &wanted->permissions);
    segment->change_time = error ? segment->change_time : ipc_time();
    return error;
}

static int64_t control(int32_t id, int32_t command, user_address argument)
{
    struct shared_segment_status status;
    if (command == IPC_INFO || command == SHM_INFO) {
        return inform(argument, command == SHM_INFO);
    }
    if (command == IPC_SET && copy_from_user(&status, argument, sizeof status)) {
        return -EFAULT;
    }
    bool by_index = command == SHM_STAT || command == SHM_STAT_ANY;
    bool is_known = by_index || command <= IPC_STAT || command == SHM_LOCK || command == SHM_UNLOCK;
    struct ipc_object *object = is_known ? ipc_look(table, id, by_index) : NULL;
    if (!object) {
        return -EINVAL;
    }
    switch (command) {
    case IPC_RMID:
        return ipc_is_owner(object) ? remove_segment(segment_of(object)) : -EPERM;
    case IPC_SET:
        return ipc_is_owner(object) ? set(segment_of(object), &status) : -EPERM;
    case SHM_LOCK:
    case SHM_UNLOCK:
        return set_locked(segment_of(object), command == SHM_LOCK);
    default:
        if (command != SHM_STAT_ANY && !ipc_is_allowed(object, IPC_READS)) {
            return -EACCES;
        }
        shared_segment_describe(object, &status);
        if (copy_to_user(argument, &status, sizeof status)) {
            return -EFAULT;
        }
        return by_index ? object->id : 0;
    }
}

int64_t sys_shmctl(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0], command = (int32_t)arguments->at[1];
    if (id < 0 || command < 0) {
        return -EINVAL;
    }
    shared_segments_lock();
    int64_t result = control(id, command, arguments->at[2]);
    mutex_unlock(&table->lock);
    return result;
}
