/* Ids of processes, groups and sessions: credentials(7). */
#include "process/child.h"

int64_t sys_getpid(const struct arguments *arguments)
{
    (void)arguments;
    return current_process()->id;
}

int64_t sys_getppid(const struct arguments *arguments)
{
    (void)arguments;
    lists_lock();
    const struct process *parent = current_process()->parent;
    int32_t id = parent ? parent->id : 0; /* the first one's is outside */
    lists_unlock();
    return id;
}

/* The process that the id names, also by one of its threads; 0: the calling one. NULL: there is none. */
static struct process *named(int32_t id)
{
    if (process_id_is_own((uint32_t)id)) {
        return current_process();
    }
    struct process *process = process_of_id(id);
    const struct task *task = process ? NULL : task_of_id(id);
    return task ? task->process : process;
}

int64_t sys_getpgid(const struct arguments *arguments)
{
    const struct process *process = named((int32_t)arguments->at[0]);
    return process ? process->group : -ESRCH;
}

int64_t sys_getpgrp(const struct arguments *arguments)
{
    (void)arguments;
    return current_process()->group;
}

int64_t sys_getsid(const struct arguments *arguments)
{
    const struct process *process = named((int32_t)arguments->at[0]);
    return process ? process->session : -ESRCH;
}

struct group_query {
    int32_t group, session; /* session 0: any */
    bool is_found;
};

static bool has_group(struct process *process, void *context)
{
    struct group_query *query = context;
    query->is_found = process->group == query->group && (!query->session || process->session == query->session);
    return !query->is_found;
}

struct group_state {
    int32_t group;
    bool is_led, has_stopped;
};

/* Some parent of a member is in another group of the session, and could continue it: will_become_orphaned_pgrp() of Linux. */
static bool look_at_member(struct process *process, void *context)
{
    struct group_state *state = context;
    if (process->group != state->group || process->state != PROCESS_RUNNING) {
        return true;
    }
    const struct process *parent = process->parent;
    state->is_led |= parent && parent->group != process->group && parent->session == process->session;
    state->has_stopped |= __atomic_load_n(&process->stop_signal, __ATOMIC_SEQ_CST) != 0;
    return true;
}

bool group_is_orphaned(int32_t group)
{
    struct group_state state = {.group = group};
    process_each(look_at_member, &state);
    return !state.is_led;
}

void group_lost_parent(int32_t group)
{
    struct group_state state = {.group = group};
    process_each(look_at_member, &state);
    if (!state.is_led && state.has_stopped) {
        process_upcalls.tell_group(group, SIGHUP);
        process_upcalls.tell_group(group, SIGCONT);
    }
}

int64_t sys_setsid(const struct arguments *arguments)
{
    (void)arguments;
    struct process *process = current_process();
    struct group_query query = {.group = process->id};
    process_each(has_group, &query);
    if (query.is_found) {
        return -EPERM; /* a group has its id: it leads that */
    }
    lists_lock();
    process->group = process->session = process->id;
    lists_unlock();
    return process->id;
}

/* setpgid(2): the process itself, or a child that has not executed a program yet. */
int64_t sys_setpgid(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0], group = (int32_t)arguments->at[1];
    struct process *own = current_process();
    if (group < 0 || (group == 0 && id < 0)) {
        return -EINVAL;
    }
    struct process *process = id ? process_of_id(id) : own;
    if (!process) {
        return task_of_id(id) ? -EINVAL : -ESRCH;
    }
    if (process != own && process->parent != own) {
        return -ESRCH;
    }
    if (process != own && process->session != own->session) {
        return -EPERM;
    }
    if (process != own && process->has_executed) {
        return -EACCES;
    }
    if (process->session == process->id) {
        return -EPERM; /* a session's leader stays in its group */
    }
    group = group ? group : process->id;
    struct group_query query = {.group = group, .session = own->session};
    process_each(has_group, &query);
    if (group != process->id && !query.is_found) {
        return -EPERM;
    }
    lists_lock();
    process->group = group;
    lists_unlock();
    return 0;
}
