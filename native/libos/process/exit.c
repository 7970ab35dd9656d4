/* The end of threads and of processes. */
#include "process/child.h"

struct process_upcalls process_upcalls;

static uint32_t exiting;

/* The first process ends, and with it everything. */
static _Noreturn void end_all(int status, int signal)
{
    if (__atomic_exchange_n(&exiting, 1, __ATOMIC_SEQ_CST)) {
        for (;;) {
            host_yield();
        }
    }
    semaphores_process_ends(current_process());
    release_all_robust_lists();
    memory_write_back();
    process_upcalls.flush_files();
    if (process_upcalls.report) {
        process_upcalls.report();
    }
    host_exit((uint32_t)status & 0xFF, (uint32_t)signal);
}

static bool attract(struct task *task, void *context)
{
    (void)context;
    task_attract(task);
    return true;
}

/* Its threads end on their way back to the application. What came first counts. */
static void doom(struct process *process, uint32_t wait_status)
{
    lists_lock();
    bool is_first = !process->ends;
    if (is_first) {
        process->wait_status = wait_status;
        __atomic_store_n(&process->ends, 1, __ATOMIC_SEQ_CST);
    }
    lists_unlock();
    if (is_first) {
        process_each_task(process, attract, NULL);
    }
}

_Noreturn void process_exit(int status, int signal)
{
    struct process *process = current_process();
    if (process == &first_process) {
        end_all(status, signal);
    }
    doom(process, wait_status_of(status, signal));
    task_exit(status);
}

void process_kill(struct process *process)
{
    if (process == &first_process) {
        end_all(0, SIGKILL);
    }
    doom(process, wait_status_of(0, SIGKILL));
}

bool task_must_end(void)
{
    const struct task *task = current_task();
    const struct process *process = task->process;
    const struct task *survivor = __atomic_load_n(&process->survivor, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&process->ends, __ATOMIC_SEQ_CST) || (survivor && survivor != task);
}

void end_other_threads(void)
{
    struct task *task = current_task();
    struct process *process = task->process;
    struct task *none = NULL;
    if (!__atomic_compare_exchange_n(&process->survivor, &none, task, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        task_exit(0); /* another thread was faster */
    }
    process_each_task(process, attract, NULL);
    while (__atomic_load_n(&process->task_count, __ATOMIC_SEQ_CST) > 1) {
        task_sleep_deaf();
    }
    __atomic_store_n(&process->survivor, NULL, __ATOMIC_SEQ_CST);
}

void leave_memory(struct task *task)
{
    release_robust_list(task);
    futex_owner_ends(task->id);
    task->robust_list = 0;
    uint32_t zero = 0;
    bool has_others = task->process->task_count > 1 || space_is_shared(task->space); /* as mm_release() of Linux asks */
    if (has_others && task->clear_child_tid && !copy_to_user(task->clear_child_tid, &zero, sizeof zero)) {
        futex_wake(task->clear_child_tid, 1, UINT32_MAX);
    }
    task->clear_child_tid = 0;
}

/* The last thread of a process that is not the first: nothing is left of it but what its parent waits for. */
static void end_process(struct task *task)
{
    struct process *process = task->process;
    semaphores_process_ends(process);
    process_upcalls.end_timers(process, false);
    process_upcalls.leave_files(process);
    struct space *space = task->space;
    space_enter(&libos_space);
    space_put(space);
    release_vfork(process);
    process_upcalls.leave_signals(process);
}

_Noreturn void task_exit(int status)
{
    struct task *task = current_task();
    struct process *process = task->process;
    __atomic_store_n(&task->gives_locks_back, true, __ATOMIC_SEQ_CST);
    leave_memory(task);
    space_go_away();
    if (task->id == process->id && !process->ends) {
        process->wait_status = wait_status_of(status, 0); /* as the kernel: the first thread's, whoever ends last */
    }
    process_upcalls.leave_thread_files(task);
    usage_thread_ends(task);
    bool is_last = task_remove_living(task);
    process_upcalls.thread_ends(task);
    if (is_last && process == &first_process) {
        process_exit((int)(process->wait_status >> 8), 0);
    }
    if (is_last) {
        end_process(task);
        become_zombie(process);
    }
    current_thread()->task = NULL;
    sleeper_end(&task->sleeper);
    task_bury(task);
    host_thread_exit();
}

int64_t sys_exit(const struct arguments *arguments)
{
    task_exit((int)arguments->at[0]);
}

int64_t sys_exit_group(const struct arguments *arguments)
{
    process_exit((int)arguments->at[0], 0);
}
