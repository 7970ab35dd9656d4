/*
 * Who has a signal waiting. A signal is marked pending before the target is woken, so a target that is about to sleep
 * sees it.
 */
#include "signal/pending.h"

#include "signal/action.h"

static struct spinlock lock; /* information */
static struct signal_info process_information[SIGNAL_COUNT + 1];
static uint64_t process_pending; /* atomic */

void signal_allow_host(uint64_t mask)
{
    boundary_allow_signals(mask & ~SYNCHRONOUS);
}

uint64_t signals_pending(const struct task *task)
{
    return __atomic_load_n(&task->pending, __ATOMIC_SEQ_CST) | __atomic_load_n(&process_pending, __ATOMIC_SEQ_CST);
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

static void mark(uint64_t *pending, struct signal_info *information, const struct signal_info *info)
{
    spin_lock(&lock);
    if (!(*pending & SIGNAL_BIT(info->signal))) {
        information[info->signal] = *info;
        __atomic_or_fetch(pending, SIGNAL_BIT(info->signal), __ATOMIC_SEQ_CST);
    }
    spin_unlock(&lock);
}

void signal_mark(struct task *task, const struct signal_info *info)
{
    mark(&task->pending, task->information, info);
}

void signal_forget(int signal)
{
    __atomic_and_fetch(&current_task()->pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&process_pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
}

void signal_send(struct task *task, const struct signal_info *info)
{
    if (signal_is_ignored(info->signal) && !(task->blocked & SIGNAL_BIT(info->signal))) {
        return;
    }
    mark(&task->pending, task->information, info);
    attract(task);
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

void signal_send_process(const struct signal_info *info)
{
    struct choice choice = {.bit = SIGNAL_BIT(info->signal)};
    if (current_task()->blocked & choice.bit) {
        task_each(choose, &choice);
    } else {
        choice.task = current_task();
    }
    if (signal_is_ignored(info->signal) && choice.task) {
        return;
    }
    mark(&process_pending, process_information, info);
    if (choice.task) {
        attract(choice.task);
    }
}

static bool offer(struct task *task, void *context)
{
    (void)context;
    bool takes = (__atomic_load_n(&process_pending, __ATOMIC_SEQ_CST) & ~task->blocked) != 0;
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
    if (__atomic_load_n(&process_pending, __ATOMIC_SEQ_CST)) {
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

static bool take(uint64_t *pending, struct signal_info *information, uint64_t wanted,
                 struct signal_info *info)
{
    spin_lock(&lock);
    uint64_t ready = *pending & wanted;
    uint64_t first = ready & SYNCHRONOUS ? ready & SYNCHRONOUS : ready;
    if (ready) {
        int signal = __builtin_ctzll(first) + 1;
        *info = information[signal];
        __atomic_and_fetch(pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
    }
    spin_unlock(&lock);
    return ready != 0;
}

bool signal_take(struct task *task, uint64_t wanted, struct signal_info *info)
{
    return take(&task->pending, task->information, wanted, info) ||
           take(&process_pending, process_information, wanted, info);
}
