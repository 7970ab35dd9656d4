/*
 * Who has a signal waiting. A signal is marked pending before the target is woken, so a target that is about to sleep
 * sees it.
 */
#include "signal/pending.h"

#include "signal/action.h"

static struct spinlock lock; /* signal sets */
static struct signal_set process_signals;

#define FIRST_REAL_TIME 32

struct queued_signal {
    struct queued_signal *next;
    struct signal_info info;
};
static uint64_t queued_count; /* RLIMIT_SIGPENDING */

void signal_allow_host(uint64_t mask)
{
    boundary_allow_signals(mask & ~SYNCHRONOUS);
}

uint64_t signals_pending(const struct task *task)
{
    return __atomic_load_n(&task->signals.pending, __ATOMIC_SEQ_CST) | __atomic_load_n(&process_signals.pending, __ATOMIC_SEQ_CST);
}

static void attract(struct task *task)
{
    struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    if (!thread) {
        return;
    }
    __atomic_store_n(&thread->attention, 1, __ATOMIC_SEQ_CST);
    if (task != current_task()) {
        task_wake(task);
        host_interrupt(thread->host_index);
    }
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

/* `task`: whose the set is, NULL: the process's. -EAGAIN: a real-time signal that was to be queued has no place. */
static int64_t mark(struct task *task, const struct signal_info *info)
{
    struct signal_set *set = task ? &task->signals : &process_signals;
    struct queued_signal *node = info->signal >= FIRST_REAL_TIME ? allocate(sizeof *node) : NULL;
    int64_t result = 0;
    spin_lock(&lock);
    if (task && !task->alive) {
        result = 0; /* too late: it takes nothing any more */
    } else if (!(set->pending & SIGNAL_BIT(info->signal))) {
        set->information[info->signal] = *info;
        __atomic_or_fetch(&set->pending, SIGNAL_BIT(info->signal), __ATOMIC_SEQ_CST);
    } else if (info->signal >= FIRST_REAL_TIME) {
        bool is_queued = queue(set, node, info);
        node = is_queued ? NULL : node;
        result = is_queued || info->code == SI_USER ? 0 : -EAGAIN; /* kill() never fails for that: signal(7) */
    }
    spin_unlock(&lock);
    release(node, sizeof *node);
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

/* The signals do not wait any more. */
static void forget(struct signal_set *set, uint64_t bits)
{
    struct queued_signal *node;
    do {
        spin_lock(&lock);
        __atomic_and_fetch(&set->pending, ~bits, __ATOMIC_SEQ_CST);
        node = unqueue(set, bits);
        spin_unlock(&lock);
        release(node, sizeof *node);
    } while (node);
}

void signal_mark(struct task *task, const struct signal_info *info)
{
    mark(task, info);
}

void signal_forget(int signal)
{
    forget(&current_task()->signals, SIGNAL_BIT(signal));
    forget(&process_signals, SIGNAL_BIT(signal));
}

void signal_thread_ends(struct task *task)
{
    forget(&task->signals, UINT64_MAX);
    signal_pass_on();
}

int64_t signal_send(struct task *task, const struct signal_info *info)
{
    if (signal_is_ignored(info->signal) && !(task->blocked & SIGNAL_BIT(info->signal))) {
        return 0;
    }
    int64_t result = mark(task, info);
    attract(task);
    return result;
}

struct choice {
    uint64_t bit;
    struct task *task;
};

static bool choose(struct task *task, void *context)
{
    struct choice *choice = context;
    if (!(task->blocked & choice->bit)) {
        choice->task = task;
    }
    return !choice->task;
}

int64_t signal_send_process(const struct signal_info *info)
{
    struct choice choice = {.bit = SIGNAL_BIT(info->signal)};
    if (current_task()->blocked & choice.bit) {
        task_each(choose, &choice);
    } else {
        choice.task = current_task();
    }
    if (signal_is_ignored(info->signal) && choice.task) {
        return 0;
    }
    int64_t result = mark(NULL, info);
    if (choice.task) {
        attract(choice.task);
    }
    return result;
}

static bool offer(struct task *task, void *context)
{
    (void)context;
    bool takes = (__atomic_load_n(&process_signals.pending, __ATOMIC_SEQ_CST) & ~task->blocked) != 0;
    struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    if (takes && thread) {
        __atomic_store_n(&thread->attention, 1, __ATOMIC_SEQ_CST);
        task_wake(task);
        host_interrupt(thread->host_index);
    }
    return !takes;
}

void signal_pass_on(void)
{
    if (__atomic_load_n(&process_signals.pending, __ATOMIC_SEQ_CST)) {
        task_each(offer, NULL);
    }
}

void signal_send_current(int signal)
{
    signal_send(current_task(),
                &(struct signal_info){.signal = signal, .code = SI_USER, .first = PROCESS_ID});
}

void signal_take_from_host(uint64_t mask)
{
    for (; mask; mask &= mask - 1) {
        signal_send_process(&(struct signal_info){.signal = __builtin_ctzll(mask) + 1, .code = SI_USER});
    }
}

bool signal_is_pending(void)
{
    if (attention_is_pending()) {
        bool asked;
        signal_take_from_host(attention_take(&asked));
    }
    const struct task *task = current_task();
    return (signals_pending(task) & ~task->blocked) != 0;
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
    return take(&task->signals, wanted, info) || take(&process_signals, wanted, info);
}
