/* Calls of a thread about its own signals: mask, stack, waiting. */
#include "signal/frame.h"
#include "signal/pending.h"

enum { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 };

int64_t sys_rt_sigprocmask(const struct arguments *arguments)
{
    struct task *task = current_task();
    uint64_t old = task->blocked, set;
    if (arguments->at[3] != sizeof set) {
        return -EINVAL;
    }
    if (arguments->at[1]) {
        if (copy_from_user(&set, arguments->at[1], sizeof set)) {
            return -EFAULT;
        }
        switch (arguments->at[0]) {
        case SIG_BLOCK:
            signal_set_mask(task, old | set);
            break;
        case SIG_UNBLOCK:
            signal_set_mask(task, old & ~set);
            break;
        case SIG_SETMASK:
            signal_set_mask(task, set);
            break;
        default:
            return -EINVAL;
        }
    }
    return arguments->at[2] ? copy_to_user(arguments->at[2], &old, sizeof old) : 0;
}

int64_t sys_rt_sigreturn(const struct arguments *arguments)
{
    (void)arguments;
    struct task *task = current_task();
    if (signal_frame_pop(task, task->context)) {
        log_line(LOG_ERROR, "rt_sigreturn: no good signal frame");
        process_exit(0, SIGSEGV);
    }
    task->context_replaced = true;
    return 0;
}

int64_t sys_sigaltstack(const struct arguments *arguments)
{
    struct task *task = current_task();
    bool used = signal_stack_is_used(task, task->context->rsp);
    struct signal_stack old = task->signal_stack, new;
    old.flags = signal_stack_flags(task, task->context->rsp);
    if (arguments->at[0]) {
        if (copy_from_user(&new, arguments->at[0], sizeof new)) {
            return -EFAULT;
        }
        if (used) {
            return -EPERM;
        }
        uint32_t mode = (uint32_t)new.flags & ~SS_AUTODISARM;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) {
            return -EINVAL;
        }
        bool is_same = new.start == task->signal_stack.start && new.size == task->signal_stack.size &&
                       new.flags == task->signal_stack.flags;
        if (mode == SS_DISABLE) {
            new = (struct signal_stack){.flags = new.flags};
        } else if (is_same) {
            return arguments->at[1] ? copy_to_user(arguments->at[1], &old, sizeof old) : 0; /* whatever its size */
        } else if (new.size < SIGNAL_STACK_MINIMUM) {
            return -ENOMEM;
        } else if (!user_range_is_valid(new.start, new.size)) {
            return -EFAULT;
        }
        new.flags &= (int32_t)SS_AUTODISARM;
        task->signal_stack = new;
    }
    return arguments->at[1] ? copy_to_user(arguments->at[1], &old, sizeof old) : 0;
}

int64_t sys_rt_sigpending(const struct arguments *arguments)
{
    struct task *task = current_task();
    uint64_t set = signals_pending(task) & task->blocked;
    uint64_t size = arguments->at[1]; /* a part of the set may be asked for */
    return size <= sizeof set ? copy_to_user(arguments->at[0], &set, size) : -EINVAL;
}

static int64_t sleep_until_signal(void)
{
    while (task_sleep(NO_TIMEOUT) != -EINTR) {
    }
    return -EINTR;
}

int64_t sys_rt_sigsuspend(const struct arguments *arguments)
{
    int error = signal_set_temporary_mask(arguments->at[0], arguments->at[1]);
    return error ? error : sleep_until_signal();
}

int64_t sys_pause(const struct arguments *arguments)
{
    (void)arguments;
    return sleep_until_signal();
}

int64_t sys_rt_sigtimedwait(const struct arguments *arguments)
{
    struct task *task = current_task();
    uint64_t wanted, timeout = NO_TIMEOUT;
    if (arguments->at[3] != sizeof wanted) {
        return -EINVAL;
    }
    if (copy_from_user(&wanted, arguments->at[0], sizeof wanted)) {
        return -EFAULT;
    }
    if (arguments->at[2]) {
        int error = timeout_from_user(&timeout, arguments->at[2]);
        if (error) {
            return error;
        }
    }
    wanted &= ~UNBLOCKABLE;
    uint64_t start = clock_now_ns(CLOCK_MONOTONIC), passed = 0;
    uint64_t blocked = task->blocked;
    struct signal_info info;
    int64_t result;
    for (;;) {
        if (signal_take(task, wanted, &info)) {
            result = info.signal;
            break;
        }
        if (timeout != NO_TIMEOUT && passed >= timeout) {
            result = -EAGAIN;
            break;
        }
        task->awaited = blocked & wanted;
        __atomic_store_n(&task->blocked, blocked & ~wanted, __ATOMIC_SEQ_CST); /* so that a wanted signal ends the sleep */
        int slept = task_sleep(timeout == NO_TIMEOUT ? NO_TIMEOUT : timeout - passed);
        __atomic_store_n(&task->blocked, blocked, __ATOMIC_SEQ_CST);
        task->awaited = 0;
        bool is_ready = (signals_pending(task) & wanted) != 0; /* before any handler of it runs */
        if (slept == -EINTR && !is_ready && signal_is_pending()) { /* or the process stops or ends */
            result = -EINTR;
            break;
        }
        passed = clock_now_ns(CLOCK_MONOTONIC) - start;
    }
    signal_pass_on(blocked & wanted); /* it may have been told of more than the one that it takes */
    if (result > 0 && arguments->at[1]) {
        uint8_t image[128] = {0};
        memcpy(image, &info, sizeof info);
        if (copy_to_user(arguments->at[1], image, sizeof image)) {
            return -EFAULT;
        }
    }
    return result;
}
