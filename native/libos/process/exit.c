/* The end of threads and of the process. */
#include "process/task.h"

struct process_upcalls process_upcalls;

static uint32_t exiting;
static int leader_status;

_Noreturn void process_exit(int status, int signal)
{
    if (__atomic_exchange_n(&exiting, 1, __ATOMIC_SEQ_CST)) {
        for (;;) {
            host_yield();
        }
    }
    semaphores_process_ends(current_process());
    release_all_robust_lists();
    memory_write_back();
    process_upcalls.leave_files(current_process());
    if (process_upcalls.report) {
        process_upcalls.report();
    }
    host_exit((uint32_t)status & 0xFF, (uint32_t)signal);
}

_Noreturn void task_exit(int status)
{
    struct task *task = current_task();
    release_robust_list(task);
    futex_owner_ends(task->id);
    if (task->clear_child_tid) {
        uint32_t zero = 0;
        if (!copy_to_user(task->clear_child_tid, &zero, sizeof zero)) {
            futex_wake(task->clear_child_tid, 1, UINT32_MAX);
        }
    }
    if (task->id == PROCESS_ID) {
        leader_status = status;
    }
    if (task_remove_living(task)) {
        process_exit(leader_status, 0); /* as the kernel: the group leader's, whoever ends last */
    }
    current_thread()->task = NULL;
    sleeper_end(&task->sleeper);
    process_upcalls.thread_ends(task);
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
