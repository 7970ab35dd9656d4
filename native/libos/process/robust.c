/* Robust futexes: locks that a thread holds when it ends (Documentation/locking/robust-futexes.rst). */
#include "process/task.h"

#define ROBUST_LIST_LIMIT 2048 /* as the kernel's: the list may be a ring */
#define FUTEX_TID_MASK 0x3FFFFFFFU
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_WAITERS 0x80000000U

/* struct robust_list_head */
struct robust_list {
    user_address next;
    int64_t offset;
    user_address pending;
};
#define PRIORITY_INHERITANCE 1ULL /* bit 0 of a link: the lock is one */

/* Marks one lock of a dead thread and wakes who waits for it; handle_futex_death() of Linux. False: the list is broken. */
static bool release_lock(int32_t id, user_address link, int64_t offset, bool is_pending)
{
    user_address word = (link & ~PRIORITY_INHERITANCE) + (uint64_t)offset;
    bool inherits = link & PRIORITY_INHERITANCE;
    uint32_t value;
    if (word % sizeof value || copy_from_user(&value, word, sizeof value)) {
        return false;
    }
    for (;;) {
        uint32_t owner = value & FUTEX_TID_MASK;
        if (is_pending && !inherits && !owner) {
            futex_wake(word, 1, UINT32_MAX); /* it died between its unlock, or its wake, and the list */
            return true;
        }
        if (owner != (uint32_t)id) {
            return true;
        }
        int error = user_compare_exchange(word, &value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
        if (error != -EAGAIN) {
            if (!error && !inherits && (value & FUTEX_WAITERS)) {
                futex_wake(word, 1, UINT32_MAX);
            }
            return !error;
        }
    }
}

static void release_list(int32_t id, user_address head)
{
    struct robust_list list;
    if (!head || copy_from_user(&list, head, sizeof list)) {
        return;
    }
    user_address pending = list.pending & ~PRIORITY_INHERITANCE, link = list.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (link & ~PRIORITY_INHERITANCE) != head; i++) {
        user_address next, at = link & ~PRIORITY_INHERITANCE;
        bool has_next = !copy_from_user(&next, at, sizeof next); /* before another thread takes the lock away */
        if (at != pending && !release_lock(id, link, list.offset, false)) {
            return;
        }
        if (!has_next) {
            break;
        }
        link = next;
    }
    if (pending) {
        release_lock(id, list.pending, list.offset, true);
    }
}

void release_robust_list(const struct task *task)
{
    release_list(task->id, task->robust_list);
}

struct holder {
    int32_t id;
    user_address head;
};
struct holders {
    struct holder *list;
    size_t room, count;
};

static bool note_holder(struct task *task, void *context)
{
    struct holders *holders = context;
    if (task->process != current_process()) {
        return true;
    }
    if (holders->count < holders->room) {
        holders->list[holders->count] = (struct holder){task->id, task->robust_list};
    }
    holders->count++;
    return true;
}

void release_all_robust_lists(void)
{
    size_t room = task_count();
    struct holders holders = {.list = room ? allocate(room * sizeof(struct holder)) : NULL, .room = room};
    if (!holders.list) {
        return;
    }
    process_each_task(current_process(), note_holder, &holders);
    for (size_t at = 0; at < holders.count && at < room; at++) {
        release_list(holders.list[at].id, holders.list[at].head);
    }
    release(holders.list, room * sizeof(struct holder));
}

int64_t sys_set_robust_list(const struct arguments *arguments)
{
    if (arguments->at[1] != sizeof(struct robust_list)) {
        return -EINVAL;
    }
    current_task()->robust_list = arguments->at[0];
    return 0;
}

/* Who asks for that of another process must be allowed to look at it: ptrace_may_access() of Linux. 0, -ESRCH, -EPERM. */
static int64_t may_ask(int32_t id)
{
    struct subject subject;
    struct subject_facts facts;
    int64_t error = subject_of_thread(NULL, id, &subject);
    error = error ? error : subject_look(&subject, &facts);
    return error ? error : subject_may_be_inspected(&facts, INSPECTS_BY_CALL);
}

int64_t sys_get_robust_list(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    int64_t error = id ? may_ask(id) : 0;
    const struct task *task = id ? task_of_id(id) : current_task();
    if (error || !task) {
        return error ? error : -ESRCH;
    }
    uint64_t size = sizeof(struct robust_list);
    user_address head = task->robust_list;
    return copy_to_user(arguments->at[2], &size, sizeof size) ? -EFAULT
                                                               : copy_to_user(arguments->at[1], &head, sizeof head);
}
