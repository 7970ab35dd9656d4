/* Sets of semaphores: between the files of the process room only. */
#ifndef ENCLAVIZE_PROCESS_SEMAPHORES_H
#define ENCLAVIZE_PROCESS_SEMAPHORES_H

#include "process/process.h"

#define SEMMNI 32000U /* sets */
#define SEMMSL 32000U /* semaphores in a set */
#define SEMMNS 1024000000U
#define SEMOPM 500U /* operations in a call */
#define SEMVMX 32767
#define SEMAEM SEMVMX

struct semaphore {
    int32_t value;
    int32_t process; /* that changed it last */
};

struct set {
    struct ipc_object object;
    int64_t operation_time, change_time;
    uint32_t count;
    struct semaphore *semaphores;
};

static inline struct set *set_of(const struct ipc_object *object)
{
    return CONTAINER_OF(object, struct set, object);
}

/* struct sembuf */
struct operation {
    uint16_t number;
    int16_t change;
    int16_t flags;
};

/*
 * A thread that waits. Who makes its operations possible does them for it (do_smart_update() of Linux): they are done
 * then, even if the set is gone before the thread runs.
 */
struct sleeping {
    struct ipc_waiting waiting;
    struct process *process;
    int32_t set;
    const struct operation *operations;
    size_t count, stopped; /* the one that it waits for, for GETNCNT and GETZCNT */
    bool alters, is_settled;
    int64_t result; /* once it is settled */
};

/* Under the table's lock, as all that follows. */
extern struct ipc_waiting *sleeping_threads;

/* The set's values are others: settles and wakes whom this lets go on. */
void semaphores_changed(struct set *set);
/* Nothing is to be undone any more: all of one process or, if that is NULL, all of one set. */
void semaphores_drop_undos(const struct process *process, int32_t set);
/* The same for some of a set: their values have been set. */
void semaphores_forget_undos(const struct set *set, uint32_t first, uint32_t count);

#endif
