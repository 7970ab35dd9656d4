/* Threads of the application: one task for each, one TCS under each. */
#include "process/task.h"

/* include/uapi/linux/sched.h */
enum clone_flag {
    CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x10000,
    CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000,
    CLONE_CHILD_SETTID = 0x1000000,
};
#define CLONE_OF_A_THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

#define ROBUST_LIST_LIMIT 2048 /* as the kernel's: the list may be a ring */
#define ROBUST_LIST_HEAD_SIZE 24 /* struct robust_list_head */
#define FUTEX_TID_MASK 0x3FFFFFFFU
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_WAITERS 0x80000000U

static struct spinlock list_lock;
static struct task *living;
static struct task *dead;
/* waiting for a host thread; those made by clone() are living already (clone(2): the thread exists when it returns) */
static struct task *starting_first, *starting_last;
static size_t living_count;
static int32_t last_id = PROCESS_ID - 1;
static uint32_t exiting;
static int leader_status;

struct process process;
struct process_upcalls process_upcalls;

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

static struct task *make_task(void)
{
    struct task *task = take_dead();
    if (!task) {
        return allocate(sizeof *task);
    }
    memset(task, 0, sizeof *task);
    return task;
}

static void bury(struct task *task)
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
}

void task_each(bool (*each)(struct task *task, void *context), void *context)
{
    spin_lock(&list_lock);
    for (struct task *task = living; task && each(task, context); task = task->next) {
    }
    spin_unlock(&list_lock);
}

size_t task_count(void)
{
    return __atomic_load_n(&living_count, __ATOMIC_RELAXED);
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

size_t task_ids(int32_t *ids, size_t count)
{
    struct id_list list = {.ids = ids, .capacity = count};
    task_each(note_id, &list);
    return list.count;
}

static void run_as(struct task *task)
{
    struct thread *thread = current_thread();
    thread->task = task;
    __atomic_store_n(&task->sleeper.thread, thread, __ATOMIC_SEQ_CST);
    if (!task->service) {
        thread->attention = 1; /* signals may have been sent before there was a thread to tell */
    }
}

static void set_fs_base(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base));
}

static uint64_t fs_base(void)
{
    uint64_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

static _Noreturn void start_thread(void);

void task_start_first(void)
{
    struct task *task = make_task();
    if (!task) {
        fatal("no memory for the first thread");
    }
    task->id = ++last_id;
    task->credentials = *credentials();
    spin_lock(&list_lock);
    link_living(task);
    spin_unlock(&list_lock);
    run_as(task);
    set_fs_base(0);
    boundary_upcalls.thread_start = start_thread;
}

static void append_starting(struct task *task)
{
    spin_lock(&list_lock);
    *(starting_last ? &starting_last->next_starting : &starting_first) = task;
    starting_last = task;
    if (!task->service) {
        link_living(task);
    }
    spin_unlock(&list_lock);
}

static struct task *take_starting(void)
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

static bool withdraw_starting(struct task *task)
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

static _Noreturn void start_thread(void)
{
    struct task *task = take_starting();
    if (!task) {
        host_thread_exit(); /* the host sent a thread that nobody asked for */
    }
    if (task->service) {
        run_as(task);
        task->service();
        host_thread_exit();
    }
    run_as(task);
    set_fs_base(task->start_fs_base);
    struct context context = task->start_context;
    context_resume(&context);
}

struct task *task_start_service(void (*service)(void))
{
    struct task *task = make_task();
    if (!task) {
        return NULL;
    }
    task->service = service;
    task->blocked = UINT64_MAX;
    append_starting(task);
    if (host_thread_create() && withdraw_starting(task)) {
        bury(task);
        return NULL;
    }
    return task;
}

static int64_t refuse_process(const char *call)
{
    log_line(LOG_INFO, "%s: new processes are not supported", call);
    return -ENOSYS;
}

/* Said once: programs try again. The host's answer is the same whether it has no TCS or no thread to give. */
static void report_no_thread(void)
{
    static uint32_t reported;
    if (__atomic_exchange_n(&reported, 1, __ATOMIC_RELAXED)) {
        return;
    }
    size_t running = task_count();
    if (running < configuration.threads) {
        log_line(LOG_ERROR, "the host gives no more threads: %zu of the %u that the image is built for run", running,
                 configuration.threads);
    } else {
        log_line(LOG_ERROR, "no thread is free: the image is built for fewer (see --set threads)");
    }
}

int64_t sys_clone(const struct arguments *arguments)
{
    uint64_t flags = arguments->at[0];
    if ((flags & CLONE_OF_A_THREAD) != CLONE_OF_A_THREAD) {
        return refuse_process("clone");
    }
    if ((flags & CLONE_SETTLS) && arguments->at[4] >= APPLICATION_END) {
        return -EPERM;
    }
    struct task *parent = current_task();
    struct task *task = make_task();
    if (!task) {
        return -EAGAIN;
    }
    task->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    task->blocked = parent->blocked;
    memcpy(task->name, parent->name, sizeof task->name);
    task->credentials = parent->credentials;
    task->start_context = *parent->context;
    task->start_context.rax = 0;
    if (arguments->at[1]) {
        task->start_context.rsp = arguments->at[1];
    }
    task->start_fs_base = flags & CLONE_SETTLS ? arguments->at[4] : fs_base();
    task->clear_child_tid = flags & CLONE_CHILD_CLEARTID ? arguments->at[3] : 0;
    int32_t id = task->id;
    bool told = (!(flags & CLONE_PARENT_SETTID) || !copy_to_user(arguments->at[2], &id, sizeof id)) &&
                (!(flags & CLONE_CHILD_SETTID) || !copy_to_user(arguments->at[3], &id, sizeof id));
    if (!told) {
        bury(task);
        return -EFAULT;
    }
    append_starting(task);
    int error = host_thread_create();
    if (error && withdraw_starting(task)) {
        report_no_thread();
        bury(task);
        return -EAGAIN;
    }
    return id;
}

int64_t sys_fork(const struct arguments *arguments)
{
    (void)arguments;
    return refuse_process("fork");
}

int64_t sys_vfork(const struct arguments *arguments)
{
    (void)arguments;
    return refuse_process("vfork");
}

int64_t sys_execve(const struct arguments *arguments)
{
    (void)arguments;
    return refuse_process("execve");
}

/* Mark one lock of a dead thread and wake who waits for it (Documentation/locking/robust-futexes.rst). */
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

static void release_robust_list(const struct task *task)
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

static bool remove_living(struct task *task)
{
    spin_lock(&list_lock);
    unlink_living(task);
    bool is_last = living_count == 0;
    spin_unlock(&list_lock);
    return is_last;
}

_Noreturn void process_exit(int status, int signal)
{
    if (__atomic_exchange_n(&exiting, 1, __ATOMIC_SEQ_CST)) {
        for (;;) {
            host_yield();
        }
    }
    process_upcalls.process_ends();
    host_exit((uint32_t)status & 0xFF, (uint32_t)signal);
}

_Noreturn void task_exit(int status)
{
    struct task *task = current_task();
    release_robust_list(task);
    if (task->clear_child_tid) {
        uint32_t zero = 0;
        if (!copy_to_user(task->clear_child_tid, &zero, sizeof zero)) {
            futex_wake(task->clear_child_tid, 1, UINT32_MAX);
        }
    }
    if (task->id == PROCESS_ID) {
        leader_status = status;
    }
    if (remove_living(task)) {
        process_exit(leader_status, 0); /* as the kernel: the group leader's, whoever ends last */
    }
    current_thread()->task = NULL;
    task->sleeper.thread = NULL;
    process_upcalls.thread_ends();
    bury(task);
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

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004 };

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
    default: /* GS is the enclave's own */
        return -EINVAL;
    }
}
