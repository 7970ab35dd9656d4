/* Signals that processes send: kill(2), tgkill(2), sigqueue(3). */
#include "signal/action.h"
#include "signal/pending.h"
#include "signal/stop.h"

static struct signal_info info_of_sender(uint64_t signal, int32_t code)
{
    return (struct signal_info){
        .signal = (int32_t)signal,
        .code = code,
        .first = (uint32_t)current_process()->id | (uint64_t)credentials()->user.real << 32,
    };
}

struct permission {
    const struct process *process;
    uint64_t signal;
    bool is_given;
};

/* kill_ok_by_cred() of Linux. */
static bool look_at_owner(struct task *task, void *context)
{
    struct permission *permission = context;
    const struct ids *own = &credentials()->user, *other = &task->credentials.user;
    bool is_own = own->effective == other->saved || own->effective == other->real || own->real == other->saved ||
                  own->real == other->real;
    bool goes_on = permission->signal == SIGCONT && task->process->session == current_process()->session;
    permission->is_given = is_own || goes_on || is_capable(CAP_KILL);
    return false;
}

/* One thread speaks for all; a zombie may be sent anything. */
static bool may_send(const struct process *process, uint64_t signal)
{
    struct permission permission = {.process = process, .signal = signal, .is_given = true};
    if (process != current_process()) {
        process_each_task(process, look_at_owner, &permission);
    }
    return permission.is_given;
}

/* SIGKILL cannot wait, so the first process is shielded from it here: pid_namespaces(7). */
static void end_by_kill(struct process *process)
{
    if (process != &first_process) {
        process_kill(process);
    }
}

int64_t signal_send_to(struct process *process, struct task *task, const struct signal_info *info)
{
    signal_cancel_opposite(process, info->signal);
    int64_t result = task ? signal_send(task, info) : signal_send_process(process, info);
    if (info->signal == SIGCONT) {
        process_continue(process);
    }
    return result == SIGNAL_IGNORED ? 0 : result;
}

/* Signal 0 only asks. Processes and tasks are recycled, so at worst one that is just ending gets it. */
static int64_t send(struct process *process, struct task *task, uint64_t signal, const struct signal_info *info)
{
    if (signal && !signal_is_valid(signal)) {
        return -EINVAL;
    }
    if (!may_send(process, signal)) {
        return -EPERM;
    }
    if (!signal) {
        return 0;
    }
    if (signal == SIGKILL && process == current_process() && process != &first_process) {
        process_exit(0, SIGKILL);
    }
    if (signal == SIGKILL) {
        end_by_kill(process);
        return 0;
    }
    return signal_send_to(process, task, info);
}

int64_t signal_tell(struct process *process, struct task *task, const struct signal_info *info)
{
    if (info->signal == SIGKILL) {
        end_by_kill(process);
        return 0;
    }
    return signal_send_to(process, task, info);
}

/* Only the kernel and kill() say so, and a process to itself: rt_sigqueueinfo(2). */
static bool is_forged(const struct signal_info *info, int32_t target)
{
    return (info->code >= 0 || info->code == SI_TKILL) && target != task_id(current_task());
}

int64_t signal_kill_process(struct process *process, uint64_t signal)
{
    struct signal_info info = info_of_sender(signal, SI_USER);
    return send(process, NULL, signal, &info);
}

int64_t signal_queue_process(struct process *process, uint64_t signal, const struct signal_info *info)
{
    return is_forged(info, process->id) ? -EPERM : send(process, NULL, signal, info);
}

int64_t signal_info_from_user(struct signal_info *info, user_address from)
{
    uint8_t image[SIGNAL_INFO_SIZE];
    if (copy_from_user(image, from, sizeof image)) {
        return -EFAULT;
    }
    memcpy(info, image, sizeof *info);
    info->timer = 0;
    return 0;
}

/* A thread's id stands for its process. */
static struct process *process_named(int32_t id)
{
    struct process *process = process_of_id(id);
    const struct task *task = process ? NULL : task_of_id(id);
    return task ? task->process : process;
}

struct crowd {
    int32_t group;           /* 0: all but the first process and the caller's own */
    struct process **members; /* parents before their children; the caller's own is not among them */
    size_t room, count;
    bool has_own;
};

static bool note_member(struct process *process, void *context)
{
    struct crowd *crowd = context;
    bool is_own = process == current_process();
    bool is_meant = crowd->group ? process->group == crowd->group : process != &first_process && !is_own;
    crowd->has_own |= is_meant && is_own;
    if (is_meant && !is_own) {
        if (crowd->count < crowd->room) {
            crowd->members[crowd->count] = process;
        }
        crowd->count++;
    }
    return true;
}

/*
 * Linux tells a group under the lock that a process takes to end, so nobody sees a child end of a signal that is meant
 * for himself, too, and has not got it. Here parents are told first: they are older.
 */
static void sort_by_age(struct crowd *crowd)
{
    for (size_t at = 1; at < crowd->count; at++) {
        struct process *process = crowd->members[at];
        size_t to = at;
        for (; to > 0 && crowd->members[to - 1]->start_time_ns > process->start_time_ns; to--) {
            crowd->members[to] = crowd->members[to - 1];
        }
        crowd->members[to] = process;
    }
}

/* The members but the caller's own process, allocated; NULL with crowd->count: out of memory. */
static struct process **gather(struct crowd *crowd)
{
    process_each(note_member, crowd);
    size_t room = crowd->count;
    struct process **members = room ? allocate(room * sizeof(*members)) : NULL;
    *crowd = (struct crowd){.group = crowd->group, .members = members, .room = members ? room : 0, .count = members ? 0 : room,
                            .has_own = crowd->has_own};
    if (members) {
        process_each(note_member, crowd);
        crowd->count = crowd->count < room ? crowd->count : room;
        sort_by_age(crowd);
    }
    return members;
}

/* Success, if one of them could be told. */
static int64_t kill_crowd(int32_t group, uint64_t signal)
{
    struct crowd crowd = {.group = group};
    struct process **members = gather(&crowd);
    if (crowd.count && !members) {
        return -EAGAIN;
    }
    int64_t result = -ESRCH;
    for (size_t at = 0; at < crowd.count; at++) {
        int64_t one = signal_kill_process(members[at], signal);
        result = result == 0 ? 0 : one;
    }
    release(members, crowd.room * sizeof(*members));
    if (crowd.has_own) { /* the last one: it may not come back */
        int64_t one = signal_kill_process(current_process(), signal);
        result = result == 0 ? 0 : one;
    }
    return result;
}

void signal_each_of_group(int32_t group, void (*each)(struct process *process, void *context), void *context)
{
    struct crowd crowd = {.group = group};
    struct process **members = gather(&crowd);
    for (size_t at = 0; members && at < crowd.count; at++) {
        each(members[at], context);
    }
    release(members, crowd.room * sizeof(*members));
    if (crowd.has_own) {
        each(current_process(), context);
    }
}

static void tell_of_kernel(struct process *process, void *context)
{
    const int *signal = context;
    (void)signal_tell(process, NULL, &(struct signal_info){.signal = *signal, .code = SI_KERNEL});
}

void signal_tell_group(int32_t group, int signal)
{
    signal_each_of_group(group, tell_of_kernel, &signal);
}

int64_t sys_kill(const struct arguments *arguments)
{
    int32_t target = (int32_t)arguments->at[0];
    uint64_t signal = (uint32_t)arguments->at[1];
    if (target > 0) {
        struct process *process = process_named(target);
        return process ? signal_kill_process(process, signal) : -ESRCH;
    }
    if (target == INT32_MIN) {
        return -ESRCH;
    }
    return kill_crowd(target == 0 ? current_process()->group : target == -1 ? 0 : -target, signal);
}

/* `group` 0: whatever process the thread is of; `info` NULL: as tkill() has it. */
static int64_t send_thread(int32_t group, int32_t id, uint64_t signal, const struct signal_info *info)
{
    struct task *target = task_of_id(id);
    struct signal_info usual = info_of_sender(signal, SI_TKILL);
    if (!target || (group && target->process->id != group)) {
        return -ESRCH;
    }
    return send(target->process, target, signal, info ? info : &usual);
}

int64_t sys_tkill(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    return id <= 0 ? -EINVAL : send_thread(0, id, (uint32_t)arguments->at[1], NULL);
}

int64_t sys_tgkill(const struct arguments *arguments)
{
    int32_t group = (int32_t)arguments->at[0], id = (int32_t)arguments->at[1];
    return group <= 0 || id <= 0 ? -EINVAL : send_thread(group, id, (uint32_t)arguments->at[2], NULL);
}

int64_t sys_rt_sigqueueinfo(const struct arguments *arguments)
{
    int32_t target = (int32_t)arguments->at[0];
    struct signal_info info;
    if (signal_info_from_user(&info, arguments->at[2])) {
        return -EFAULT;
    }
    info.signal = (int32_t)arguments->at[1];
    if (is_forged(&info, target)) {
        return -EPERM;
    }
    struct process *process = target > 0 ? process_named(target) : NULL;
    return process ? send(process, NULL, (uint32_t)arguments->at[1], &info) : -ESRCH;
}

int64_t sys_rt_tgsigqueueinfo(const struct arguments *arguments)
{
    int32_t group = (int32_t)arguments->at[0], id = (int32_t)arguments->at[1];
    struct signal_info info;
    if (signal_info_from_user(&info, arguments->at[3])) {
        return -EFAULT;
    }
    if (group <= 0 || id <= 0) {
        return -EINVAL;
    }
    info.signal = (int32_t)arguments->at[2];
    if (is_forged(&info, id)) {
        return -EPERM;
    }
    return send_thread(group, id, (uint32_t)arguments->at[2], &info);
}
