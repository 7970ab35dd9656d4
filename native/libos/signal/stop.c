/* Stopped processes: SIGSTOP, SIGTSTP and their kin, SIGCONT. */
#include "signal/stop.h"

#include "signal/action.h"
#include "signal/pending.h"

#define STOPS (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
enum { CLD_STOPPED = 5, CLD_CONTINUED = 6 };

static bool attract(struct task *task, void *context)
{
    (void)context;
    task_attract(task);
    return true;
}

static void tell_parent(struct process *process, int32_t code, int signal)
{
    lists_lock();
    struct process *parent = process->parent;
    process->change = code == CLD_STOPPED ? CHANGE_STOPPED : CHANGE_CONTINUED;
    process->uid = credentials()->user.real;
    struct signal_info info = {
        .signal = SIGCHLD,
        .code = code,
        .first = (uint32_t)process->id | (uint64_t)process->uid << 32,
        .second = (uint64_t)signal,
    };
    bool is_told = parent && !(parent->actions->at[SIGCHLD].flags & SA_NOCLDSTOP);
    lists_unlock();
    if (is_told) {
        signal_send_process(parent, &info);
    }
    if (parent) {
        wake_all(&parent->children);
    }
}

void process_stop(int signal)
{
    struct process *process = current_process();
    int32_t runs = 0;
    if (__atomic_compare_exchange_n(&process->stop_signal, &runs, signal, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        process_each_task(process, attract, NULL);
        tell_parent(process, CLD_STOPPED, signal);
    }
}

void process_continue(struct process *process)
{
    if (__atomic_exchange_n(&process->stop_signal, 0, __ATOMIC_SEQ_CST)) {
        process_each_task(process, attract, NULL);
        tell_parent(process, CLD_CONTINUED, SIGCONT);
    }
}

void signal_cancel_opposite(struct process *process, int signal)
{
    if (signal == SIGCONT) {
        signal_discard(process, STOPS);
    } else if (signal_stops_process(signal)) {
        signal_discard(process, SIGNAL_BIT(SIGCONT));
    }
}

bool wait_while_stopped(void)
{
    const struct process *process = current_process();
    bool waits = false;
    while (__atomic_load_n(&process->stop_signal, __ATOMIC_SEQ_CST) && !task_must_end()) {
        waits = true;
        task_sleep_deaf();
    }
    return waits;
}
