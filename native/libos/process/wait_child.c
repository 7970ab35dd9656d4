/* Waiting for children: wait4(2), waitid(2). */
#include "process/child.h"

enum {
    WNOHANG = 1, WUNTRACED = 2, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x1000000, WNOTHREAD = 0x20000000,
    WALL = 0x40000000,
};
#define WCLONE 0x80000000U
#define WAIT_OPTIONS ((uint32_t)(WNOHANG | WCONTINUED | WNOTHREAD | WALL) | WCLONE)
enum { P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3 };

#define STOPPED 0x7FU
#define CONTINUED 0xFFFFU

struct wish {
    const struct process *parent;
    uint32_t type; /* P_ALL, P_PID, P_PGID */
    int32_t id;
    uint32_t options;
    bool is_nonblocking; /* by its pidfd: as WNOHANG, but nothing found is -EAGAIN */

    bool has_child; /* one that might do something yet */
    bool is_found;
    int32_t pid;
    uint32_t status; /* as wait4() tells it */
    struct signal_info info;
    struct cpu_use use;
};

static bool is_meant(const struct process *child, const struct wish *wish)
{
    bool is_named = wish->type == P_ALL || (wish->type == P_PID ? child->id == wish->id : child->group == wish->id);
    bool is_clone = child->exit_signal != SIGCHLD;
    bool is_kind = (wish->options & WALL) || is_clone == ((wish->options & WCLONE) != 0);
    return child->parent == wish->parent && is_named && is_kind;
}

static void take_change(struct process *child, struct wish *wish)
{
    bool stopped = child->change == CHANGE_STOPPED;
    int32_t signal = stopped ? child->stop_signal : SIGCONT;
    wish->status = stopped ? STOPPED | (uint32_t)signal << 8 : CONTINUED;
    wish->info = (struct signal_info){
        .signal = SIGCHLD,
        .code = stopped ? CLD_STOPPED : CLD_CONTINUED,
        .first = (uint32_t)child->id | (uint64_t)child->uid << 32,
        .second = (uint64_t)signal,
    };
    if (!(wish->options & WNOWAIT)) {
        child->change = CHANGE_NONE;
    }
}

static void take_zombie(struct process *child, struct wish *wish)
{
    wish->status = child->wait_status;
    wish->info = child_info(child);
    wish->info.signal = SIGCHLD;
    wish->use = cpu_use_sum(child->use, child->children_use);
    if (!(wish->options & WNOWAIT)) {
        current_process()->children_use = cpu_use_sum(current_process()->children_use, wish->use);
        process_unlist(child);
    }
}

static bool look(struct process *child, void *context)
{
    struct wish *wish = context;
    if (!is_meant(child, wish)) {
        return true;
    }
    if (child->state == PROCESS_ZOMBIE && (wish->options & WEXITED) == 0) {
        return true; /* it does nothing else any more: wait_task_zombie() of Linux */
    }
    wish->has_child = true;
    wish->pid = child->id;
    bool has_stopped = child->change == CHANGE_STOPPED && (wish->options & WSTOPPED);
    bool has_continued = child->change == CHANGE_CONTINUED && (wish->options & WCONTINUED);
    if (child->state == PROCESS_ZOMBIE) {
        wish->is_found = true;
        take_zombie(child, wish);
    } else if (has_stopped || has_continued) {
        wish->is_found = true;
        take_change(child, wish);
    }
    return !wish->is_found;
}

/* 0: found, or nothing yet and WNOHANG; -ECHILD, -EINTR. Whatever ends a sleep, a child is looked for before that is told (do_wait() of Linux): its own
 * SIGCHLD comes with it. */
static int64_t await(struct wish *wish)
{
    struct waiter waiter = {.task = current_task()};
    struct wait_queue *queue = &current_process()->children;
    wish->parent = current_process();
    for (int slept = 0;; slept = task_sleep(NO_TIMEOUT)) {
        wait_queue_add(queue, &waiter);
        wish->has_child = false;
        process_each(look, wish);
        bool is_over = wish->is_found || (wish->options & WNOHANG);
        int64_t result = !wish->has_child ? -ECHILD : is_over ? 0 : slept;
        if (result || is_over) {
            wait_queue_remove(&waiter);
            return result;
        }
    }
}

static int64_t put_usage(user_address to, const struct wish *wish)
{
    return to ? usage_to_user(to, &wish->use, 0) : 0;
}

int64_t sys_wait4(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    uint32_t options = (uint32_t)arguments->at[2];
    if (options & ~(WAIT_OPTIONS | WUNTRACED)) {
        return -EINVAL;
    }
    if (id == INT32_MIN) {
        return -ESRCH;
    }
    struct wish wish = {
        .type = id == -1 ? P_ALL : id > 0 ? P_PID : P_PGID,
        .id = id > 0 ? id : id == 0 ? current_process()->group : -id,
        .options = options | WEXITED,
    };
    int64_t result = await(&wish);
    if (result || !wish.is_found) {
        return result;
    }
    if (arguments->at[1] && copy_to_user(arguments->at[1], &wish.status, sizeof wish.status)) {
        return -EFAULT;
    }
    return put_usage(arguments->at[3], &wish) ? -EFAULT : wish.pid;
}

/* 0, -EINVAL, -EBADF. */
static int64_t import_target(uint32_t type, int32_t id, struct wish *wish)
{
    *wish = (struct wish){.type = type, .id = id};
    switch (type) {
    case P_ALL:
        return 0;
    case P_PID:
        return id <= 0 ? -EINVAL : 0;
    case P_PGID:
        wish->id = id ? id : current_process()->group;
        return id < 0 ? -EINVAL : 0;
    case P_PIDFD:
        wish->type = P_PID;
        wish->id = id < 0 ? -EINVAL : process_upcalls.process_of_descriptor(id, &wish->is_nonblocking);
        return wish->id < 0 ? wish->id : 0;
    default:
        return -EINVAL;
    }
}

int64_t sys_waitid(const struct arguments *arguments)
{
    const uint32_t states = WEXITED | WSTOPPED | WCONTINUED;
    uint32_t options = (uint32_t)arguments->at[3];
    struct wish wish;
    if ((options & ~(WAIT_OPTIONS | states | WNOWAIT)) || !(options & states)) {
        return -EINVAL;
    }
    int64_t result = import_target((uint32_t)arguments->at[0], (int32_t)arguments->at[1], &wish);
    if (result) {
        return result;
    }
    wish.options = options | (wish.is_nonblocking ? WNOHANG : 0);
    result = await(&wish);
    if (!result && !wish.is_found && wish.is_nonblocking && !(options & WNOHANG)) {
        return -EAGAIN;
    }
    if (result || (wish.is_found && put_usage(arguments->at[4], &wish))) {
        return result ? result : -EFAULT;
    }
    if (!arguments->at[2]) {
        return 0;
    }
    uint8_t image[32] = {0}; /* the rest of siginfo_t is not touched */
    memcpy(image, &wish.info, sizeof wish.info);
    return copy_to_user(arguments->at[2], image, sizeof image);
}
