/*
 * The process room: processes, their threads (tasks), their programs, and the measured configuration that all of it
 * comes from.
 */
#ifndef ENCLAVIZE_PROCESS_H
#define ENCLAVIZE_PROCESS_H

#include "memory/memory.h"
#include "process/configuration.h"
#include "process/credentials.h"
#include "process/ipc.h"
#include "process/limits.h"
#include "process/subject.h"

/* What the handler of a signal is told: the start of Linux's siginfo_t. */
struct signal_info {
    int32_t signal;
    int32_t error;
    int32_t code;
    int32_t timer;   /* padding of siginfo_t: which run of a timer sent it, not 0; only ours, and 0 for who is told */
    uint64_t first;  /* si_pid and si_uid, si_timerid and si_overrun, or si_addr */
    uint64_t second; /* si_value */
};

/* Signals that wait. Of real-time signals there may be several: those behind the first are queued (signal(7)). */
struct queued_signal;
struct signal_set {
    uint64_t pending;                                 /* atomic */
    struct signal_info information[SIGNAL_COUNT + 1]; /* of pending signals; under the signal room's lock */
    struct queued_signal *queued;                     /* in order; under the same */
};

struct descriptor_table;
struct whereabouts;
struct signal_actions;
struct interval_timers;
struct vfork;

/* personality(2) */
#define PER_LINUX32 8U /* in the lowest byte: uname(2) tells the machine of 32 bits */
#define UNAME26 0x20000U
#define READ_IMPLIES_EXEC 0x400000U
#define STICKY_TIMEOUTS 0x4000000U
/* What prctl(2) says of a process; atomic. */
struct process_attributes {
    bool is_not_dumpable, reaps_orphans, has_no_huge_pages;
    uint8_t broken_memory; /* PR_MCE_KILL: one more than what was set; 0: nothing was */
    bool uses_barriers; /* membarrier(2): it is registered for the private ones */
};

enum process_state { PROCESS_FREE, PROCESS_RUNNING, PROCESS_ZOMBIE };
/* What a parent that waits has not been told yet of a child that lives. */
enum process_change { CHANGE_NONE, CHANGE_STOPPED, CHANGE_CONTINUED };

/*
 * A process. Processes are recycled, never given back: a late look at one that has ended is harmless. "Listed" fields
 * are written under the lock of the lists (task.h); where a word of one is enough, it is read without.
 */
#define AUXILIARY_MAX 24U

struct process;
/* Of a process, of the calling thread, and of all that the enclave runs: no part of the first two ever goes back. */
struct cpu_use usage_of_process(struct process *process);
struct cpu_use usage_of_thread(void);
struct cpu_use usage_of_enclave(void);
/* The first one's whole, with one OCALL while the process is the only one there ever was. ns. */
uint64_t usage_clock(struct process *process);
/* A second process comes: from now on each has used what its threads have. */
void usage_is_not_alone(void);
/* What the calling thread, whose task this is, has used counts for its process from now on. */
void usage_thread_ends(struct task *task);
/* struct rusage; the largest memory in pages. 0 or -EFAULT. */
int64_t usage_to_user(user_address to, const struct cpu_use *use, uint64_t peak_pages);

/* /proc/PID/io */
struct io_counts {
    uint64_t read_bytes, written_bytes, reads, writes;
};
static inline struct io_counts io_counts_sum(struct io_counts one, struct io_counts other)
{
    return (struct io_counts){
        .read_bytes = one.read_bytes + other.read_bytes,
        .written_bytes = one.written_bytes + other.written_bytes,
        .reads = one.reads + other.reads,
        .writes = one.writes + other.writes,
    };
}

/* What a thread brings to files. Each is counted, since threads and processes may share it (CLONE_FILES, CLONE_FS). */
struct task_files {
    struct descriptor_table *descriptors; /* the owner writes it, listed */
    struct whereabouts *whereabouts;      /* directories and umask; the owner writes it, under the namespace lock */
};

struct process {
    struct wait_queue children; /* who waits for a child of it; stays when the process is recycled */
    struct process *next;   /* listed: all that are not free, or all that are */
    uint64_t serial;                   /* never used again */
    enum process_state state;          /* listed */
    int32_t id, group, session;        /* listed */
    struct process *parent;            /* listed; NULL: the first one, and commands from outside */
    bool is_childless;                 /* listed: it ends, its children have others for parents, and it gets no more */
    uint32_t task_count;               /* listed: living threads */
    uint32_t exit_signal;              /* what its end sends to the parent */
    bool has_executed;                 /* a program, since it was made: setpgid(2) */
    bool is_loading;                   /* a program: what is told of its memory does not belong together; atomic */
    uint32_t command;                  /* not 0: a command from outside, and what the host calls it */
    struct process_attributes attributes;

    /* The end, and what comes close to it. */
    uint32_t ends;          /* atomic: each thread ends on its way back to the application */
    struct task *survivor;  /* atomic: of all threads, it executes a program, and the others end */
    uint32_t wait_status;   /* as wait4(2) tells it; of the first thread while others go on */
    int32_t stop_signal;    /* atomic: not 0: stopped by it */
    enum process_change change;        /* listed */
    struct cpu_use use, children_use; /* of threads that have ended; of children that were waited for: listed */
    struct cpu_use told_use;           /* of all of it, the last time; under a lock of usage.c */
    struct vfork *vfork;    /* atomic: who waits until it has a program, or has ended */
    uint32_t uid;           /* listed: the real one, when something was last told of it */
    struct credentials last_credentials; /* of a zombie */
    int32_t memory_pressure_adjustment;  /* /proc/PID/oom_score_adj; atomic: nobody acts on it */

    char name[16];             /* of the main thread, for /proc */
    user_address arguments_start, arguments_end;     /* on the first stack, for /proc/self/cmdline */
    user_address environment_start, environment_end;
    uint64_t auxiliary[AUXILIARY_MAX][2]; /* the auxiliary vector, with its AT_NULL */
    user_address vdso;         /* its page (boundary/) */
    user_address stack_top;    /* of the first stack */
    uint64_t start_time_ns;    /* CLOCK_BOOTTIME */
    struct limit limits[RLIMIT_COUNT]; /* under the lock of limits */

    /* What signal/ and time/ keep. */
    struct signal_set signals;         /* sent to the process */
    struct signal_actions *actions;    /* counted: CLONE_SIGHAND */
    struct interval_timers *timers;    /* NULL: none was ever set; under the lock of alarms */
    struct cpu_limit *cpu_limit;       /* NULL: RLIMIT_CPU was never set; the same */

    /* What fs/ keeps. */
    struct io_counts io;                  /* of threads that have ended; listed */
    struct task_files files;              /* of its first thread, until that is there */
    struct file *executable;              /* the program; under the namespace lock */
    struct attestation *attestation;      /* what it has written for its reports; NULL: nothing (fs/attestation.c) */
};
extern struct process first_process;
#define PROCESS_ID 1 /* the first one's */

struct signal_stack {
    user_address start;
    int32_t flags;
    int32_t padding;
    uint64_t size;
};
#define SIGNAL_FRAME_MAX (VECTOR_STATE_SIZE + 640U) /* AT_MINSIGSTKSZ: what a handler's frame may take */

/* Whether an interrupted call starts again when a handler has run; without one it always does (signal(7)). */
enum call_restart { RESTARTS_NEVER, RESTARTS_WITH_FLAG /* of the handler: SA_RESTART */, RESTARTS_ALWAYS };

/* What a thread has asked for: sched(7), PR_SET_TIMERSLACK. */
struct scheduling {
    uint64_t affinity; /* a word of the CPU set; 0: all processors */
    uint32_t policy;
    int8_t nice;
    uint16_t io_priority; /* ioprio_set(2); 0: after the nice value */
    uint64_t timer_slack, default_timer_slack; /* ns; 0: the default; 0: Linux's own */
};

/*
 * A thread of the application. struct thread (cpu/) is what the enclave's entry keeps of it: this lies in LibOS memory.
 * Tasks are recycled, never given back: a late wake of a task that has ended is harmless.
 */
struct task {
    struct sleeper sleeper; /* must be the first: wait/ */
    struct space *space;    /* the second: memory/ */
    struct step step;
    struct task *next;      /* all living tasks, or all dead ones; under the list's lock */
    struct task *next_starting; /* waiting for a host thread; under the list's lock */
    struct process *process;
    uint64_t serial; /* never used again */
    int32_t id;
    bool alive;
    char name[16];
    bool asks_for_barriers; /* in membarrier(2) */
    struct cpu_use use; /* as it was told last; the owner writes it */
    bool use_is_of_process; /* it ends, and what it has used, and its io, is counted there: listed */
    struct io_counts io;    /* atomic: the thread itself writes it */
    struct credentials credentials; /* the owner writes it */
    const struct credentials *acts_by; /* while a call overrides them, else NULL; the owner's alone */
    struct scheduling scheduling;
    uint8_t parent_death_signal; /* PR_SET_PDEATHSIG */
    uint32_t personality;        /* personality(2); the owner writes it */

    user_address clear_child_tid;
    user_address robust_list;
    bool gives_locks_back; /* it ends, and whoever comes to wait for one from now on has to be told so: atomic */
    struct context start_context; /* where a new thread begins */
    uint64_t start_fs_base;
    void *start_vectors;       /* a page with its vector state; NULL: the initial one */
    bool starts_in_turn;       /* its space is resident, and counts it */
    user_address set_child_id; /* 0, or where it writes its id when it begins */
    void (*service)(void); /* instead: a thread of the LibOS's own */

    /* What signal/ keeps. */
    uint64_t blocked; /* signals; the owner writes it */
    uint64_t awaited; /* by sigtimedwait(2): blocked but for that, so it comes whatever its action */
    struct signal_set signals; /* sent to this thread */
    uint64_t saved_mask; /* while a temporary mask holds */
    bool mask_is_saved;
    struct signal_stack signal_stack;

    struct task_files files; /* what fs/ keeps */

    /* What syscall/ and signal/ tell each other. */
    struct context *context;   /* of the system call being served */
    uint64_t interrupted_call; /* number + 1 of the call that has just returned -EINTR, else 0 */
    enum call_restart call_restarts;
    bool context_replaced;     /* by rt_sigreturn: RAX holds no result */
};
_Static_assert(offsetof(struct task, sleeper) == 0 && offsetof(struct task, space) == offsetof(struct resident, space) &&
                   offsetof(struct task, step) == offsetof(struct resident, step),
               "wait/ and memory/ find them there");

static inline struct process *current_process(void)
{
    return current_task()->process;
}

/* PR_GET_TIMERSLACK, ns. */
uint64_t timer_slack(const struct task *task);
/* What system calls take for the calling process. */
static inline bool process_id_is_own(uint64_t id)
{
    return id == 0 || id == (uint64_t)current_process()->id;
}
/* Around listed fields. Short sections, as with every spinlock. */
void lists_lock(void);
void lists_unlock(void);
/* By its id, or NULL; zombies too. */
struct process *process_of_id(int32_t id);
/* The id that was given last. */
int32_t process_last_id(void);
/* Calls `each` for every process under the lists' lock, zombies too; stops when it returns false. */
void process_each(bool (*each)(struct process *process, void *context), void *context);
/* The same for the living threads of one process. */
void process_each_task(const struct process *process, bool (*each)(struct task *task, void *context), void *context);

/* The task's thread id; that of a process's first thread is the process's. */
int32_t task_id(const struct task *task);
/* Ids of the process's threads, for /proc/PID/task: fills at most `count`, returns how many there are. */
size_t task_ids(const struct process *process, int32_t *ids, size_t count);
/* Threads of all processes. */
size_t task_count(void);
/* Something changed that it has to look at on its way back to the application: it goes there now. */
void task_attract(struct task *task);
/* The living thread with this id, or NULL. Tasks are recycled: it may have ended when the caller looks. */
struct task *task_of_id(int32_t id);
/* Calls `each` for every living task under the list's lock; stops when it returns false. */
void task_each(bool (*each)(struct task *task, void *context), void *context);

/* A thread that runs `service`, is not counted and gets no signals; NULL: no TCS or no memory. */
struct task *task_start_service(void (*service)(void));
/* The calling thread ends, the last one with the process. */
_Noreturn void task_exit(int status);
/* The calling process ends; with the first one the enclave. */
_Noreturn void process_exit(int status, int signal);
/* Nobody of the session could continue the group: its terminal and raise(3) do not stop it (POSIX, "orphaned process group"). */
bool group_is_orphaned(int32_t group);
/* Another process ends by SIGKILL. */
void process_kill(struct process *process);
/* The calling thread has to end. */
bool task_must_end(void);

/* The machine that programs see, in uname and in /proc alike. */
#define KERNEL_RELEASE "6.1.0-enclavize"
#define KERNEL_PATCHLEVEL 1
#define KERNEL_VERSION "#1 SMP"
/* As many as the host lets the enclave use, at least 1 and at most one for each thread. The host's word cannot be checked:
 * it decides how much runs at once anyway. */
void machine_start(uint32_t processors);
uint32_t processor_count(void);
/* Those that the task has asked for, or all: a word of the CPU set. */
uint64_t task_processors(const struct task *task);
/* Which of them the thread with this index is told to be on. */
uint32_t processor_of(uint64_t mask, uint64_t thread);

/* The start, in this order. */

/* The program cannot run: one line that says why, and the end with this status. */
#define STATUS_CANNOT_EXECUTE 126 /* as docker and the shells */
#define STATUS_NOT_FOUND 127
_Noreturn void process_refuse(int status, const char *what, const char *why);
/* Parses the measured configuration, and makes the calling thread the first task. */
void process_start(void);
/* When files can be read: chooses arguments and environment under the measured policy, loads the program, and sets the
 * context to its first instruction. */
void process_load(const struct boot *boot, const char *strings, struct context *context);
/* Last: from now on the host may start further programs (command.c). */
void commands_start(void);

/* What the process room needs of the rooms above. */
struct process_upcalls {
    /* signal: a thread ends that may have been told of a signal to the process: another has to be told. */
    void (*thread_ends)(struct task *task);
    /* time: RLIMIT_CPU of the process has been set. 0, or -EAGAIN: there is no thread to watch over it. */
    int64_t (*cpu_limit_changed)(struct process *process);
    /* signal: handlers of a new process: the caller's, or a copy, or the default ones. 0 or -ENOMEM. */
    int64_t (*inherit_signals)(struct process *child, bool shares, bool clears);
    /* signal: the calling process, of one thread, runs another program: no handler is left. 0 or -ENOMEM. */
    int64_t (*execute_signals)(void);
    /* signal: a new process for a command from outside has the default actions. 0 or -ENOMEM. */
    int64_t (*new_signals)(struct process *process);
    /* signal: the signals that the host has for commands are taken in. */
    void (*take_command_signals)(void);
    /* signal: nothing waits for the process any more, and it has no handlers. */
    void (*leave_signals)(struct process *process);
    /* signal: a child has ended: its parent is told. */
    void (*tell_parent)(struct process *parent, const struct signal_info *info);
    /* signal: the kernel's own, to all of a group. */
    void (*tell_group)(int32_t group, int signal);
    /* signal: SIGCHLD is ignored or has SA_NOCLDWAIT: nobody will wait for a child. Under the lists' lock. */
    bool (*ignores_children)(const struct process *parent);
    /* signal: the parent of the task's process has ended, and the task wants to know. */
    void (*parent_died)(struct task *task);
    /* time: the process ends, or executes another program, which keeps the interval timers. */
    void (*end_timers)(struct process *process, bool executes);
    /* fs: descriptors, directories and the program of a new process: the caller's, or copies. 0 or -ENOMEM. */
    int64_t (*inherit_files)(struct process *child, bool shares_descriptors, bool shares_whereabouts);
    /* fs: the same for a new thread of the calling process. */
    int64_t (*inherit_thread_files)(struct task *task, bool shares_descriptors, bool shares_whereabouts);
    /* fs: the first thread of a new process has what was made for the process. */
    void (*take_files)(struct task *task);
    /* fs: the thread ends: it has no descriptors any more. */
    void (*leave_thread_files)(struct task *task);
    /* fs: a new process for a command from outside stands in the root and has no descriptors. 0 or -ENOMEM. */
    int64_t (*new_files)(struct process *process);
    /* fs: the host's descriptors become 0, 1, 2 of the calling process, which goes to the measured directory; -1: closed. They are taken over in
     * any case. 0, or why the directory cannot be entered, -ENOMEM. */
    int64_t (*open_streams)(const int32_t streams[3]);
    /* fs: the program that the caller runs from now on; takes its own count. Descriptors with close-on-exec go. */
    int64_t (*execute_files)(struct file *file);
    /* fs: the process ends, or never began. */
    void (*leave_files)(struct process *process);
    /* fs: everything ends: what must reach the host does so. Other threads may still run. */
    void (*flush_files)(void);
    /* syscall: the last words of --profile; NULL: there are none. */
    void (*report)(void);
    /* fs: open a program to run it, as execveat(2) names it, inside the enclave. 0 and *file, or -ENOENT, -EACCES (no execute
     * permission, not a regular file, not as measured, volume without `exec`), -ELOOP, -ENOTDIR, -EIO, ... */
    int64_t (*open_executable)(int descriptor, const char *path, uint32_t flags, struct file **file);
    /* fs: the absolute path, NUL-terminated. Length without NUL, or -ENAMETOOLONG. */
    int64_t (*path_of_file)(struct file *file, char *buffer, size_t size);
    /* fs: some process has become a zombie: who waits by pidfd looks. */
    void (*process_ended)(void);
    /* fs: a descriptor of the process, or a negative errno; close_descriptor() takes it back. */
    int64_t (*make_descriptor)(struct process *process, uint32_t flags);
    int64_t (*close_descriptor)(int64_t descriptor);
    /* fs: the process that the descriptor is of (pidfd_open(2)), or -EBADF. */
    int32_t (*process_of_descriptor)(int descriptor, bool *is_nonblocking);
};
extern struct process_upcalls process_upcalls;

#endif
