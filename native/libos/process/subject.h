/* Processes and threads as others look at them: /proc, prlimit(2), process_vm_readv(2). */
#ifndef ENCLAVIZE_PROCESS_SUBJECT_H
#define ENCLAVIZE_PROCESS_SUBJECT_H

#include "memory/memory.h"
#include "process/credentials.h"
#include "process/limits.h"

struct process;
struct task;

/* Processor time in ns. System time is what the host's kernel spent; what the LibOS does is user time. */
struct cpu_use {
    uint64_t user, system;
};
static inline struct cpu_use cpu_use_sum(struct cpu_use one, struct cpu_use other)
{
    return (struct cpu_use){one.user + other.user, one.system + other.system};
}

/* One process, or one thread; struct pid of Linux. Processes and tasks are recycled, serials are not. */
struct subject {
    struct process *process;
    uint64_t serial;
    uint64_t thread_serial; /* 0: the process as a whole, for which its first thread speaks, or another while that has ended */
};

/* What somebody was at one moment: a copy. */
struct subject_facts {
    int32_t id, process, parent, group, session;
    char state; /* R, S, T or Z of proc(5) */
    char name[16];
    bool is_own;      /* of the calling process */
    bool is_dumpable; /* and has memory */
    bool has_ended;   /* a zombie, or a first thread that has ended before others */
    uint32_t thread_count;
    uint32_t exit_signal, wait_status;
    uint64_t start_time_ns;
    user_address arguments_start, arguments_end, environment_start, environment_end, stack_top, vdso;
    struct credentials credentials;
    int32_t nice;
    uint32_t policy, processor;
    uint64_t processors; /* a word of the CPU set */
    uint64_t timer_slack;
    uint64_t pending, process_pending, blocked;
    int32_t memory_pressure_adjustment;
    uint32_t personality;
};

/* Of the calling process; a process by its id; a thread by its id, of that process, or of any one (NULL). -ESRCH. */
struct subject subject_self(void);
int64_t subject_of_process(int32_t id, struct subject *subject);
int64_t subject_of_thread(const struct subject *process, int32_t id, struct subject *subject);
/* Either, as find_task_by_vpid() of Linux looks for it. */
int64_t subject_of_id(int32_t id, struct subject *subject);

/* -ESRCH: it has ended, and somebody has waited for it. */
int64_t subject_look(const struct subject *subject, struct subject_facts *facts);
/* Calls `look` under the lists' lock; the task is NULL for a zombie. 0 or -ESRCH. */
int64_t subject_with(const struct subject *subject, void (*look)(struct process *process, struct task *task, void *context),
                     void *context);

/* ptrace_may_access() of Linux: 0 or -EPERM. For /proc ids of the file system count, for system calls the real ones. */
enum inspector { INSPECTS_FILES, INSPECTS_BY_CALL };
int64_t subject_may_be_inspected(const struct subject_facts *facts, enum inspector inspector);

/* The calling thread is in the memory of the subject until space_end_visit(), and the facts are of the program there. -ESRCH: it has none, or none any
 * more. */
int64_t subject_visit(const struct subject *subject, struct subject_facts *facts);

/* What it has of memory: nothing, if it has none any more. */
void subject_count_memory(const struct subject *subject, struct space_counts *counts);

/* Processor time of all threads, also of those that have ended, or of the one; and that of children that were waited for. */
struct subject_use {
    struct cpu_use own, children;
};
int64_t subject_usage(const struct subject *subject, struct subject_use *use);
/* What it has read and written: a process with all its threads, also those that have ended, or the one. 0 or -ESRCH. */
struct io_counts;
int64_t subject_transfers(const struct subject *subject, struct io_counts *counts);

#endif
