/* Tasks of one process, as threads of POSIX: wait.c of the core sleeps and wakes by them. */
#include "shim_libos.h"

long syscall(long number, ...);
int *__errno_location(void);
int sched_yield(void);
int nanosleep(const struct timespec *time, struct timespec *left);
int pthread_create(unsigned long *thread, const void *attributes, void *(*run)(void *), void *context);
int pthread_join(unsigned long thread, void **result);

struct process first_process = {.state = PROCESS_RUNNING, .id = PROCESS_ID, .name = "test"};
struct process_upcalls process_upcalls;

uint64_t task_processors(const struct task *task)
{
    (void)task;
    return 1;
}

struct shim_thread {
    struct task task;
    struct thread thread;
    uint32_t wakes;
    unsigned long handle;
    void (*run)(void *context);
    void *context;
};

struct space {
    char unused;
} first_space, libos_space;
static struct shim_thread first_thread = {.task = {.id = PROCESS_ID, .space = &first_space, .process = &first_process, .credentials = {.permitted = CAPABILITIES_OF_ROOT, .effective = CAPABILITIES_OF_ROOT}}};
static __thread struct shim_thread *self;
static struct shim_thread *threads[64] = {&first_thread};
static uint32_t thread_total = 1;

#define SYS_ARCH_PRCTL 158
#define ARCH_SET_GS 0x1001

/* GS leads to the thread, as in the enclave: current_task() needs it. */
static void become(struct shim_thread *thread)
{
    self = thread;
    thread->thread.self = &thread->thread;
    thread->thread.task = &thread->task;
    thread->task.sleeper.thread = &thread->thread;
    syscall(SYS_ARCH_PRCTL, ARCH_SET_GS, &thread->thread);
}

static bool signal_is_waiting(void)
{
    return signal_waits;
}

__attribute__((constructor)) static void start_first(void)
{
    become(&first_thread);
    wait_upcalls.signal_is_pending = signal_is_waiting;
    limits_start();
    base_upcalls.yield = host_yield;
}

struct process *process_of_id(int32_t id)
{
    return id == PROCESS_ID ? &first_process : NULL;
}

void process_each(bool (*each)(struct process *process, void *context), void *context)
{
    each(&first_process, context);
}

void process_each_task(const struct process *process, bool (*each)(struct task *task, void *context), void *context)
{
    (void)process;
    task_each(each, context);
}

void lists_lock(void)
{
}

void lists_unlock(void)
{
}

int32_t task_id(const struct task *task)
{
    return CONTAINER_OF(task, struct shim_thread, task)->thread.host_index + 1;
}

void task_each(bool (*each)(struct task *task, void *context), void *context)
{
    for (uint32_t at = 0; at < thread_total && each(&threads[at]->task, context); at++) {
    }
}

void task_each_listed(bool (*each)(struct task *task, void *context), void *context)
{
    task_each(each, context);
}

bool task_must_end(void)
{
    return false;
}

int32_t process_last_id(void)
{
    return PROCESS_ID;
}

uint32_t processor_of(uint64_t mask, uint64_t thread)
{
    (void)mask, (void)thread;
    return 0;
}

size_t task_count(void)
{
    return thread_total;
}

struct cpu_use usage_of_process(struct process *process)
{
    (void)process;
    return (struct cpu_use){0};
}

struct cpu_use usage_of_thread(void)
{
    return (struct cpu_use){0};
}

struct cpu_use usage_of_enclave(void)
{
    return (struct cpu_use){0};
}

size_t task_ids(const struct process *process, int32_t *ids, size_t count)
{
    (void)process;
    for (uint32_t at = 0; at < thread_total && at < count; at++) {
        ids[at] = (int32_t)at + 1;
    }
    return thread_total;
}

#define SYS_FUTEX 202
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

static bool sleep_on(uint32_t *word, uint64_t timeout_ns)
{
    struct timespec limit = {.seconds = (int64_t)(timeout_ns / NS_PER_SECOND),
        .nanoseconds = (int64_t)(timeout_ns % NS_PER_SECOND)};
    while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0) {
        long result = syscall(SYS_FUTEX, word, FUTEX_WAIT, 0, timeout_ns == NO_TIMEOUT ? NULL : &limit);
        if (result < 0 && *__errno_location() == ETIMEDOUT) {
            return false;
        }
    }
    return true;
}

int host_wait(uint64_t timeout_ns)
{
    return sleep_on(&self->wakes, timeout_ns) ? 0 : -ETIMEDOUT;
}

void host_wake(uint32_t host_index)
{
    __atomic_store_n(&threads[host_index]->wakes, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_FUTEX, &threads[host_index]->wakes, FUTEX_WAKE, 1, NULL);
}

void host_yield(void)
{
    sched_yield();
}

struct task *task_of_id(int32_t id)
{
    for (uint32_t at = 0; at < thread_total; at++) {
        if (threads[at]->task.id == id) {
            return &threads[at]->task;
        }
    }
    return NULL;
}

static void *run_thread(void *context)
{
    become(context);
    self->run(self->context);
    process_upcalls.leave_thread_files(&self->task);
    return NULL;
}

struct shim_thread *shim_thread_start(void (*run)(void *context), void *context)
{
    struct shim_thread *thread = calloc(1, sizeof(*thread));
    thread->run = run;
    thread->context = context;
    thread->thread.host_index = thread_total;
    thread->task.process = &first_process;
    thread->task.space = &first_space;
    thread->task.credentials = self->task.credentials;
    process_upcalls.inherit_thread_files(&thread->task, true, true);
    threads[thread_total++] = thread;
    pthread_create(&thread->handle, NULL, run_thread, thread);
    return thread;
}

void shim_thread_join(struct shim_thread *thread)
{
    pthread_join(thread->handle, NULL);
}

void shim_sleep_ms(uint32_t milliseconds)
{
    struct timespec time = {.seconds = milliseconds / 1000, .nanoseconds = milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}
