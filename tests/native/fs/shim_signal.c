/* Signals: what was sent is remembered, what waits is said by the test. There are no objects of System V IPC. */
#include "shim_libos.h"

struct boundary_upcalls boundary_upcalls; /* nobody asks for a processor */
bool signal_waits;
int signal_sent;

uint64_t signals_queued(void)
{
    return 0;
}

void signal_handling(const struct process *process, uint64_t *ignored, uint64_t *caught)
{
    (void)process;
    *ignored = *caught = 0;
}

int64_t signal_tell(struct process *process, struct task *task, const struct signal_info *info)
{
    (void)process, (void)task, (void)info;
    return 0;
}

void signal_each_of_group(int32_t group, void (*each)(struct process *process, void *context), void *context)
{
    (void)group, (void)each, (void)context;
}

void signal_tell_group(int32_t group, int signal)
{
    (void)group;
    signal_sent = signal;
}

bool group_is_orphaned(int32_t group)
{
    (void)group;
    return true;
}

void signal_send_current(int signal)
{
    signal_sent = signal;
}

int64_t signal_send_process(struct process *process, const struct signal_info *info)
{
    (void)process;
    signal_sent = info->signal;
    return 0;
}

int64_t signal_kill_process(struct process *process, uint64_t signal)
{
    (void)process;
    signal_sent = (int)signal;
    return 0;
}

int64_t signal_queue_process(struct process *process, uint64_t signal, const struct signal_info *info)
{
    (void)info;
    return signal_kill_process(process, signal);
}

int64_t signal_info_from_user(struct signal_info *info, user_address from)
{
    return copy_from_user(info, from, sizeof *info);
}

struct signal_upcalls signal_upcalls;

uint64_t signals_pending(const struct task *task)
{
    (void)task;
    return 0;
}

bool signal_take(struct task *task, uint64_t wanted, struct signal_info *info)
{
    (void)task;
    (void)wanted;
    (void)info;
    return false;
}

int signal_set_temporary_mask(user_address mask, uint64_t size)
{
    return mask != 0 && size != 8 ? -EINVAL : 0;
}

bool attention_is_pending(void)
{
    return signal_waits;
}

/* There are no objects of System V IPC. */
struct ipc_table semaphore_sets, message_queues, shared_segments;

uint32_t ipc_highest(const struct ipc_table *table)
{
    (void)table;
    return 0;
}

struct ipc_object *ipc_at(const struct ipc_table *table, uint32_t index)
{
    (void)table;
    (void)index;
    return NULL;
}

void semaphore_describe(const struct ipc_object *object, struct semaphore_status *status)
{
    (void)object;
    (void)status;
}

void shared_segments_lock(void)
{
    mutex_lock(&shared_segments.lock);
}

void shared_segment_describe(const struct ipc_object *object, struct shared_segment_status *status)
{
    (void)object;
    (void)status;
}

void message_queue_describe(const struct ipc_object *object, struct message_queue_status *status)
{
    (void)object;
    (void)status;
}

int signal_find_mask(struct mask_place *found, user_address place)
{
    *found = (struct mask_place){0};
    return place ? copy_from_user(found, place, sizeof *found) : 0;
}
