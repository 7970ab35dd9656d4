/* The list of processes, and ids. */
#include "process/table.h"

#define ID_LIMIT 32768   /* pid_max of Linux */
#define ID_RESERVED 300  /* where ids begin anew: RESERVED_PIDS of Linux */

#define FIRST_SERIAL 1
struct process first_process = {.serial = FIRST_SERIAL, .state = PROCESS_RUNNING, .id = PROCESS_ID, .group = PROCESS_ID, .session = PROCESS_ID};

static struct process *listed = &first_process;
static struct process *free_ones;
static int32_t last_id = PROCESS_ID;

static struct process *find(int32_t id)
{
    struct process *process = listed;
    while (process && process->id != id) {
        process = process->next;
    }
    return process;
}

struct process *process_of_id(int32_t id)
{
    lists_lock();
    struct process *process = find(id);
    lists_unlock();
    return process;
}

void process_each(bool (*each)(struct process *process, void *context), void *context)
{
    lists_lock();
    for (struct process *process = listed, *next; process; process = next) {
        next = process->next; /* `each` may take it off the list */
        if (!each(process, context)) {
            break;
        }
    }
    lists_unlock();
}

/* An id is in use as long as a thread, a process, a group or a session has it. */
static bool is_in_use(int32_t id)
{
    for (const struct process *process = listed; process; process = process->next) {
        if (process->id == id || process->group == id || process->session == id) {
            return true;
        }
    }
    return task_is_listed(id);
}

int32_t task_new_id(void)
{
    lists_lock();
    int32_t id = 0;
    for (int32_t tried = 0; tried < ID_LIMIT && !id; tried++) {
        last_id = last_id + 1 < ID_LIMIT ? last_id + 1 : ID_RESERVED;
        id = is_in_use(last_id) ? 0 : last_id;
    }
    lists_unlock();
    return id;
}

static uint64_t last_serial = FIRST_SERIAL;

uint64_t process_new_serial(void)
{
    return __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
}

int32_t process_last_id(void)
{
    return __atomic_load_n(&last_id, __ATOMIC_RELAXED);
}

static struct process *take_free(void)
{
    lists_lock();
    struct process *process = free_ones;
    if (process) {
        free_ones = process->next;
    }
    lists_unlock();
    if (!process) {
        return allocate(sizeof *process);
    }
    size_t kept = offsetof(struct process, next); /* a late wake may be about to look at it */
    memset((char *)process + kept, 0, sizeof *process - kept);
    return process;
}

struct process *process_make(void)
{
    struct process *process = take_free();
    if (process) {
        process->serial = process_new_serial();
        usage_is_not_alone();
    }
    return process;
}

void process_list(struct process *process, const struct process *sister)
{
    lists_lock();
    process->parent = sister && sister->parent ? sister->parent : process->parent;
    process->state = PROCESS_RUNNING;
    process->next = listed;
    listed = process;
    lists_unlock();
}

void process_unlist(struct process *process)
{
    struct process **link = &listed;
    while (*link && *link != process) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = process->next;
    }
    process->state = PROCESS_FREE;
    process->next = free_ones;
    free_ones = process;
}
