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

struct cpu_use usage_of_process(void)
{
    static struct spinlock lock;
    static struct cpu_use last;
    uint64_t total = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID), system = host_clock(HOST_CLOCK_PROCESS_SYSTEM);
    spin_lock(&lock);
    struct cpu_use use = split(&last, total, system);
    spin_unlock(&lock);
    return use;
}

struct cpu_use usage_of_thread(void)
{
    uint64_t total = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
    return split(&current_task()->use, total, host_clock(HOST_CLOCK_THREAD_SYSTEM));
}

void usage_thread_ends(struct task *task)
{
    struct cpu_use use = usage_of_thread();
    __atomic_add_fetch(&task->process->use.user, use.user, __ATOMIC_RELAXED);
    __atomic_add_fetch(&task->process->use.system, use.system, __ATOMIC_RELAXED);
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
