/* Delivery on the way back to the application: handlers, default actions, interrupted calls that start again. */
#include "signal/exceptions.h"
#include "signal/frame.h"
#include "signal/pending.h"
#include "signal/stop.h"

static void restart_call(struct task *task, struct context *context)
{
    context->rax = task->interrupted_call - 1;
    context->rip -= 2; /* the `syscall` instruction itself, patched site or not */
}

/* A signal's frame cannot be written: SIGSEGV in its place, where that can be handled (force_sigsegv() of Linux). */
static void force_fault(struct task *task, int signal)
{
    user_address handler = signal_handler(SIGSEGV);
    if (signal == SIGSEGV || handler <= SIG_IGN || (task->blocked & SIGNAL_BIT(SIGSEGV))) {
        log_line(LOG_ERROR, "signal %d: its handler's stack cannot be written", signal);
        process_exit(0, SIGSEGV);
    }
    signal_mark(task, &(struct signal_info){.signal = SIGSEGV, .code = SI_KERNEL});
}

static void run_handler(struct task *task, struct context *context, const struct signal_action *action,
                        const struct signal_info *info)
{
    if (task->interrupted_call) {
        bool has_flag = action->flags & SA_RESTART;
        if (task->call_restarts == RESTARTS_ALWAYS || (has_flag && task->call_restarts == RESTARTS_WITH_FLAG)) {
            restart_call(task, context);
        }
        task->interrupted_call = 0;
    }
    uint64_t old_mask = task->mask_is_saved ? task->saved_mask : task->blocked;
    task->mask_is_saved = false;
    if (signal_frame_push(task, context, action, info, old_mask)) {
        force_fault(task, info->signal);
        return;
    }
    signal_set_mask(task, task->blocked | action->mask | (action->flags & SA_NODEFER ? 0 : SIGNAL_BIT(info->signal)));
}

static bool may_be_stopped(const struct process *process, int signal)
{
    return process != &first_process && (signal == SIGSTOP || !group_is_orphaned(process->group));
}

static void act_by_default(const struct signal_info *info)
{
    if (signal_is_shielded_from(current_process(), info)) {
        return; /* it waited while it was blocked, or handled */
    }
    if (signal_stops_process(info->signal)) {
        if (may_be_stopped(current_process(), info->signal)) {
            process_stop(info->signal);
        }
    } else if (signal_ends_process(info->signal)) {
        process_exit(0, info->signal);
    }
}

void signal_deliver(struct context *context)
{
    struct task *task = current_task();
    struct signal_info info;
    do {
        if (task_must_end()) {
            task_exit(0);
        }
        while (signal_take(task, ~task->blocked, &info)) {
            struct signal_action action = signal_take_action(info.signal);
            if (action.handler > SIG_IGN) {
                run_handler(task, context, &action, &info);
            } else if (action.handler == SIG_DFL) {
                act_by_default(&info);
            }
        }
    } while (wait_while_stopped() || task_must_end());
    if (task->interrupted_call) {
        restart_call(task, context); /* no handler ran: the program must not see the interruption */
        task->interrupted_call = 0;
    }
    if (task->mask_is_saved) {
        signal_set_mask(task, task->saved_mask);
        task->mask_is_saved = false;
    }
}

void signal_force(struct context *context, const struct signal_info *info)
{
    struct task *task = current_task();
    uint64_t bit = SIGNAL_BIT(info->signal);
    user_address handler = signal_handler(info->signal);
    if ((task->blocked & bit) || handler <= SIG_IGN) {
        log_line(LOG_DEBUG, "signal %d at 0x%lx, address 0x%lx", info->signal, context->rip, info->first);
        process_exit(0, info->signal);
    }
    task->interrupted_call = 0;
    signal_mark(task, info);
    signal_deliver(context);
}

static void attend(struct context *context, uint64_t host_signals)
{
    step_end(context);
    signal_take_from_host(host_signals);
    signal_deliver(context);
}

int signal_set_temporary_mask(user_address mask, uint64_t size)
{
    if (!mask) {
        return 0;
    }
    uint64_t value;
    if (size != sizeof value) {
        return -EINVAL;
    }
    if (copy_from_user(&value, mask, sizeof value)) {
        return -EFAULT;
    }
    struct task *task = current_task();
    task->saved_mask = task->blocked;
    task->mask_is_saved = true;
    signal_set_mask(task, value);
    return 0;
}

int signal_find_mask(struct mask_place *found, user_address place)
{
    *found = (struct mask_place){0};
    return place ? copy_from_user(found, place, sizeof *found) : 0;
}

void signal_start(void)
{
    process_signals_start();
    wait_upcalls.signal_is_pending = signal_is_pending;
    boundary_upcalls.attention = attend;
    process_upcalls.thread_ends = signal_thread_ends;
    cpu_upcalls.exception = exception_serve;
}
