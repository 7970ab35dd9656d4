/*
 * Who has a signal waiting. A signal is marked pending before the target is woken, so a target that is about to sleep
 * sees it.
 */
#include "signal/pending.h"

#include "signal/action.h"

static struct spinlock lock; /* signal sets */

#define FIRST_REAL_TIME 32

struct queued_signal {
    struct queued_signal *next;
    struct signal_info info;
};
static uint64_t queued_count; /* RLIMIT_SIGPENDING */

uint64_t signals_queued(void)
{
    return __atomic_load_n(&queued_count, __ATOMIC_RELAXED);
}

struct signal_upcalls signal_upcalls;

uint64_t signals_of_host;

void signal_allow_host(uint64_t mask)
{
    signals_of_host = mask & ~SYNCHRONOUS & ~SIGNAL_BIT(COMMAND_DOORBELL);
    boundary_allow_signals(signals_of_host | SIGNAL_BIT(COMMAND_DOORBELL));
}

uint64_t signals_pending(const struct task *task)
{
    return __atomic_load_n(&task->signals.pending, __ATOMIC_SEQ_CST) |
           __atomic_load_n(&task->process->signals.pending, __ATOMIC_SEQ_CST);
}

/* Under lock. */
static bool queue(struct signal_set *set, struct queued_signal *node, const struct signal_info *info)
{
    if (!node || queued_count >= resource_limit(RLIMIT_SIGPENDING)) {
        return false;
    }
    struct queued_signal **link = &set->queued;
    while (*link) {
        link = &(*link)->next;
    }
    *node = (struct queued_signal){.info = *info};
    *link = node;
    queued_count++;
    return true;
}

/* Real-time signals queue, and those of timers, of which each sends no second one before its first has been taken. */
static bool queues(const struct signal_info *info)
{
    return info->signal >= FIRST_REAL_TIME || info->timer;
}

/* What sigqueue(3) and tgkill(2) send has a place or fails; kill(2) and timers never fail for that: signal(7). */
static bool wants_place(const struct signal_info *info)
{
    return info->signal >= FIRST_REAL_TIME && !info->timer && info->code != SI_USER;
}

/* `task`: whose the set is, NULL: the process's. -EAGAIN: a real-time signal that was to be queued has no place. */
static int64_t mark(struct process *process, struct task *task, const struct signal_info *info)
{
    struct signal_set *set = task ? &task->signals : &process->signals;
    struct queued_signal *node = queues(info) ? allocate(sizeof *node) : NULL;
    int64_t result = 0;
    spin_lock(&lock);
    if (task ? !task->alive : process->state != PROCESS_RUNNING) {
        result = 0; /* too late: it takes nothing any more */
    } else if (wants_place(info) && queued_count >= resource_limit(RLIMIT_SIGPENDING)) {
        result = -EAGAIN;
    } else if (!(set->pending & SIGNAL_BIT(info->signal))) {
        set->information[info->signal] = *info;
        __atomic_or_fetch(&set->pending, SIGNAL_BIT(info->signal), __ATOMIC_SEQ_CST);
    } else if (queues(info)) {
        bool is_queued = queue(set, node, info);
        node = is_queued ? NULL : node;
        result = is_queued || !wants_place(info) ? 0 : -EAGAIN;
    }
    spin_unlock(&lock);
    release(node, sizeof *node);
    if (signal_upcalls.arrived) {
        signal_upcalls.arrived();
    }
    return result;
}

/* Takes the first queued one of a signal out, or NULL. Under lock. */
static struct queued_signal *unqueue(struct signal_set *set, uint64_t bits)
{
    struct queued_signal **link = &set->queued;
    while (*link && !(SIGNAL_BIT((*link)->info.signal) & bits)) {
        link = &(*link)->next;
    }
    struct queued_signal *node = *link;
    if (node) {
        *link = node->next;
        queued_count--;
    }
    return node;
}

/* The signals do not wait any more; what was queued goes to *gone. */
static void forget(struct signal_set *set, uint64_t bits, struct queued_signal **gone)
{
    struct queued_signal *node;
    spin_lock(&lock);
    __atomic_and_fetch(&set->pending, ~bits, __ATOMIC_SEQ_CST);
    while ((node = unqueue(set, bits))) {
        node->next = *gone;
        *gone = node;
    }
    spin_unlock(&lock);
}

static void release_all(struct queued_signal *node)
{
    while (node) {
        struct queued_signal *next = node->next;
        release(node, sizeof *node);
        node = next;
    }
}

void signal_mark(struct task *task, const struct signal_info *info)
{
    mark(task->process, task, info);
}

struct oblivion {
    uint64_t bits;
    struct queued_signal *gone;
};

static bool forget_of(struct task *task, void *context)
{
    struct oblivion *oblivion = context;
    forget(&task->signals, oblivion->bits, &oblivion->gone);
    return true;
}

void signal_discard(struct process *process, uint64_t signals)
{
    struct oblivion oblivion = {.bits = signals};
    process_each_task(process, forget_of, &oblivion);
    forget(&process->signals, oblivion.bits, &oblivion.gone);
    release_all(oblivion.gone);
}

void signal_forget(int signal)
{
    signal_discard(current_process(), SIGNAL_BIT(signal));
    signal_upcalls.timers_forgotten(SIGNAL_BIT(signal));
}

void signal_process_ends(struct process *process)
{
    struct queued_signal *gone = NULL;
    forget(&process->signals, UINT64_MAX, &gone);
    release_all(gone);
}

static bool offer(struct task *task, void *context)
{
    uint64_t *left = context;
    if (*left & ~task->blocked) {
        task_attract(task);
    }
    *left &= task->blocked;
    return *left != 0;
}

void signal_pass_on(uint64_t signals)
{
    uint64_t left = __atomic_load_n(&current_process()->signals.pending, __ATOMIC_SEQ_CST) & signals;
    if (left) {
        process_each_task(current_process(), offer, &left);
    }
}

void signal_set_mask(struct task *task, uint64_t mask)
{
    uint64_t before = task->blocked;
    mask &= ~UNBLOCKABLE;
    __atomic_store_n(&task->blocked, mask, __ATOMIC_SEQ_CST); /* first: a signal is marked before it is looked who blocks it */
    signal_pass_on(mask & ~before);
}

void signal_thread_ends(struct task *task)
{
    struct queued_signal *gone = NULL;
    forget(&task->signals, UINT64_MAX, &gone);
    release_all(gone);
    signal_pass_on(~task->blocked);
}

static bool does_nothing(const struct process *process, const struct signal_info *info)
{
    return signal_is_ignored(process, info->signal) || signal_is_shielded_from(process, info);
}

int64_t signal_send(struct task *task, const struct signal_info *info)
{
    if (does_nothing(task->process, info) && !((task->blocked | task->awaited) & SIGNAL_BIT(info->signal))) {
        return SIGNAL_IGNORED;
    }
    int64_t result = mark(task->process, task, info);
    task_attract(task);
    return result;
}

struct choice {
    uint64_t bit;
    struct task *first, *caller, *running, *any; /* who does not block it */
    uint32_t running_count;
    bool is_awaited;
};

/* Not for secrets: whoever runs has the same chance. */
static uint32_t draw(uint32_t count)
{
    static uint32_t state;
    uint32_t next = __atomic_load_n(&state, __ATOMIC_RELAXED) * 1664525U + 1013904223U;
    __atomic_store_n(&state, next, __ATOMIC_RELAXED);
    return (next >> 16) % count;
}

static bool consider(struct task *task, void *context)
{
    struct choice *choice = context;
    if (task->blocked & choice->bit) {
        return true;
    }
    choice->is_awaited |= (task->awaited & choice->bit) != 0;
    choice->any = task;
    choice->first = task->id == task->process->id ? task : choice->first;
    choice->caller = task == current_task() ? task : choice->caller;
    if (!sleeper_is_asleep(&task->sleeper) && draw(++choice->running_count) == 0) {
        choice->running = task;
    }
    return true;
}

static int64_t send_process(struct process *process, const struct signal_info *info, bool to_running)
{
    struct choice choice = {.bit = SIGNAL_BIT(info->signal)};
    if (does_nothing(process, info)) {
        process_each_task(process, consider, &choice);
        if (choice.any && !choice.is_awaited) {
            return SIGNAL_IGNORED;
        }
        choice = (struct choice){.bit = choice.bit};
    }
    int64_t result = mark(process, NULL, info);
    process_each_task(process, consider, &choice); /* who blocks it, or ends, from now on passes it on */
    struct task *usual = choice.first ? choice.first : choice.caller ? choice.caller : choice.any;
    struct task *chosen = to_running && choice.running ? choice.running : usual;
    if (chosen) {
        task_attract(chosen);
    }
    return result;
}

int64_t signal_send_process(struct process *process, const struct signal_info *info)
{
    return send_process(process, info, false);
}

int64_t signal_send_running(struct process *process, const struct signal_info *info)
{
    return send_process(process, info, true);
}

void signal_send_current(int signal)
{
    signal_send(current_task(),
                &(struct signal_info){.signal = signal, .code = SI_USER, .first = (uint32_t)current_process()->id});
}

void signal_take_from_host(uint64_t mask)
{
    if (mask & SIGNAL_BIT(COMMAND_DOORBELL)) {
        mask &= ~SIGNAL_BIT(COMMAND_DOORBELL);
        signal_take_for_commands();
    }
    for (; mask; mask &= mask - 1) {
        signal_send_process(&first_process, &(struct signal_info){.signal = __builtin_ctzll(mask) + 1, .code = SI_USER});
    }
}

bool signal_is_pending(void)
{
    if (attention_is_pending()) {
        bool asked;
        signal_take_from_host(attention_take(&asked));
    }
    const struct task *task = current_task();
    return (signals_pending(task) & ~task->blocked) != 0 || task_must_end() ||
           __atomic_load_n(&task->process->stop_signal, __ATOMIC_SEQ_CST) != 0;
}

static bool take(struct signal_set *set, uint64_t wanted, struct signal_info *info)
{
    struct queued_signal *next = NULL;
    spin_lock(&lock);
    uint64_t ready = set->pending & wanted;
    uint64_t first = ready & SYNCHRONOUS ? ready & SYNCHRONOUS : ready;
    if (ready) {
        int signal = __builtin_ctzll(first) + 1;
        *info = set->information[signal];
        next = unqueue(set, SIGNAL_BIT(signal));
        if (next) {
            set->information[signal] = next->info;
        } else {
            __atomic_and_fetch(&set->pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
        }
    }
    spin_unlock(&lock);
    release(next, sizeof *next);
    return ready != 0;
}

bool signal_take(struct task *task, uint64_t wanted, struct signal_info *info)
{
    bool taken = take(&task->signals, wanted, info) || take(&task->process->signals, wanted, info);
    if (taken && info->timer) {
        signal_upcalls.timer_taken(info);
        info->timer = 0;
    }
    return taken;
}
