/* The lists of tasks: living, dead, and those that wait for a host thread. */
#include "process/table.h"

static struct spinlock list_lock;
static struct task *living;
static struct task *dead;
/* waiting for a host thread; those made by clone() are living already (clone(2): the thread exists when it returns) */
static struct task *starting_first, *starting_last;
static size_t living_count;

void lists_lock(void)
{
    spin_lock(&list_lock);
}

void lists_unlock(void)
{
    spin_unlock(&list_lock);
}

int32_t task_id(const struct task *task)
{
    return task->id;
}

static struct task *take_dead(void)
{
    spin_lock(&list_lock);
    struct task *task = dead;
    if (task) {
        dead = task->next;
    }
    spin_unlock(&list_lock);
    return task;
}

struct task *task_make(void)
{
    struct task *task = take_dead();
    if (task) {
        memset(task, 0, sizeof *task);
    } else if (!(task = allocate(sizeof *task))) {
        return NULL;
    }
    task->serial = process_new_serial();
    task->space = current_task() ? current_space() : &first_space;
    task->process = current_task() ? current_process() : &first_process;
    return task;
}

void task_bury(struct task *task)
{
    spin_lock(&list_lock);
    task->next = dead;
    dead = task;
    spin_unlock(&list_lock);
}

/* Under list_lock. */
static void link_living(struct task *task)
{
    task->alive = true;
    task->next = living;
    living = task;
    living_count++;
    task->process->task_count++;
}

/* Under list_lock. */
static void unlink_living(struct task *task)
{
    struct task **link = &living;
    while (*link != task) {
        link = &(*link)->next;
    }
    *link = task->next;
    task->alive = false;
    living_count--;
    task->process->task_count--;
}

void task_each_listed(bool (*each)(struct task *task, void *context), void *context)
{
    for (struct task *task = living; task && each(task, context); task = task->next) {
    }
}

void task_each(bool (*each)(struct task *task, void *context), void *context)
{
    spin_lock(&list_lock);
    task_each_listed(each, context);
    spin_unlock(&list_lock);
}

void process_each_task(const struct process *process, bool (*each)(struct task *task, void *context), void *context)
{
    spin_lock(&list_lock);
    bool go_on = true;
    for (struct task *task = living; task && go_on; task = task->next) {
        go_on = task->process != process || each(task, context);
    }
    spin_unlock(&list_lock);
}

size_t task_count(void)
{
    return __atomic_load_n(&living_count, __ATOMIC_RELAXED);
}

bool task_is_listed(int32_t id)
{
    const struct task *task = living;
    while (task && task->id != id) {
        task = task->next;
    }
    return task != NULL;
}

struct id_query {
    int32_t id;
    struct task *found;
};

static bool compare_id(struct task *task, void *context)
{
    struct id_query *query = context;
    query->found = task->id == query->id ? task : NULL;
    return !query->found;
}

struct task *task_of_id(int32_t id)
{
    struct id_query query = {.id = id};
    task_each(compare_id, &query);
    return query.found;
}

struct id_list {
    int32_t *ids;
    size_t capacity;
    size_t count;
};

static bool note_id(struct task *task, void *context)
{
    struct id_list *list = context;
    if (list->count < list->capacity) {
        list->ids[list->count] = task->id;
    }
    list->count++;
    return true;
}

size_t task_ids(const struct process *process, int32_t *ids, size_t count)
{
    struct id_list list = {.ids = ids, .capacity = count};
    process_each_task(process, note_id, &list);
    return list.count;
}

void task_add_living(struct task *task)
{
    spin_lock(&list_lock);
    link_living(task);
    spin_unlock(&list_lock);
}

bool task_remove_living(struct task *task)
{
    spin_lock(&list_lock);
    unlink_living(task);
    bool is_last = task->process->task_count == 0;
    struct task *survivor = task->process->survivor;
    spin_unlock(&list_lock);
    if (survivor) {
        task_wake(survivor);
    }
    return is_last;
}

void task_attract(struct task *task)
{
    struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    if (!thread) {
        return; /* it looks when it begins (thread.c) */
    }
    __atomic_store_n(&thread->attention, 1, __ATOMIC_SEQ_CST);
    if (task != current_task()) {
        task_wake(task);
        host_interrupt(thread->host_index);
    }
}

static bool attract_here(struct task *task, void *context)
{
    const struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    if (task->space == context && thread && !__atomic_load_n(&thread->away, __ATOMIC_SEQ_CST)) {
        task_attract(task);
    }
    return true;
}

/* space_upcalls.return_address */
static user_address return_address(void)
{
    return current_task()->context->rip;
}

/* space_upcalls.attract */
static void attract_all(const struct space *space)
{
    task_each(attract_here, (void *)space);
}

void tasks_start(void)
{
    space_upcalls.attract = attract_all;
    space_upcalls.return_address = return_address;
}

void task_append_starting(struct task *task)
{
    memory_is_not_alone();
    spin_lock(&list_lock);
    *(starting_last ? &starting_last->next_starting : &starting_first) = task;
    starting_last = task;
    if (!task->service) {
        link_living(task);
    }
    spin_unlock(&list_lock);
}

struct task *task_take_starting(void)
{
    spin_lock(&list_lock);
    struct task *task = starting_first;
    if (task) {
        starting_first = task->next_starting;
        starting_last = starting_first ? starting_last : NULL;
        task->next_starting = NULL;
    }
    spin_unlock(&list_lock);
    return task;
}

bool task_withdraw_starting(struct task *task)
{
    spin_lock(&list_lock);
    struct task *previous = NULL, *at = starting_first;
    while (at && at != task) {
        previous = at;
        at = at->next_starting;
    }
    if (at) {
        *(previous ? &previous->next_starting : &starting_first) = at->next_starting;
        starting_last = starting_last == at ? previous : starting_last;
        at->next_starting = NULL;
        if (!at->service) {
            unlink_living(at);
        }
    }
    spin_unlock(&list_lock);
    return at != NULL;
}
