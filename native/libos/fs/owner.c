#include "fs/owner.h"

#include "signal/signal.h"

enum owner_command {
    F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15, F_GETOWN_EX = 16,
};
enum owner_type { F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP };

struct owner { /* struct f_owner_ex */
    int32_t type, id;
};

static bool is_member(struct process *process, void *context)
{
    int32_t *group = context;
    *group = process->group == *group ? 0 : *group;
    return *group != 0;
}

static bool is_there(const struct owner *owner)
{
    int32_t group = owner->id;
    switch (owner->type) {
    case F_OWNER_TID:
        return task_of_id(owner->id) != NULL;
    case F_OWNER_PID:
        return process_of_id(owner->id) != NULL;
    default:
        process_each(is_member, &group);
        return group == 0;
    }
}

/* With who it was that said so: sigio_perm() of Linux asks for it. */
static int64_t set_owner(struct file *file, struct owner owner)
{
    if (owner.type < F_OWNER_TID || owner.type > F_OWNER_PGRP) {
        return -EINVAL;
    }
    if (owner.id != 0 && !is_there(&owner)) {
        return -ESRCH;
    }
    file->owner.type = (uint32_t)owner.type;
    file->owner.user = credentials()->user.real;
    file->owner.effective_user = credentials()->user.effective;
    __atomic_store_n(&file->owner.id, owner.id, __ATOMIC_RELEASE);
    return 0;
}

void owner_default(struct file *file)
{
    if (file->owner.id == 0) {
        set_owner(file, (struct owner){F_OWNER_PID, current_process()->id});
    }
}

int64_t file_set_owner(struct file *file, int32_t who)
{
    return who == INT32_MIN ? -EINVAL
                            : set_owner(file, who < 0 ? (struct owner){F_OWNER_PGRP, -who} : (struct owner){F_OWNER_PID, who});
}

/* Who has ended is nobody. */
static struct owner owner_of(const struct file *file)
{
    struct owner owner = {.type = (int32_t)file->owner.type, .id = file->owner.id};
    owner.id = owner.id != 0 && is_there(&owner) ? owner.id : 0;
    return owner;
}

int32_t file_owner(const struct file *file)
{
    struct owner owner = owner_of(file);
    return owner.type == F_OWNER_PGRP ? -owner.id : owner.id;
}

int64_t owner_call(struct file *file, uint32_t command, uint64_t argument)
{
    int32_t value = (int32_t)argument;
    struct owner owner = owner_of(file);
    switch (command) {
    case F_SETOWN:
        return file_set_owner(file, value);
    case F_GETOWN:
        return file_owner(file);
    case F_SETOWN_EX:
        return copy_from_user(&owner, argument, sizeof(owner)) < 0 ? -EFAULT : set_owner(file, owner);
    case F_GETOWN_EX:
        return copy_to_user(argument, &owner, sizeof(owner));
    case F_SETSIG:
        if (argument > SIGNAL_COUNT) {
            return -EINVAL;
        }
        file->owner.signal = value;
        return 0;
    case F_GETSIG:
        return file->owner.signal;
    default:
        return -EINVAL;
    }
}

struct message {
    const struct file *file;
    struct signal_info info;
    bool is_plain; /* SIGIO, which says nothing */
};

struct permission {
    const struct file *file;
    bool is_given;
};

static bool look_at_target(struct task *task, void *context)
{
    struct permission *permission = context;
    uint32_t user = permission->file->owner.user, effective = permission->file->owner.effective_user;
    const struct ids *target = &task->credentials.user;
    permission->is_given = effective == 0 || effective == target->saved || effective == target->real || user == target->saved ||
                           user == target->real;
    return false;
}

#define SIGIO_PLAIN ((struct signal_info){.signal = SIGIO, .code = SI_KERNEL})

/* send_sigio_to_task() of Linux: where the signal that was chosen finds no place in the queue, SIGIO comes for it. */
static void tell(struct process *process, struct task *task, const struct message *message)
{
    struct permission permission = {.file = message->file};
    process_each_task(process, look_at_target, &permission);
    if (permission.is_given && (message->is_plain || signal_tell(process, task, &message->info) == -EAGAIN)) {
        signal_tell(process, task, &SIGIO_PLAIN);
    }
}

static void tell_member(struct process *process, void *context)
{
    tell(process, NULL, context);
}

#define SI_SIGIO (-5)

/* These have codes of their own, which must not be mistaken for ours. */
static bool has_own_codes(int32_t signal)
{
    return signal == SIGILL || signal == SIGFPE || signal == SIGSEGV || signal == SIGBUS || signal == SIGTRAP || signal == SIGCHLD ||
           signal == SIGSYS;
}

void owner_tell(const struct file *file, int32_t descriptor, enum owner_reason reason)
{
    static const uint32_t bands[] = { /* band_table of Linux; 0x200 is POLLWRBAND, 0x400 POLLMSG */
        [POLL_IN] = POLLIN | POLLRDNORM, [POLL_OUT] = POLLOUT | POLLWRNORM | 0x200U, [POLL_MSG] = POLLIN | POLLRDNORM | 0x400U};
    int32_t id = __atomic_load_n(&file->owner.id, __ATOMIC_ACQUIRE), signal = file->owner.signal;
    struct message message = {
        .file = file,
        .info = {.signal = signal, .code = has_own_codes(signal) ? SI_SIGIO : (int32_t)reason, .first = bands[reason],
            .second = (uint32_t)descriptor},
        .is_plain = signal == 0,
    };
    struct task *task = id != 0 && file->owner.type == F_OWNER_TID ? task_of_id(id) : NULL;
    struct process *process = id != 0 && file->owner.type == F_OWNER_PID ? process_of_id(id) : NULL;
    if (id != 0 && file->owner.type == F_OWNER_PGRP) {
        signal_each_of_group(id, tell_member, &message);
    } else if (task) {
        tell(task->process, task, &message);
    } else if (process) {
        tell(process, NULL, &message);
    }
}

/* That the owner of a file hears of a source. A list: few files are so. */
struct notice {
    struct notice *next;
    struct file *file;           /* not counted: it takes its notices along */
    struct event_source *source; /* counted */
    int32_t descriptor;
    enum owner_reason reason;
};
static struct mutex lock; /* taken while files' own locks are held, and never the other way round */
static struct notice *notices;

void owner_source_changed(struct event_source *source, enum owner_reason reason)
{
    mutex_lock(&lock);
    for (const struct notice *notice = notices; notice; notice = notice->next) {
        if (notice->source == source && notice->reason == reason) {
            owner_tell(notice->file, notice->descriptor, reason);
        }
    }
    mutex_unlock(&lock);
}

#define SOURCES_MAX 4U

static int64_t watch(struct file *file, int32_t descriptor)
{
    struct watched_source sources[SOURCES_MAX];
    int64_t count = poller_sources(file, sources, SOURCES_MAX);
    for (int64_t at = 0; at < count; at++) {
        struct event_source *source = sources[at].source;
        bool is_told = !sources[at].of_room || file->operations->tells_owner == OWNER_HEARS_ALL;
        struct notice *notice = is_told ? allocate(sizeof(struct notice)) : NULL;
        if (!notice) {
            event_source_put(source);
            continue;
        }
        *notice = (struct notice){
            .file = file, .source = source, .descriptor = descriptor, .reason = sources[at].of_room ? POLL_OUT : POLL_IN};
        mutex_lock(&lock);
        notice->next = notices;
        notices = notice;
        __atomic_store_n(&source->is_told, true, __ATOMIC_SEQ_CST);
        mutex_unlock(&lock);
    }
    return count < 0 ? count : 0;
}

void owner_forget(struct file *file)
{
    mutex_lock(&lock);
    for (struct notice **link = &notices; *link;) {
        struct notice *notice = *link;
        if (notice->file != file) {
            link = &notice->next;
            continue;
        }
        *link = notice->next;
        event_source_put(notice->source);
        release(notice, sizeof(struct notice));
    }
    mutex_unlock(&lock);
}

int64_t owner_set_async(struct file *file, int32_t descriptor, bool on)
{
    if (file->operations->tells_owner == OWNER_HEARS_NOTHING || on == ((file->flags & O_ASYNC) != 0)) {
        return 0;
    }
    if (!on) {
        owner_forget(file);
        file->flags &= ~O_ASYNC;
        return 0;
    }
    int64_t result = watch(file, descriptor);
    if (result == 0) {
        file->flags |= O_ASYNC;
    }
    return result;
}
