/* Signals over the life of a process: its making, execve, the end, and what its parent is told. */
#include "signal/action.h"
#include "signal/pending.h"

/* Actions are recycled, never given back: a late look at those of a process that has ended is harmless. */
static struct spinlock lock;
static struct signal_actions *free_ones;

/* With one count; their content is old. */
static struct signal_actions *take(void)
{
    spin_lock(&lock);
    struct signal_actions *actions = free_ones;
    if (actions) {
        free_ones = actions->next;
    }
    spin_unlock(&lock);
    actions = actions ? actions : allocate(sizeof *actions);
    if (actions) {
        actions->references = 1;
    }
    return actions;
}

static void put(struct signal_actions *actions)
{
    if (actions == &first_actions || __atomic_sub_fetch(&actions->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    spin_lock(&lock);
    actions->next = free_ones;
    free_ones = actions;
    spin_unlock(&lock);
}

/* What execve() leaves of handlers, and CLONE_CLEAR_SIGHAND: only what is ignored stays so. */
static void forget_handlers(struct signal_actions *actions)
{
    for (size_t signal = 1; signal < ARRAY_LENGTH(actions->at); signal++) {
        user_address handler = actions->at[signal].handler;
        actions->at[signal] = (struct signal_action){.handler = handler == SIG_IGN ? SIG_IGN : SIG_DFL};
    }
}

static struct signal_actions *copy(struct signal_actions *from)
{
    struct signal_actions *to = take();
    if (to) {
        spin_lock(&from->lock);
        memcpy(to->at, from->at, sizeof to->at);
        spin_unlock(&from->lock);
    }
    return to;
}

static int64_t inherit(struct process *child, bool shares, bool clears)
{
    struct signal_actions *from = current_process()->actions;
    if (shares) {
        __atomic_fetch_add(&from->references, 1, __ATOMIC_RELAXED);
    }
    struct signal_actions *actions = shares ? from : copy(from);
    if (!actions) {
        return -ENOMEM;
    }
    if (clears) {
        forget_handlers(actions);
    }
    child->actions = actions;
    return 0;
}

static int64_t begin(struct process *process)
{
    process->actions = take();
    if (!process->actions) {
        return -ENOMEM;
    }
    memset(process->actions->at, 0, sizeof process->actions->at);
    return 0;
}

static int64_t execute(void)
{
    struct process *process = current_process();
    struct signal_actions *shared = process->actions, *own = copy(shared);
    if (!own) {
        return -ENOMEM;
    }
    forget_handlers(own);
    __atomic_store_n(&process->actions, own, __ATOMIC_SEQ_CST);
    put(shared);
    return 0;
}

static void leave(struct process *process)
{
    signal_process_ends(process);
    struct signal_actions *own = process->actions;
    if (own) {
        __atomic_store_n(&process->actions, &first_actions, __ATOMIC_SEQ_CST);
        put(own);
    }
}

static void tell_parent(struct process *parent, const struct signal_info *info)
{
    signal_send_process(parent, info);
}

static bool ignores_children(const struct process *parent)
{
    const struct signal_action *action = &parent->actions->at[SIGCHLD];
    return action->handler == SIG_IGN || (action->flags & SA_NOCLDWAIT);
}

static void parent_died(struct task *task)
{
    signal_send(task, &(struct signal_info){.signal = task->parent_death_signal, .code = SI_USER});
}

void process_signals_start(void)
{
    first_process.actions = &first_actions;
    process_upcalls.inherit_signals = inherit;
    process_upcalls.new_signals = begin;
    process_upcalls.take_command_signals = signal_take_for_commands;
    process_upcalls.execute_signals = execute;
    process_upcalls.leave_signals = leave;
    process_upcalls.tell_parent = tell_parent;
    process_upcalls.tell_group = signal_tell_group;
    process_upcalls.ignores_children = ignores_children;
    process_upcalls.parent_died = parent_died;
}
