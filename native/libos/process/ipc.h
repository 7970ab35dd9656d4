/*
 * System V IPC: what semaphores, message queues and shared memory have in common, keys, ids and permissions
 * (sysvipc(7), ipc/util.c of Linux). Each kind has a table; its objects begin with struct ipc_object.
 */
#ifndef ENCLAVIZE_IPC_H
#define ENCLAVIZE_IPC_H

#include "wait/wait.h"

enum { IPC_PRIVATE = 0 };
enum ipc_command { IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3 };
#define IPC_CREAT 01000U
#define IPC_EXCL 02000U
#define IPC_NOWAIT 04000U
#define IPC_MODES 0777U
/* What a call does to an object, for ipc_is_allowed(). */
#define IPC_READS 0444U
#define IPC_WRITES 0222U

/* struct ipc64_perm */
struct ipc_permissions {
    int32_t key;
    uint32_t uid, gid, creator_uid, creator_gid;
    uint32_t mode;
    uint16_t sequence;
    uint16_t padding;
    uint32_t padding2;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct ipc_permissions) == 48, "as in Linux");

struct ipc_object {
    struct ipc_permissions permissions;
    int32_t id;
};

#define IPC_QUEUES 16U

struct ipc_table {
    /* Of a new object: zeroed, or NULL and *error. `wanted` is what the *get call asks for. */
    struct ipc_object *(*make)(const void *wanted, int64_t *error);
    /* Is the one that is there what is wanted? 0 or a negative errno; NULL: always. */
    int64_t (*check)(const struct ipc_object *object, const void *wanted);
    uint32_t limit; /* of objects: SEMMNI, MSGMNI, SHMMNI */

    struct mutex lock; /* all that follows, and what a kind puts under it */
    struct ipc_object **objects;
    uint32_t capacity, count;
    struct wait_queue sleepers[IPC_QUEUES]; /* by id; not in the objects: who wakes up may find none */
    uint32_t next_index; /* behind the last one that was given */
    uint16_t sequence;
};

/* semget(2), msgget(2), shmget(2) -> an id or a negative errno. Takes the lock; make() and check() run under it. */
int64_t ipc_get(struct ipc_table *table, int32_t key, uint32_t flags, const void *wanted);

/* Under the table's lock, as all that follow. NULL: EINVAL. */
struct ipc_object *ipc_find(const struct ipc_table *table, int32_t id);
/* By index or, if this is false, by id. */
struct ipc_object *ipc_look(const struct ipc_table *table, int32_t number, bool is_index);
/* For SEM_STAT and its like, and for /proc/sysvipc. NULL: nothing at this index. */
struct ipc_object *ipc_at(const struct ipc_table *table, uint32_t index);
/* The highest index in use, 0 if there is none: what IPC_INFO answers. */
uint32_t ipc_highest(const struct ipc_table *table);
/* The calling thread may do this (IPC_READS, IPC_WRITES): otherwise EACCES. */
bool ipc_is_allowed(const struct ipc_object *object, uint32_t modes);
/* It may change and remove it: otherwise EPERM. */
bool ipc_is_owner(const struct ipc_object *object);
/* IPC_SET: user, group and mode. 0 or -EINVAL. */
int64_t ipc_set(struct ipc_object *object, const struct ipc_permissions *wanted);
/* Takes the object out of the table. Freeing it is its kind's. */
void ipc_remove(struct ipc_table *table, struct ipc_object *object);

/* Sleeps until the object has changed, or is gone: the lock is released meanwhile. As wait_queue_sleep(). */
int ipc_sleep(struct ipc_table *table, int32_t id, uint64_t timeout_ns);
void ipc_wake(struct ipc_table *table, int32_t id);
/* A call that waits, behind those that have waited longer. It keeps its place through all that wakes it for nothing. */
struct ipc_waiting {
    struct ipc_waiting *next;
};
void ipc_enlist(struct ipc_waiting **first, struct ipc_waiting *call);
void ipc_delist(struct ipc_waiting **first, const struct ipc_waiting *call);
/* Seconds since 1970. */
int64_t ipc_time(void);

struct process;
/* semaphores.c: what the process did with SEM_UNDO is undone. */
void semaphores_process_ends(const struct process *process);

/* What IPC_STAT answers, and /proc/sysvipc; under the table's lock. */
struct semaphore_status { /* struct semid64_ds */
    struct ipc_permissions permissions;
    int64_t operation_time;
    uint64_t unused;
    int64_t change_time;
    uint64_t unused2, count, unused3[2];
};
struct message_queue_status { /* struct msqid64_ds */
    struct ipc_permissions permissions;
    int64_t send_time, receive_time, change_time;
    uint64_t bytes, count, bytes_limit;
    int32_t sender, receiver;
    uint64_t unused[2];
};
struct shared_segment_status { /* struct shmid64_ds */
    struct ipc_permissions permissions;
    uint64_t size;
    int64_t attach_time, detach_time, change_time;
    int32_t creator, last;
    uint64_t attached, unused[2];
};
extern struct ipc_table semaphore_sets, message_queues, shared_segments;
void semaphore_describe(const struct ipc_object *object, struct semaphore_status *status);
/* Locks their table, without removed segments whose last mapping has gone. */
void shared_segments_lock(void);
void shared_segment_describe(const struct ipc_object *object, struct shared_segment_status *status);
void message_queue_describe(const struct ipc_object *object, struct message_queue_status *status);

#endif
