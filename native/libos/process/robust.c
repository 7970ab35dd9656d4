/* Robust futexes: locks that a thread holds when it ends (Documentation/locking/robust-futexes.rst). */
#include "process/task.h"

#define ROBUST_LIST_LIMIT 2048 /* as the kernel's: the list may be a ring */
#define ROBUST_LIST_HEAD_SIZE 24 /* struct robust_list_head */
#define FUTEX_TID_MASK 0x3FFFFFFFU
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_WAITERS 0x80000000U

/* Mark one lock of a dead thread and wake who waits for it. */
static void release_robust(const struct task *task, user_address word)
{
    uint32_t value;
    if (copy_from_user(&value, word, sizeof value) || (value & FUTEX_TID_MASK) != (uint32_t)task->id) {
        return;
    }
    value = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    if (!copy_to_user(word, &value, sizeof value) && (value & FUTEX_WAITERS)) {
        futex_wake(word, 1, UINT32_MAX);
    }
}

void release_robust_list(const struct task *task)
{
    struct {
        user_address next;
        int64_t offset;
        user_address pending;
    } head;
    if (!task->robust_list || copy_from_user(&head, task->robust_list, sizeof head)) {
        return;
    }
    user_address entry = head.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && entry != task->robust_list; i++) {
        user_address at = entry & ~1ULL; /* bit 0: priority inheritance */
        if (at != head.pending) {
            release_robust(task, at + (uint64_t)head.offset);
        }
        if (copy_from_user(&entry, at, sizeof entry)) {
            break;
        }
    }
    if (head.pending) {
        release_robust(task, (head.pending & ~1ULL) + (uint64_t)head.offset);
    }
}

int64_t sys_set_robust_list(const struct arguments *arguments)
{
    if (arguments->at[1] != ROBUST_LIST_HEAD_SIZE) {
        return -EINVAL;
    }
    current_task()->robust_list = arguments->at[0];
    return 0;
}

struct robust_query {
    int32_t id;
    user_address head;
    bool found;
};

static bool note_robust_list(struct task *task, void *context)
{
    struct robust_query *query = context;
    query->found = task->id == query->id;
    query->head = task->robust_list;
    return !query->found;
}

int64_t sys_get_robust_list(const struct arguments *arguments)
{
    struct robust_query query = {.id = (int32_t)arguments->at[0]};
    query.id = query.id ? query.id : current_task()->id;
    task_each(note_robust_list, &query);
    if (!query.found) {
        return -ESRCH;
    }
    uint64_t size = ROBUST_LIST_HEAD_SIZE;
    return copy_to_user(arguments->at[2], &size, sizeof size) ? -EFAULT
                                                               : copy_to_user(arguments->at[1], &query.head,
                                                                              sizeof query.head);
}
