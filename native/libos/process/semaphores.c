/* System V semaphores: semget(2), semop(2), semctl(2). */
#include "process/semaphores.h"

#define SEM_UNDO 0x1000U

/* What a process has to undo on one set. */
struct undo {
    struct undo *next;
    const struct process *process;
    int32_t set;
    uint32_t count;
    int16_t adjustments[];
};

/* Under the table's lock. */
static struct undo *undos;
struct ipc_waiting *sleeping_threads;

static struct ipc_object *make(const void *wanted, int64_t *error)
{
    uint32_t count = *(const uint32_t *)wanted;
    if (count == 0) {
        *error = -EINVAL;
        return NULL;
    }
    struct set *set = allocate(sizeof *set);
    if (!set || !(set->semaphores = allocate(count * sizeof *set->semaphores))) {
        release(set, sizeof *set);
        return NULL;
    }
    set->count = count;
    set->change_time = ipc_time();
    return &set->object;
}

static int64_t check(const struct ipc_object *object, const void *wanted)
{
    return *(const uint32_t *)wanted > set_of(object)->count ? -EINVAL : 0;
}

struct ipc_table semaphore_sets = {.make = make, .check = check, .limit = SEMMNI};
static struct ipc_table *const table = &semaphore_sets;

int64_t sys_semget(const struct arguments *arguments)
{
    uint32_t count = (uint32_t)arguments->at[1];
    if (count > SEMMSL) {
        return -EINVAL;
    }
    return ipc_get(table, (int32_t)arguments->at[0], (uint32_t)arguments->at[2], &count);
}

static size_t undo_size(uint32_t count)
{
    return sizeof(struct undo) + count * sizeof(int16_t);
}

static struct undo *find_undo(const struct process *process, const struct set *set)
{
    struct undo *undo = undos;
    while (undo && (undo->process != process || undo->set != set->object.id)) {
        undo = undo->next;
    }
    return undo;
}

static struct undo *need_undo(const struct process *process, const struct set *set)
{
    struct undo *undo = find_undo(process, set);
    if (!undo && (undo = allocate(undo_size(set->count)))) {
        undo->process = process;
        undo->set = set->object.id;
        undo->count = set->count;
        undo->next = undos;
        undos = undo;
    }
    return undo;
}

void semaphores_drop_undos(const struct process *process, int32_t set)
{
    for (struct undo **link = &undos; *link;) {
        struct undo *undo = *link;
        if (process ? undo->process == process : undo->set == set) {
            *link = undo->next;
            release(undo, undo_size(undo->count));
        } else {
            link = &undo->next;
        }
    }
}

void semaphores_forget_undos(const struct set *set, uint32_t first, uint32_t count)
{
    for (struct undo *undo = undos; undo; undo = undo->next) {
        if (undo->set == set->object.id) {
            memset(undo->adjustments + first, 0, count * sizeof(int16_t));
        }
    }
}

void semaphores_process_ends(const struct process *process)
{
    mutex_lock(&table->lock);
    for (struct undo *undo = undos; undo; undo = undo->next) {
        struct ipc_object *object = undo->process == process ? ipc_find(table, undo->set) : NULL;
        for (uint32_t at = 0; object && at < undo->count; at++) {
            struct semaphore *semaphore = &set_of(object)->semaphores[at];
            int32_t value = semaphore->value + undo->adjustments[at];
            semaphore->value = value < 0 ? 0 : value > SEMVMX ? SEMVMX : value;
        }
        if (object) {
            semaphores_changed(set_of(object));
        }
    }
    semaphores_drop_undos(process, 0);
    mutex_unlock(&table->lock);
}

#define DONE 0
#define WAITS 1

/* Does one of them, on trial. */
static int64_t apply_one(struct set *set, const struct operation *operation)
{
    struct semaphore *semaphore = &set->semaphores[operation->number];
    int32_t value = semaphore->value + operation->change;
    if (operation->change == 0 ? semaphore->value != 0 : value < 0) {
        return operation->flags & (int16_t)IPC_NOWAIT ? -EAGAIN : WAITS;
    }
    if (value > SEMVMX) {
        return -ERANGE;
    }
    semaphore->value = value;
    return DONE;
}

static int64_t note_undo(const struct process *process, struct set *set, const struct operation *operation)
{
    struct undo *undo = need_undo(process, set);
    if (!undo) {
        return -ENOMEM;
    }
    int32_t adjustment = undo->adjustments[operation->number] - operation->change;
    if (adjustment < -SEMAEM - 1 || adjustment > SEMAEM) {
        return -ERANGE;
    }
    undo->adjustments[operation->number] = (int16_t)adjustment;
    return DONE;
}

/* All of them or none: DONE, WAITS (for `stopped`) or a negative errno. */
static int64_t apply(struct set *set, struct sleeping *call)
{
    const struct operation *operations = call->operations;
    int64_t result = DONE;
    size_t at = 0;
    for (; at < call->count && result == DONE; at++) {
        result = apply_one(set, &operations[at]);
        if (result == DONE && (operations[at].flags & (int16_t)SEM_UNDO)) {
            result = note_undo(call->process, set, &operations[at]);
            set->semaphores[operations[at].number].value -= result == DONE ? 0 : operations[at].change;
        }
    }
    if (result == DONE) {
        for (at = 0; at < call->count; at++) {
            set->semaphores[operations[at].number].process = call->process->id;
        }
        set->operation_time = ipc_time();
        return DONE;
    }
    call->stopped = at - 1;
    for (at = call->stopped; at > 0; at--) {
        const struct operation *done = &operations[at - 1];
        set->semaphores[done->number].value -= done->change;
        if (done->flags & (int16_t)SEM_UNDO) {
            find_undo(call->process, set)->adjustments[done->number] += done->change;
        }
    }
    return result;
}

/* Of those who change values, or of the others. True: one has changed some. */
static bool settle(struct set *set, bool alters)
{
    for (struct ipc_waiting *at = sleeping_threads; at; at = at->next) {
        struct sleeping *sleeper = CONTAINER_OF(at, struct sleeping, waiting);
        if (sleeper->set != set->object.id || sleeper->is_settled || sleeper->alters != alters) {
            continue;
        }
        int64_t result = apply(set, sleeper);
        if (result != WAITS) {
            sleeper->is_settled = true;
            sleeper->result = result;
        }
        if (alters && result == DONE) {
            return true;
        }
    }
    return false;
}

void semaphores_changed(struct set *set)
{
    do {
        settle(set, false); /* before another changes what they wait for */
    } while (settle(set, true));
    ipc_wake(table, set->object.id);
}

/* 0, -EFBIG or -EACCES. */
static int64_t check_operations(const struct set *set, struct sleeping *call)
{
    for (size_t at = 0; at < call->count; at++) {
        if (call->operations[at].number >= set->count) {
            return -EFBIG;
        }
        call->alters |= call->operations[at].change != 0;
    }
    return ipc_is_allowed(&set->object, call->alters ? IPC_WRITES : IPC_READS) ? 0 : -EACCES;
}

/* Under the lock. */
static int64_t operate(struct sleeping *call, uint64_t deadline)
{
    struct ipc_object *object = ipc_find(table, call->set);
    int64_t result = object ? check_operations(set_of(object), call) : -EINVAL;
    while (result == 0) {
        int64_t outcome = apply(set_of(object), call);
        if (outcome == DONE && call->alters) {
            semaphores_changed(set_of(object));
        }
        if (outcome != WAITS) {
            return outcome;
        }
        uint64_t timeout = NO_TIMEOUT;
        if (deadline != NO_TIMEOUT) {
            uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
            timeout = deadline > now ? deadline - now : 0;
        }
        ipc_enlist(&sleeping_threads, &call->waiting);
        result = timeout ? ipc_sleep(table, call->set, timeout) : -EAGAIN;
        if (call->is_settled) {
            return call->result;
        }
        result = result == -ETIMEDOUT ? 0 : result; /* the deadline decides */
        object = ipc_find(table, call->set);
        if (!object) {
            return -EIDRM;
        }
    }
    return result;
}

static int64_t operation_call(const struct arguments *arguments, uint64_t timeout_ns)
{
    struct operation few[8], *operations = few;
    uint32_t count = (uint32_t)arguments->at[2];
    if (count > SEMOPM) {
        return -E2BIG;
    }
    if (count < 1 || (int32_t)arguments->at[0] < 0) {
        return -EINVAL;
    }
    size_t size = count * sizeof *operations;
    if (count > ARRAY_LENGTH(few) && !(operations = allocate(size))) {
        return -ENOMEM;
    }
    int64_t result = copy_from_user(operations, arguments->at[1], size);
    if (!result) {
        uint64_t deadline = timeout_ns == NO_TIMEOUT ? NO_TIMEOUT : clock_now_ns(CLOCK_MONOTONIC) + timeout_ns;
        struct sleeping call = {.process = current_process(), .set = (int32_t)arguments->at[0], .operations = operations, .count = count};
        mutex_lock(&table->lock);
        result = operate(&call, deadline);
        ipc_delist(&sleeping_threads, &call.waiting);
        mutex_unlock(&table->lock);
    }
    if (operations != few) {
        release(operations, size);
    }
    return result;
}

int64_t sys_semop(const struct arguments *arguments)
{
    return operation_call(arguments, NO_TIMEOUT);
}

int64_t sys_semtimedop(const struct arguments *arguments)
{
    uint64_t timeout_ns = NO_TIMEOUT;
    int error = arguments->at[3] ? timeout_from_user(&timeout_ns, arguments->at[3]) : 0;
    return error ? error : operation_call(arguments, timeout_ns);
}
