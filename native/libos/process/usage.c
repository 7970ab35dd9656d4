/* Processor time, as the host tells it: getrusage(2). */
#include "process/process.h"

/* The host's two numbers were not read at one time: what is told never goes back all the same (cputime_adjust() of Linux). */
static struct cpu_use split(struct cpu_use *last, uint64_t total, uint64_t system)
{
    system = system < total ? system : total;
    system = system > last->system ? system : last->system;
    uint64_t user = total > system ? total - system : 0;
    if (user < last->user) {
        user = last->user;
        system = total > user ? total - user : 0;
        system = system > last->system ? system : last->system;
    }
    *last = (struct cpu_use){user, system};
    return *last;
}

/*
 * While the first process is the only one there has been, it has used what the host says of the enclave. From then on a process has used what its
 * threads have, and the first one what the enclave had until then.
 */
static bool has_others; /* atomic */

struct cpu_use usage_of_enclave(void)
{
    uint64_t total = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID), system = host_clock(HOST_CLOCK_PROCESS_SYSTEM);
    return (struct cpu_use){total - (system < total ? system : total), system};
}

static struct cpu_use of_threads(struct process *process)
{
    struct subject_use use = {0};
    (void)subject_usage(&(struct subject){.process = process, .serial = process->serial}, &use); /* else it is told as the last time */
    return use.own;
}

struct cpu_use usage_of_process(struct process *process)
{
    static struct spinlock lock;
    struct cpu_use now = __atomic_load_n(&has_others, __ATOMIC_SEQ_CST) ? of_threads(process) : usage_of_enclave();
    spin_lock(&lock);
    struct cpu_use use = split(&process->told_use, now.user + now.system, now.system);
    spin_unlock(&lock);
    return use;
}

uint64_t usage_clock(struct process *process)
{
    if (!__atomic_load_n(&has_others, __ATOMIC_SEQ_CST)) {
        return clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
    }
    struct cpu_use use = usage_of_process(process);
    return use.user + use.system;
}

void usage_is_not_alone(void)
{
    static struct mutex lock;
    mutex_lock(&lock);
    if (!has_others) {
        uint64_t total = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
        struct cpu_use threads = of_threads(&first_process);
        uint64_t counted = threads.user + threads.system;
        lists_lock();
        first_process.use.user += total > counted ? total - counted : 0;
        lists_unlock();
        __atomic_store_n(&has_others, true, __ATOMIC_SEQ_CST);
    }
    mutex_unlock(&lock);
}

struct cpu_use usage_of_thread(void)
{
    uint64_t total = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
    return split(&current_task()->use, total, host_clock(HOST_CLOCK_THREAD_SYSTEM));
}

void usage_thread_ends(struct task *task)
{
    struct cpu_use use = usage_of_thread();
    lists_lock();
    task->process->use = cpu_use_sum(task->process->use, use);
    task->process->io = io_counts_sum(task->process->io, task->io);
    task->use_is_of_process = true;
    lists_unlock();
}

static void set_time(int64_t to[2], uint64_t ns)
{
    to[0] = (int64_t)(ns / NS_PER_SECOND);
    to[1] = (int64_t)(ns % NS_PER_SECOND / 1000);
}

int64_t usage_to_user(user_address to, const struct cpu_use *use, uint64_t peak_pages)
{
    struct {
        int64_t user[2], system[2];
        int64_t peak; /* KiB */
        int64_t others[13];
    } usage = {.peak = (int64_t)(peak_pages * PAGE_SIZE / 1024)};
    _Static_assert(sizeof usage == 144, "struct rusage");
    set_time(usage.user, use->user);
    set_time(usage.system, use->system);
    return copy_to_user(to, &usage, sizeof usage);
}
