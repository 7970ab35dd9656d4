/*
 * membarrier(2): every other thread is made to come to the LibOS, or is there. On the way back to the application each takes its
 * attention by a locked instruction, which is the barrier; one that sleeps has passed one, and will pass another. One that asks for
 * barriers itself begins and ends that with one: two that asked at once would wait for each other for ever.
 */
#include "process/task.h"

enum membarrier_command {
    MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16,
};
#define COMMANDS (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)

struct others {
    struct task **list;
    size_t room, count;
};

static bool note(struct task *task, void *context)
{
    struct others *others = context;
    if (task != current_task() && others->count < others->room) {
        others->list[others->count++] = task;
    }
    return true;
}

/* It runs, and has not come yet. */
static bool is_awaited(const struct task *task)
{
    const struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    return thread && !sleeper_is_asleep(&task->sleeper) && !__atomic_load_n(&task->asks_for_barriers, __ATOMIC_SEQ_CST) &&
           __atomic_load_n(&thread->attention, __ATOMIC_SEQ_CST);
}

/* A barrier of its own, too. */
static void set_asking(bool asks)
{
    (void)__atomic_exchange_n(&current_task()->asks_for_barriers, asks, __ATOMIC_SEQ_CST);
}

/* Of one process, or of all (NULL). 0 or -ENOMEM. */
static int64_t pass_barriers(const struct process *process)
{
    size_t room = task_count();
    struct others others = {.list = allocate(room * sizeof(struct task *)), .room = room};
    if (!others.list) {
        return -ENOMEM;
    }
    set_asking(true);
    if (process) {
        process_each_task(process, note, &others);
    } else {
        task_each(note, &others);
    }
    for (size_t at = 0; at < others.count; at++) {
        if (!sleeper_is_asleep(&others.list[at]->sleeper)) {
            task_attract(others.list[at]);
        }
    }
    for (size_t at = 0; at < others.count; at++) {
        while (is_awaited(others.list[at])) {
            host_yield();
        }
    }
    set_asking(false);
    release(others.list, room * sizeof(struct task *));
    return 0;
}

int64_t sys_membarrier(const struct arguments *arguments)
{
    struct process *process = current_process();
    if ((uint32_t)arguments->at[1]) {
        return -EINVAL;
    }
    switch ((uint32_t)arguments->at[0]) {
    case MEMBARRIER_CMD_QUERY:
        return COMMANDS;
    case MEMBARRIER_CMD_GLOBAL:
        return pass_barriers(NULL);
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
        process->attributes.uses_barriers = true;
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        return process->attributes.uses_barriers ? pass_barriers(process) : -EPERM;
    default:
        return -EINVAL;
    }
}
