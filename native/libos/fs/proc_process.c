/* What /proc says of the process and its threads. */
#include "fs/proc_content.h"

#include "fs/buffer.h"
#include "fs/open_name.h"
#include "fs/path.h"
#include "fs/proc.h"
#include "memory/memory.h"
#include "process/process.h"

/* A range of application memory, as far as it can be read. */
static void add_user_memory(struct text *text, user_address start, user_address end)
{
    size_t length = end > start && end - start < (1U << 22) ? (size_t)(end - start) : 0;
    char *to = length > 0 ? text_reserve(text, length) : NULL;
    if (to != NULL && copy_from_user(to, start, length) == 0) {
        text->used += length;
    }
}

void proc_cmdline(struct text *text)
{
    add_user_memory(text, current_process()->arguments_start, current_process()->arguments_end);
}

void proc_environ(struct text *text)
{
    add_user_memory(text, current_process()->environment_start, current_process()->environment_end);
}

void proc_auxiliary_vector(struct text *text)
{
    const struct process *process = current_process();
    size_t count = 0;
    while (count < AUXILIARY_MAX - 1 && process->auxiliary[count][0] != 0) {
        count++;
    }
    text_add_bytes(text, process->auxiliary, (count + 1) * sizeof(process->auxiliary[0])); /* with the last one, AT_NULL */
}

/* proc_pid_schedstat() of Linux: time on a processor, time waited for one, and how often; the host does not tell the latter. */
void proc_schedule_statistics(struct text *text)
{
    struct cpu_use use = usage_of_process();
    text_add(text, "%lu 0 0\n", use.user + use.system);
}

void proc_io(struct text *text)
{
    const struct io_counts *counts = &current_process()->io;
    text_add(text,
        "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
        counts->read_bytes, counts->written_bytes, counts->reads, counts->writes);
}

void proc_timer_slack(struct text *text)
{
    text_add(text, "%lu\n", timer_slack(current_task()));
}

void proc_comm(struct text *text)
{
    text_add(text, "%s\n", current_process()->name);
}

static size_t thread_count(void)
{
    int32_t none;
    return task_ids(current_process(), &none, 0);
}

static int32_t parent_id(void)
{
    lists_lock();
    const struct process *parent = current_process()->parent;
    int32_t id = parent != NULL ? parent->id : 0;
    lists_unlock();
    return id;
}

static void add_ids(struct text *text, const char *name, const struct ids *ids)
{
    text_add(text, "%s:\t%u\t%u\t%u\t%u\n", name, ids->real, ids->effective, ids->saved, ids->file_system);
}

struct leader {
    const char *state;
};

static bool look_at_leader(struct task *task, void *context)
{
    struct leader *leader = context;
    if (task_id(task) != task->process->id) {
        return true;
    }
    leader->state = sleeper_is_asleep(&task->sleeper) ? "S (sleeping)" : "R (running)";
    return false;
}

/* Of the first thread, as proc(5) has it. */
static const char *state_of_leader(void)
{
    struct leader leader = {"Z (zombie)"}; /* it has ended, others go on */
    process_each_task(current_process(), look_at_leader, &leader);
    return leader.state;
}

void proc_status(struct text *text)
{
    struct memory_counts counts;
    memory_count(current_space(), &counts);
    text_add(text,
        "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
        current_process()->name, current_whereabouts()->mode_mask, state_of_leader(), current_process()->id,
        current_process()->id, parent_id());
    const struct credentials *who = credentials();
    add_ids(text, "Uid", &who->user);
    add_ids(text, "Gid", &who->group);
    text_add(text, "FDSize:\t64\nGroups:\t");
    for (uint32_t at = 0; at < who->group_count; at++) {
        text_add(text, at > 0 ? " %u" : "%u", who->groups[at]);
    }
    text_add(text, " \nVmSize:\t%8llu kB\nVmLck:\t%8llu kB\nVmHWM:\t%8llu kB\nVmRSS:\t%8llu kB\nThreads:\t%u\n",
        (unsigned long long)(counts.mapped * KIB_PER_PAGE), (unsigned long long)(counts.locked * KIB_PER_PAGE),
        (unsigned long long)(pages_peak() * KIB_PER_PAGE), (unsigned long long)(counts.committed * KIB_PER_PAGE),
        (unsigned)thread_count());
    const uint64_t sets[] = {who->inheritable, who->permitted, who->effective, who->bounding, who->ambient};
    const char *const names[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    for (size_t at = 0; at < ARRAY_LENGTH(sets); at++) {
        text_add(text, "%s:\t%016lx\n", names[at], sets[at]);
    }
    text_add(text, "NoNewPrivs:\t%u\nSeccomp:\t0\n", who->no_new_privileges);
    uint64_t mask = task_processors(current_task());
    text_add(text, "Cpus_allowed:\t%lx\nCpus_allowed_list:\t", mask);
    proc_add_processors(text, mask);
}

/* proc(5): 52 fields; those that mean nothing here are 0. */
void proc_process_stat(struct text *text)
{
    struct memory_counts counts;
    memory_count(current_space(), &counts);
    struct cpu_use use = usage_of_process();
    text_add(text, "%d (%s) %c %d %d %d 0 -1 0 0 0 0 0 %llu %llu 0 0 20 0 %u 0 %llu %llu %llu 18446744073709551615",
        current_process()->id, current_process()->name, state_of_leader()[0], parent_id(), current_process()->group,
        current_process()->session, (unsigned long long)ticks(use.user), (unsigned long long)ticks(use.system),
        (unsigned)thread_count(), (unsigned long long)ticks(current_process()->start_time_ns),
        (unsigned long long)(counts.mapped * PAGE_SIZE), (unsigned long long)counts.committed);
    text_add(text, " 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 %llu %llu %llu %llu 0\n",
        (unsigned long long)current_process()->arguments_start, (unsigned long long)current_process()->arguments_end,
        (unsigned long long)current_process()->environment_start, (unsigned long long)current_process()->environment_end);
}

void proc_statm(struct text *text)
{
    struct memory_counts counts;
    memory_count(current_space(), &counts);
    text_add(text, "%llu %llu 0 0 0 %llu 0\n", (unsigned long long)counts.mapped,
        (unsigned long long)counts.committed, (unsigned long long)counts.mapped);
}

/* fs/proc/base.c */
static const struct {
    enum resource resource;
    const char *name, *unit;
} limit_names[] = {
    {RLIMIT_CPU, "Max cpu time              ", "seconds   "},
    {RLIMIT_FSIZE, "Max file size             ", "bytes     "},
    {RLIMIT_DATA, "Max data size             ", "bytes     "},
    {RLIMIT_STACK, "Max stack size            ", "bytes     "},
    {RLIMIT_CORE, "Max core file size        ", "bytes     "},
    {RLIMIT_RSS, "Max resident set          ", "bytes     "},
    {RLIMIT_NPROC, "Max processes             ", "processes "},
    {RLIMIT_NOFILE, "Max open files            ", "files     "},
    {RLIMIT_MEMLOCK, "Max locked memory         ", "bytes     "},
    {RLIMIT_AS, "Max address space         ", "bytes     "},
    {RLIMIT_LOCKS, "Max file locks            ", "locks     "},
    {RLIMIT_SIGPENDING, "Max pending signals       ", "signals   "},
    {RLIMIT_MSGQUEUE, "Max msgqueue size         ", "bytes     "},
    {RLIMIT_NICE, "Max nice priority         ", "          "},
    {RLIMIT_RTPRIO, "Max realtime priority     ", "          "},
    {RLIMIT_RTTIME, "Max realtime timeout      ", "us        "},
};

#define LIMIT_WIDTH 21U

static void add_limit(struct text *text, uint64_t value)
{
    char number[LIMIT_WIDTH + 1];
    size_t length = value == UNLIMITED ? format_text(number, sizeof number, "unlimited")
                                       : format_text(number, sizeof number, "%llu", (unsigned long long)value);
    text_add(text, "%s", number);
    for (; length < LIMIT_WIDTH; length++) {
        text_add(text, " ");
    }
}

void proc_limits(struct text *text)
{
    text_add(text, "Limit                     Soft Limit           Hard Limit           Units     \n");
    for (size_t at = 0; at < ARRAY_LENGTH(limit_names); at++) {
        struct limit limit = limit_of(limit_names[at].resource);
        text_add(text, "%s", limit_names[at].name);
        add_limit(text, limit.soft);
        add_limit(text, limit.hard);
        text_add(text, "%s\n", limit_names[at].unit);
    }
}

int64_t proc_executable_target(char *to, size_t size)
{
    return current_process()->executable != NULL ? file_path_locked(current_process()->executable, to, size) : -ENOENT;
}

int64_t proc_executable_jump(struct inode **target, struct open_name **name)
{
    if (current_process()->executable == NULL) {
        return -ENOENT;
    }
    const struct file *executable = current_process()->executable;
    *target = inode_get(executable->inode);
    *name = executable->name != NULL ? open_name_get(executable->name) : NULL;
    return 0;
}

static int64_t directory_target(struct inode *directory, char *to, size_t size)
{
    size_t start = 0;
    int64_t length = path_of(directory, (struct name){0}, to, size, &start);
    if (length > 0) {
        memmove(to, to + start, (size_t)length);
    }
    return length;
}

int64_t proc_working_directory_target(char *to, size_t size)
{
    return directory_target(current_whereabouts()->working_directory, to, size);
}

int64_t proc_working_directory_jump(struct inode **target, struct open_name **name)
{
    *name = NULL;
    *target = inode_get(current_whereabouts()->working_directory);
    return 0;
}

int64_t proc_self(char *to, size_t size)
{
    return (int64_t)format_text(to, size, "%d", current_process()->id);
}

int64_t proc_thread_self(char *to, size_t size)
{
    return (int64_t)format_text(to, size, "%d/task/%d", current_process()->id, task_id(current_task()));
}

struct inode *task_directory;
struct inode *process_directory;

int64_t proc_process_lookup(struct name name, struct inode **found)
{
    if (proc_number_of(name) != current_process()->id) {
        return -ENOENT;
    }
    *found = inode_get(process_directory);
    return 0;
}

int64_t proc_process_list(uint64_t cookie, entry_sink *sink, void *context)
{
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    char text[16];
    if (cookie == base) {
        sink(context, proc_name_of_number(text, current_process()->id), process_directory->number, S_IFDIR, base + 1);
    }
    return 0;
}

int64_t proc_task_lookup(struct name name, struct inode **found)
{
    int32_t ids[256];
    size_t count = task_ids(current_process(), ids, ARRAY_LENGTH(ids));
    int64_t wanted = proc_number_of(name);
    for (size_t at = 0; at < count && at < ARRAY_LENGTH(ids); at++) {
        if (ids[at] == wanted) {
            *found = inode_get(task_directory);
            return 0;
        }
    }
    return -ENOENT;
}

int64_t proc_task_list(uint64_t cookie, entry_sink *sink, void *context)
{
    int32_t ids[256];
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    size_t count = task_ids(current_process(), ids, ARRAY_LENGTH(ids));
    char text[16];
    for (size_t at = (size_t)(cookie - base); at < count && at < ARRAY_LENGTH(ids); at++) {
        if (!sink(context, proc_name_of_number(text, ids[at]), task_directory->number, S_IFDIR, base + at + 1)) {
            break;
        }
    }
    return 0;
}
