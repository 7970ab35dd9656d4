/* Threads of the application: one task for each, one TCS under each. */
#include "process/table.h"

void task_run_as(struct task *task)
{
    struct thread *thread = current_thread();
    thread->task = task;
    thread->away = !task->starts_in_turn;
    sleeper_begin(&task->sleeper, thread);
    if (!task->service) {
        thread->attention = 1; /* signals may have been sent before there was a thread to tell */
    }
}

static void set_fs_base(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base));
}

void thread_reset(void)
{
    set_fs_base(0);
    vector_clear();
}

static uint64_t fs_base(void)
{
    uint64_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

/* What the thread that made it has left for it to do in its own memory. */
static void take_over(struct task *task)
{
    if (task->start_vectors) {
        vector_restore(task->start_vectors);
        pages_release(task->start_vectors, 1);
        task->start_vectors = NULL;
    }
    if (task->set_child_id) {
        copy_to_user(task->set_child_id, &task->id, sizeof task->id); /* as in Linux, nobody is told that it failed */
    }
    if (task->id == task->process->id && limit_of(RLIMIT_CPU).soft != UNLIMITED) {
        (void)process_upcalls.cpu_limit_changed(task->process); /* its parent has the same limit, so somebody watches already */
    }
}

static _Noreturn void start_thread(void)
{
    struct task *task = task_take_starting();
    if (!task) {
        host_thread_exit(); /* the host sent a thread that nobody asked for */
    }
    if (task->service) {
        task_run_as(task);
        task->service();
        host_thread_exit();
    }
    task_run_as(task);
    set_fs_base(task->start_fs_base);
    take_over(task);
    struct context context = task->start_context;
    context_resume(&context);
}

void task_start_first(void)
{
    struct task *task = task_make();
    if (!task) {
        fatal("no memory for the first thread");
    }
    task->id = PROCESS_ID;
    task->credentials = *credentials();
    task_add_living(task);
    tasks_start();
    task_run_as(task);
    set_fs_base(0);
    boundary_upcalls.thread_start = start_thread;
}

static uint32_t service_count; /* atomic: each has a TCS, too */

struct task *task_start_service(void (*service)(void))
{
    struct task *task = task_make();
    if (!task) {
        return NULL;
    }
    task->service = service;
    task->process = &first_process;
    task->space = &libos_space;
    task->blocked = UINT64_MAX;
    task_append_starting(task);
    if (host_thread_create() && task_withdraw_starting(task)) {
        task_bury(task);
        return NULL;
    }
    __atomic_add_fetch(&service_count, 1, __ATOMIC_RELAXED);
    return task;
}

/* Said once: programs try again. The host's answer is the same whether it has no TCS or no thread to give. */
static void report_no_thread(void)
{
    static uint32_t reported;
    if (__atomic_exchange_n(&reported, 1, __ATOMIC_RELAXED)) {
        return;
    }
    size_t running = task_count() + __atomic_load_n(&service_count, __ATOMIC_RELAXED);
    if (running < configuration.threads) {
        log_line(LOG_ERROR, "the host gives no more threads: %zu of the %u that the image is built for run", running,
                 configuration.threads);
    } else {
        log_line(LOG_ERROR, "no thread is free: the image is built for fewer (see --set threads)");
    }
}

static bool is_within_limit(void)
{
    uint64_t limit = resource_limit(RLIMIT_NPROC);
    return credentials()->user.real == 0 || task_count() < limit || limit >= configuration.threads;
}

/* Where the id is wanted before the thread runs: what set it and what it is set to. False: EFAULT. */
static bool tell_id(const struct thread_wish *wish, int32_t id)
{
    return (!wish->parent_id || !copy_to_user(wish->parent_id, &id, sizeof id)) &&
           (!wish->child_id || wish->space || !copy_to_user(wish->child_id, &id, sizeof id));
}

static void inherit(struct task *task, const struct task *parent, const struct thread_wish *wish)
{
    task->blocked = parent->blocked;
    memcpy(task->name, parent->name, sizeof task->name);
    task->credentials = parent->credentials;
    task->scheduling = parent->scheduling;
    task->personality = parent->personality;
    task->scheduling.timer_slack = 0; /* what it was is the default from now on: PR_SET_TIMERSLACK */
    task->scheduling.default_timer_slack = timer_slack(parent);
    if (wish->keeps_signal_stack) {
        task->signal_stack = parent->signal_stack;
    }
    task->start_context = *parent->context;
    task->start_context.rax = 0;
    if (wish->stack_pointer) {
        task->start_context.rsp = wish->stack_pointer;
    }
    task->start_fs_base = wish->sets_fs_base ? wish->fs_base : fs_base();
    task->clear_child_tid = wish->clear_id;
    task->set_child_id = wish->space ? wish->child_id : 0;
}

/* The registers that are live while the LibOS runs. */
static bool inherit_vectors(struct task *task)
{
    task->start_vectors = pages_allocate(1);
    if (task->start_vectors) {
        vector_save(task->start_vectors);
    }
    return task->start_vectors;
}

static void forget(struct task *task)
{
    process_upcalls.leave_thread_files(task);
    pages_release(task->start_vectors, 1);
    task_bury(task);
}

/* The thread is the first one of a process: of its own memory, or of the caller's. */
static void place(struct task *task, const struct thread_wish *wish)
{
    task->process = wish->process;
    process_upcalls.take_files(task);
    if (wish->space) {
        task->space = wish->space;
        task->starts_in_turn = space_hand_over(wish->space);
    } else {
        space_get(task->space);
    }
    process_list(wish->process, wish->is_sister ? current_process() : NULL);
}

static void take_back(struct task *task, const struct thread_wish *wish)
{
    if (task->starts_in_turn) {
        space_take_back(task->space);
    }
    if (!wish->space) {
        space_put(task->space);
    }
}

int64_t thread_make(const struct thread_wish *wish)
{
    if (!is_within_limit()) {
        return -EAGAIN;
    }
    struct task *task = task_make();
    int32_t id = !task ? 0 : wish->process ? wish->process->id : task_new_id();
    if (!id) {
        if (task) {
            task_bury(task);
        }
        return -EAGAIN;
    }
    task->id = id;
    inherit(task, current_task(), wish);
    bool is_ready = wish->process ? inherit_vectors(task)
                                  : !process_upcalls.inherit_thread_files(task, !wish->has_own_descriptors, !wish->has_own_whereabouts);
    if (!is_ready || !tell_id(wish, id)) {
        forget(task);
        return is_ready ? -EFAULT : -ENOMEM;
    }
    if (wish->process) {
        place(task, wish);
    }
    task_append_starting(task);
    if (host_thread_create() && task_withdraw_starting(task)) {
        report_no_thread();
        if (wish->process) {
            take_back(task, wish);
        }
        forget(task);
        return -EAGAIN;
    }
    return id;
}

int64_t sys_gettid(const struct arguments *arguments)
{
    (void)arguments;
    return current_task()->id;
}

int64_t sys_set_tid_address(const struct arguments *arguments)
{
    current_task()->clear_child_tid = arguments->at[0];
    return current_task()->id;
}

enum {
    ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004,
    ARCH_GET_CPUID = 0x1011, ARCH_SET_CPUID = 0x1012,
};

int64_t sys_arch_prctl(const struct arguments *arguments)
{
    switch (arguments->at[0]) {
    case ARCH_SET_FS:
        if (arguments->at[1] >= APPLICATION_END) {
            return -EPERM;
        }
        set_fs_base(arguments->at[1]);
        return 0;
    case ARCH_GET_FS: {
        uint64_t base = fs_base();
        return copy_to_user(arguments->at[1], &base, sizeof base);
    }
    case ARCH_GET_CPUID: /* the instruction works: the LibOS answers it */
        return 1;
    case ARCH_SET_CPUID:
        return -ENODEV;
    default: /* GS is the enclave's own */
        return -EINVAL;
    }
}
