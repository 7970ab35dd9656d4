/* semctl(2). */
#include "process/semaphores.h"

enum semaphore_command {
    GETPID = 11, GETVAL = 12, GETALL = 13, GETNCNT = 14, GETZCNT = 15, SETVAL = 16, SETALL = 17, SEM_STAT = 18, SEM_INFO = 19,
    SEM_STAT_ANY = 20,
};


static struct ipc_table *const table = &semaphore_sets;

void semaphore_describe(const struct ipc_object *object, struct semaphore_status *status)
{
    const struct set *set = set_of(object);
    *status = (struct semaphore_status){
        .permissions = object->permissions,
        .operation_time = set->operation_time,
        .change_time = set->change_time,
        .count = set->count,
    };
}

static int64_t count_sleepers(const struct set *set, uint32_t number, bool for_zero)
{
    int64_t count = 0;
    for (const struct ipc_waiting *at = sleeping_threads; at; at = at->next) {
        const struct sleeping *sleeper = CONTAINER_OF(at, struct sleeping, waiting);
        const struct operation *awaited = &sleeper->operations[sleeper->stopped];
        bool waits = sleeper->set == set->object.id && !sleeper->is_settled;
        count += waits && awaited->number == number && (awaited->change == 0) == for_zero;
    }
    return count;
}

static int64_t read_one(const struct set *set, uint32_t number, int32_t command)
{
    const struct semaphore *semaphore = &set->semaphores[number];
    switch (command) {
    case GETVAL:
        return semaphore->value;
    case GETPID:
        return semaphore->process;
    default:
        return count_sleepers(set, number, command == GETZCNT);
    }
}

static int64_t set_one(struct set *set, uint32_t number, int32_t value)
{
    set->semaphores[number] = (struct semaphore){.value = value, .process = current_process()->id};
    semaphores_forget_undos(set, number, 1);
    set->change_time = ipc_time();
    semaphores_changed(set);
    return 0;
}

static int64_t get_all(const struct set *set, user_address to)
{
    for (uint32_t at = 0; at < set->count; at++) {
        uint16_t value = (uint16_t)set->semaphores[at].value;
        if (copy_to_user(to + at * sizeof value, &value, sizeof value)) {
            return -EFAULT;
        }
    }
    return 0;
}

static int64_t set_all(struct set *set, user_address from)
{
    uint16_t *values = allocate(set->count * sizeof *values);
    int64_t result = values ? copy_from_user(values, from, set->count * sizeof *values) : -ENOMEM;
    for (uint32_t at = 0; result == 0 && at < set->count; at++) {
        result = values[at] > SEMVMX ? -ERANGE : 0;
    }
    for (uint32_t at = 0; result == 0 && at < set->count; at++) {
        set->semaphores[at] = (struct semaphore){.value = values[at], .process = current_process()->id};
    }
    if (result == 0) {
        semaphores_forget_undos(set, 0, set->count);
        set->change_time = ipc_time();
        semaphores_changed(set);
    }
    release(values, set->count * sizeof *values);
    return result;
}

static int64_t remove_set(struct set *set)
{
    int32_t id = set->object.id;
    ipc_remove(table, &set->object);
    semaphores_drop_undos(NULL, id);
    release(set->semaphores, set->count * sizeof *set->semaphores);
    release(set, sizeof *set);
    ipc_wake(table, id);
    return 0;
}

/* struct seminfo */
struct information {
    int32_t map, sets, all, undos, in_set, operations, undo_entries, undo_size, value, adjustment;
};

static int64_t inform(user_address to, bool of_use)
{
    struct information information = {
        .map = SEMMNS, .sets = SEMMNI, .all = SEMMNS, .undos = SEMMNS, .in_set = SEMMSL, .operations = SEMOPM,
        .undo_entries = SEMOPM, .undo_size = 20, .value = SEMVMX, .adjustment = SEMAEM,
    };
    uint32_t highest = ipc_highest(table);
    if (of_use) {
        information.undo_size = (int32_t)table->count;
        information.adjustment = 0;
        for (uint32_t at = 0; at <= highest; at++) {
            const struct ipc_object *object = ipc_at(table, at);
            information.adjustment += object ? (int32_t)set_of(object)->count : 0;
        }
    }
    return copy_to_user(to, &information, sizeof information) ? -EFAULT : (int64_t)highest;
}

/* IPC_SET and IPC_RMID. */
static int64_t change_set(struct set *set, const struct semaphore_status *wanted)
{
    if (!ipc_is_owner(&set->object)) {
        return -EPERM;
    }
    if (!wanted) {
        return remove_set(set);
    }
    int64_t error = ipc_set(&set->object, &wanted->permissions);
    set->change_time = error ? set->change_time : ipc_time();
    return error;
}

static int64_t control_set(struct ipc_object *object, uint32_t number, int32_t command, user_address argument)
{
    struct set *set = set_of(object);
    struct semaphore_status status;
    bool is_any = command == SEM_STAT_ANY;
    bool changes = command == SETVAL || command == SETALL;
    bool is_one = command != GETALL && command != SETALL && command >= GETPID && command <= SETVAL;
    if (command == SETVAL && number >= set->count) {
        return -EINVAL;
    }
    if (!is_any && !ipc_is_allowed(object, changes ? IPC_WRITES : IPC_READS)) {
        return -EACCES;
    }
    if (is_one && number >= set->count) {
        return -EINVAL;
    }
    switch (command) {
    case GETALL:
        return get_all(set, argument);
    case SETALL:
        return set_all(set, argument);
    case SETVAL:
        return set_one(set, number, (int32_t)argument);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        semaphore_describe(object, &status);
        if (copy_to_user(argument, &status, sizeof status)) {
            return -EFAULT;
        }
        return command == IPC_STAT ? 0 : object->id;
    default:
        return read_one(set, number, command);
    }
}

static int64_t control(int32_t id, uint32_t number, int32_t command, user_address argument)
{
    struct semaphore_status status;
    switch (command) {
    case IPC_INFO:
    case SEM_INFO:
        return inform(argument, command == SEM_INFO);
    case SETVAL:
        if ((int32_t)argument < 0 || (int32_t)argument > SEMVMX) {
            return -ERANGE;
        }
        break;
    case IPC_SET:
        if (copy_from_user(&status, argument, sizeof status)) {
            return -EFAULT;
        }
        break;
    case IPC_RMID:
    case IPC_STAT:
    case GETPID:
    case GETVAL:
    case GETALL:
    case GETNCNT:
    case GETZCNT:
    case SETALL:
    case SEM_STAT:
    case SEM_STAT_ANY:
        break;
    default:
        return -EINVAL;
    }
    bool by_index = command == SEM_STAT || command == SEM_STAT_ANY;
    struct ipc_object *object = ipc_look(table, id, by_index);
    if (!object) {
        return -EINVAL;
    }
    if (command == IPC_SET || command == IPC_RMID) {
        return change_set(set_of(object), command == IPC_SET ? &status : NULL);
    }
    return control_set(object, number, command, argument);
}

int64_t sys_semctl(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    if (id < 0) {
        return -EINVAL;
    }
    mutex_lock(&table->lock);
    int64_t result = control(id, (uint32_t)arguments->at[1], (int32_t)arguments->at[2], arguments->at[3]);
    mutex_unlock(&table->lock);
    return result;
}
