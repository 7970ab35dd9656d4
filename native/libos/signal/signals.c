/*
 * Signals: who has one waiting, what it does, and delivery on the way back to the application. A signal is
 * marked pending before the target is woken, so a target that is about to sleep sees it.
 */
#include "signal/exceptions.h"
#include "signal/signal_frame.h"

#define SIG_DFL 0U
#define SIG_IGN 1U
#define SI_USER 0
#define SI_TKILL (-6)
#define SI_KERNEL 0x80
#define UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
#define SYNCHRONOUS                                                                                          \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |                   \
     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))
/* Default actions other than the end of the process (signal(7)). There is nobody to stop a process for:
 * stopping is left out. */
#define IGNORED_BY_DEFAULT                                                                                   \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT) |                 \
     SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

static struct spinlock signal_lock; /* actions and information */
static struct signal_action actions[SIGNAL_COUNT + 1];
static struct signal_info process_information[SIGNAL_COUNT + 1];
static uint64_t process_pending; /* atomic */

void signal_allow_host(uint64_t mask)
{
    boundary_allow_signals(mask & ~SYNCHRONOUS);
}

static bool signal_is_valid(uint64_t signal)
{
    return signal >= 1 && signal <= SIGNAL_COUNT;
}

static bool is_ignored(int signal)
{
    user_address handler = __atomic_load_n(&actions[signal].handler, __ATOMIC_RELAXED);
    return handler == SIG_IGN || (handler == SIG_DFL && (IGNORED_BY_DEFAULT & SIGNAL_BIT(signal)));
}

static uint64_t waiting(const struct task *task)
{
    uint64_t all = __atomic_load_n(&task->pending, __ATOMIC_SEQ_CST) |
                   __atomic_load_n(&process_pending, __ATOMIC_SEQ_CST);
    return all & ~task->blocked;
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
    spin_lock(&signal_lock);
    if (!(*pending & SIGNAL_BIT(info->signal))) {
        information[info->signal] = *info;
        __atomic_or_fetch(pending, SIGNAL_BIT(info->signal), __ATOMIC_SEQ_CST);
    }
    spin_unlock(&signal_lock);
}

void signal_send(struct task *task, const struct signal_info *info)
{
    if (is_ignored(info->signal) && !(task->blocked & SIGNAL_BIT(info->signal))) {
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
    if (is_ignored(info->signal) && choice.task) {
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

/* A thread that was told of a signal to the process ends or blocks it: tell another. */
static void pass_on(void)
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

static void take_host_signals(uint64_t mask)
{
    for (; mask; mask &= mask - 1) {
        signal_send_process(&(struct signal_info){.signal = __builtin_ctzll(mask) + 1, .code = SI_USER});
    }
}

bool signal_is_pending(void)
{
    if (attention_is_pending()) {
        bool asked;
        take_host_signals(attention_take(&asked));
    }
    return waiting(current_task()) != 0;
}

static bool take(uint64_t *pending, struct signal_info *information, uint64_t wanted,
                 struct signal_info *info)
{
    spin_lock(&signal_lock);
    uint64_t ready = *pending & wanted;
    uint64_t first = ready & SYNCHRONOUS ? ready & SYNCHRONOUS : ready;
    if (ready) {
        int signal = __builtin_ctzll(first) + 1;
        *info = information[signal];
        __atomic_and_fetch(pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
    }
    spin_unlock(&signal_lock);
    return ready != 0;
}

static bool take_next(struct task *task, uint64_t wanted, struct signal_info *info)
{
    return take(&task->pending, task->information, wanted, info) ||
           take(&process_pending, process_information, wanted, info);
}

static void restart_call(struct task *task, struct context *context)
{
    context->rax = task->interrupted_call - 1;
    context->rip -= 2; /* the `syscall` instruction itself, patched site or not */
}

static void run_handler(struct task *task, struct context *context, const struct signal_action *action,
                        const struct signal_info *info)
{
    if (task->interrupted_call) {
        if ((action->flags & SA_RESTART) && task->call_restarts) {
            restart_call(task, context);
        }
        task->interrupted_call = 0;
    }
    uint64_t old_mask = task->mask_is_saved ? task->saved_mask : task->blocked;
    task->mask_is_saved = false;
    if (signal_frame_push(task, context, action, info, old_mask)) {
        log_line(LOG_ERROR, "signal %d: its handler's stack cannot be written", info->signal);
        process_exit(0, SIGSEGV);
    }
    task->blocked |= action->mask & ~UNBLOCKABLE;
    if (!(action->flags & SA_NODEFER)) {
        task->blocked |= SIGNAL_BIT(info->signal);
    }
}

static struct signal_action take_action(int signal)
{
    spin_lock(&signal_lock);
    struct signal_action action = actions[signal];
    if (action.handler > SIG_IGN && (action.flags & SA_RESETHAND)) {
        actions[signal].handler = SIG_DFL;
    }
    spin_unlock(&signal_lock);
    return action;
}

void signal_deliver(struct context *context)
{
    struct task *task = current_task();
    struct signal_info info;
    while (take_next(task, ~task->blocked, &info)) {
        struct signal_action action = take_action(info.signal);
        if (action.handler > SIG_IGN) {
            run_handler(task, context, &action, &info);
        } else if (action.handler == SIG_DFL && !(IGNORED_BY_DEFAULT & SIGNAL_BIT(info.signal))) {
            process_exit(0, info.signal);
        }
    }
    if (task->interrupted_call) {
        restart_call(task, context); /* no handler ran: the program must not see the interruption */
        task->interrupted_call = 0;
    }
    if (task->mask_is_saved) {
        task->blocked = task->saved_mask;
        task->mask_is_saved = false;
    }
}

void signal_force(struct context *context, const struct signal_info *info)
{
    struct task *task = current_task();
    uint64_t bit = SIGNAL_BIT(info->signal);
    user_address handler = actions[info->signal].handler;
    if ((task->blocked & bit) || handler <= SIG_IGN) {
        log_line(LOG_DEBUG, "signal %d at 0x%lx, address 0x%lx", info->signal, context->rip, info->first);
        process_exit(0, info->signal);
    }
    task->interrupted_call = 0;
    mark(&task->pending, task->information, info);
    signal_deliver(context);
}

static void attend(struct context *context, uint64_t host_signals)
{
    take_host_signals(host_signals);
    signal_deliver(context);
}

void signal_start(void)
{
    wait_upcalls.signal_is_pending = signal_is_pending;
    boundary_upcalls.attention = attend;
    process_upcalls.thread_ends = pass_on;
    cpu_upcalls.exception = exception_serve;
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
    task->blocked = value & ~UNBLOCKABLE;
    return 0;
}

int64_t sys_rt_sigaction(const struct arguments *arguments)
{
    uint64_t signal = arguments->at[0];
    struct signal_action new, old;
    if (!signal_is_valid(signal) || arguments->at[3] != sizeof new.mask) {
        return -EINVAL;
    }
    bool changes = arguments->at[1] != 0;
    if (changes &&
        ((UNBLOCKABLE & SIGNAL_BIT(signal)) || copy_from_user(&new, arguments->at[1], sizeof new))) {
        return (UNBLOCKABLE & SIGNAL_BIT(signal)) ? -EINVAL : -EFAULT;
    }
    spin_lock(&signal_lock);
    old = actions[signal];
    if (changes) {
        actions[signal] = new;
        actions[signal].mask &= ~UNBLOCKABLE;
    }
    spin_unlock(&signal_lock);
    if (changes && is_ignored((int)signal)) {
        __atomic_and_fetch(&current_task()->pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
        __atomic_and_fetch(&process_pending, ~SIGNAL_BIT(signal), __ATOMIC_SEQ_CST);
    }
    return arguments->at[2] ? copy_to_user(arguments->at[2], &old, sizeof old) : 0;
}

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
            task->blocked = old | (set & ~UNBLOCKABLE);
            break;
        case SIG_UNBLOCK:
            task->blocked = old & ~set;
            break;
        case SIG_SETMASK:
            task->blocked = set & ~UNBLOCKABLE;
            break;
        default:
            return -EINVAL;
        }
        if (task->blocked & ~old) {
            pass_on();
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
    old.flags = old.size ? (old.flags & (int32_t)SS_AUTODISARM) | (used ? SS_ONSTACK : 0) : SS_DISABLE;
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
        if (mode == SS_DISABLE) {
            new = (struct signal_stack){0};
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

static struct signal_info info_of_sender(uint64_t signal, int32_t code)
{
    return (struct signal_info){
        .signal = (int32_t)signal, .code = code, .first = PROCESS_ID | (uint64_t)credentials()->user.real << 32};
}

int64_t sys_kill(const struct arguments *arguments)
{
    int32_t target = (int32_t)arguments->at[0];
    uint64_t signal = (uint32_t)arguments->at[1];
    if (signal && !signal_is_valid(signal)) {
        return -EINVAL;
    }
    if (target != PROCESS_ID && target != 0 && target != -1 && target != -PROCESS_ID) {
        return -ESRCH;
    }
    if (signal == SIGKILL) {
        process_exit(0, SIGKILL);
    }
    if (signal) {
        struct signal_info info = info_of_sender(signal, SI_USER);
        signal_send_process(&info);
    }
    return 0;
}

struct target {
    int32_t id;
    struct task *task;
};

static bool find_target(struct task *task, void *context)
{
    struct target *target = context;
    if (task->id == target->id) {
        target->task = task;
    }
    return !target->task;
}

static int64_t kill_thread(int32_t id, uint64_t signal)
{
    if (id <= 0 || (signal && !signal_is_valid(signal))) {
        return -EINVAL;
    }
    struct target target = {.id = id};
    task_each(find_target, &target);
    if (!target.task) {
        return -ESRCH;
    }
    if (signal == SIGKILL) {
        process_exit(0, SIGKILL);
    }
    if (signal) {
        struct signal_info info = info_of_sender(signal, SI_TKILL);
        /* tasks are recycled, so at worst a thread that is just ending gets it */
        signal_send(target.task, &info);
    }
    return 0;
}

int64_t sys_tkill(const struct arguments *arguments)
{
    return kill_thread((int32_t)arguments->at[0], (uint32_t)arguments->at[1]);
}

int64_t sys_tgkill(const struct arguments *arguments)
{
    int32_t group = (int32_t)arguments->at[0];
    return group == PROCESS_ID ? kill_thread((int32_t)arguments->at[1], (uint32_t)arguments->at[2])
           : group <= 0        ? -EINVAL
                               : -ESRCH;
}

int64_t sys_rt_sigpending(const struct arguments *arguments)
{
    struct task *task = current_task();
    uint64_t set = (task->pending | process_pending) & task->blocked;
    return arguments->at[1] == sizeof set ? copy_to_user(arguments->at[0], &set, sizeof set) : -EINVAL;
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
        if (take_next(task, wanted, &info)) {
            result = info.signal;
            break;
        }
        if (timeout != NO_TIMEOUT && passed >= timeout) {
            result = -EAGAIN;
            break;
        }
        task->blocked = blocked & ~wanted; /* so that a wanted signal ends the sleep */
        int slept = task_sleep(timeout == NO_TIMEOUT ? NO_TIMEOUT : timeout - passed);
        task->blocked = blocked;
        if (slept == -EINTR && waiting(task)) {
            result = -EINTR;
            break;
        }
        passed = clock_now_ns(CLOCK_MONOTONIC) - start;
    }
    if (result > 0 && arguments->at[1]) {
        uint8_t image[128] = {0};
        memcpy(image, &info, sizeof info);
        if (copy_to_user(arguments->at[1], image, sizeof image)) {
            return -EFAULT;
        }
    }
    return result;
}
