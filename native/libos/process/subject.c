#include "process/table.h"

#define THREADS_COUNTED 256U /* whose clocks are asked for one by one */

/* Listed: the thread that speaks for the subject; NULL: none lives. */
struct search {
    const struct subject *subject;
    struct task *found;
};

static bool consider(struct task *task, void *context)
{
    struct search *search = context;
    const struct subject *subject = search->subject;
    bool is_of_process = task->process == subject->process;
    if (subject->thread_serial ? task->serial == subject->thread_serial : is_of_process && task->id == task->process->id) {
        search->found = task;
        return false;
    }
    if (is_of_process && !subject->thread_serial) {
        search->found = task; /* unless the first one comes */
    }
    return true;
}

struct subject subject_self(void)
{
    return (struct subject){.process = current_process(), .serial = current_process()->serial};
}

int64_t subject_with(const struct subject *subject, void (*look)(struct process *process, struct task *task, void *context),
                     void *context)
{
    struct search search = {.subject = subject};
    lists_lock();
    bool is_there = subject->process->serial == subject->serial && subject->process->state != PROCESS_FREE;
    if (is_there) {
        task_each_listed(consider, &search);
        is_there = search.found || (!subject->thread_serial && subject->process->state == PROCESS_ZOMBIE);
    }
    if (is_there) {
        look(subject->process, search.found, context);
    }
    lists_unlock();
    return is_there ? 0 : -ESRCH;
}

struct by_id {
    int32_t id;
    const struct subject *process; /* NULL: of any one */
    struct subject *subject;
    bool found;
};

static bool compare_process(struct process *process, void *context)
{
    struct by_id *by_id = context;
    if (process->id == by_id->id) {
        *by_id->subject = (struct subject){.process = process, .serial = process->serial};
        by_id->found = true;
    }
    return !by_id->found;
}

int64_t subject_of_process(int32_t id, struct subject *subject)
{
    struct by_id by_id = {.id = id, .subject = subject};
    process_each(compare_process, &by_id);
    return by_id.found ? 0 : -ESRCH;
}

static bool compare_thread(struct task *task, void *context)
{
    struct by_id *by_id = context;
    const struct process *process = task->process;
    bool is_of_process = !by_id->process || (process == by_id->process->process && process->serial == by_id->process->serial);
    if (task->id == by_id->id && is_of_process) {
        *by_id->subject = (struct subject){.process = task->process, .serial = process->serial, .thread_serial = task->serial};
        by_id->found = true;
    }
    return !by_id->found;
}

int64_t subject_of_thread(const struct subject *process, int32_t id, struct subject *subject)
{
    struct by_id by_id = {.id = id, .process = process, .subject = subject};
    task_each(compare_thread, &by_id);
    return by_id.found ? 0 : -ESRCH;
}

int64_t subject_of_id(int32_t id, struct subject *subject)
{
    int64_t error = id > 0 ? subject_of_process(id, subject) : -ESRCH;
    return error && id > 0 ? subject_of_thread(NULL, id, subject) : error;
}

/* Who waits for a lock of the LibOS, or for the turn of its program, would run if it could. */
static char state_of(const struct process *process, const struct task *task)
{
    return __atomic_load_n(&process->stop_signal, __ATOMIC_RELAXED) ? 'T' : sleeper_can_be_interrupted(&task->sleeper) ? 'S' : 'R';
}

struct look {
    const struct subject *subject;
    struct subject_facts *facts;
};

static void note_thread(struct subject_facts *facts, const struct task *task)
{
    const struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    facts->credentials = task->credentials;
    facts->nice = task->scheduling.nice;
    facts->policy = task->scheduling.policy;
    facts->processors = task_processors(task);
    facts->processor = thread ? processor_of(facts->processors, thread->index) : 0;
    facts->timer_slack = timer_slack(task);
    facts->personality = task->personality;
    facts->blocked = task->blocked;
    facts->pending = __atomic_load_n(&task->signals.pending, __ATOMIC_RELAXED);
}

static void note(struct process *process, struct task *task, void *context)
{
    const struct look *look = context;
    struct subject_facts *facts = look->facts;
    bool is_thread = look->subject->thread_serial != 0, is_first = task && (is_thread || task->id == process->id);
    *facts = (struct subject_facts){
        .id = is_thread ? task->id : process->id,
        .process = process->id,
        .parent = process->parent ? process->parent->id : 0,
        .group = process->group,
        .session = process->session,
        .state = is_first ? state_of(process, task) : 'Z',
        .is_own = process == current_process(),
        .is_dumpable = task && !process->attributes.is_not_dumpable,
        .has_ended = !is_first,
        .thread_count = process->task_count,
        .exit_signal = process == &first_process ? SIGCHLD : process->exit_signal,
        .wait_status = process->wait_status,
        .start_time_ns = process->start_time_ns,
        .arguments_start = process->arguments_start,
        .arguments_end = process->arguments_end,
        .environment_start = process->environment_start,
        .environment_end = process->environment_end,
        .stack_top = process->stack_top,
        .vdso = process->vdso,
        .credentials = process->last_credentials,
        .process_pending = __atomic_load_n(&process->signals.pending, __ATOMIC_RELAXED),
        .memory_pressure_adjustment = process->memory_pressure_adjustment,
    };
    memcpy(facts->name, is_first ? task->name : process->name, sizeof facts->name);
    facts->name[sizeof facts->name - 1] = '\0';
    if (task) {
        note_thread(facts, task);
    }
    facts->thread_count = task ? facts->thread_count : 1; /* as Linux counts a zombie */
}

int64_t subject_look(const struct subject *subject, struct subject_facts *facts)
{
    struct look look = {.subject = subject, .facts = facts};
    return subject_with(subject, note, &look);
}

int64_t subject_may_be_inspected(const struct subject_facts *facts, enum inspector inspector)
{
    const struct credentials *own = credentials(), *other = &facts->credentials;
    bool by_files = inspector == INSPECTS_FILES;
    uint32_t user = by_files ? own->user.file_system : own->user.real, group = by_files ? own->group.file_system : own->group.real;
    if (facts->is_own || is_capable(CAP_SYS_PTRACE)) {
        return 0;
    }
    bool is_same = credentials_are_all(&other->user, user) && credentials_are_all(&other->group, group);
    uint64_t capabilities = by_files ? own->effective : own->permitted; /* cap_ptrace_access_check() */
    bool is_stronger = (other->permitted & ~capabilities) == 0;
    return is_same && facts->is_dumpable && is_stronger ? 0 : -EPERM;
}

struct visit {
    struct space *space; /* NULL: it has none */
    bool is_loading;
};

static void note_space(struct process *process, struct task *task, void *context)
{
    *(struct visit *)context = (struct visit){
        .space = task && task->space != &libos_space ? task->space : NULL,
        .is_loading = __atomic_load_n(&process->is_loading, __ATOMIC_SEQ_CST),
    };
}

static struct visit look_at_space(const struct subject *subject)
{
    struct visit visit = {0};
    (void)subject_with(subject, note_space, &visit);
    return visit;
}

int64_t subject_visit(const struct subject *subject, struct subject_facts *facts)
{
    struct space *own = current_space();
    while (!task_must_end()) {
        struct visit visit = look_at_space(subject);
        if (!visit.space) {
            return -ESRCH;
        }
        if (!visit.is_loading && !space_visit(visit.space)) {
            /* spaces are recycled, and programs replaced: it is the right one if the subject still has it */
            bool is_right = !subject_look(subject, facts);
            visit = look_at_space(subject);
            if (is_right && !visit.is_loading && visit.space == current_space()) {
                return 0;
            }
            space_end_visit(own);
        }
        space_go_away(); /* the program that is being loaded may wait for its turn */
        host_yield();
    }
    return -ESRCH;
}

void subject_count_memory(const struct subject *subject, struct space_counts *counts)
{
    struct space *space = look_at_space(subject).space;
    if (space) {
        memory_count_space(space, counts);
    }
    if (!space || look_at_space(subject).space != space) { /* spaces are recycled */
        *counts = (struct space_counts){0};
    }
}

struct transfers {
    const struct process *process;
    struct io_counts counts;
};

static bool add_transfers(struct task *task, void *context)
{
    struct transfers *transfers = context;
    if (task->process == transfers->process && !task->use_is_of_process) {
        transfers->counts = io_counts_sum(transfers->counts, task->io);
    }
    return true;
}

static void note_transfers(struct process *process, struct task *task, void *context)
{
    struct transfers *transfers = context;
    transfers->process = process;
    transfers->counts = process->io;
    task_each_listed(add_transfers, transfers);
    (void)task;
}

static void note_transfers_of_thread(struct process *process, struct task *task, void *context)
{
    struct transfers *transfers = context;
    (void)process;
    transfers->counts = task->io;
}

int64_t subject_transfers(const struct subject *subject, struct io_counts *counts)
{
    struct transfers transfers = {0};
    int64_t result = subject_with(subject, subject->thread_serial ? note_transfers_of_thread : note_transfers, &transfers);
    *counts = transfers.counts;
    return result;
}

struct clocks {
    uint64_t serial; /* of the one thread, or 0 */
    bool has_caller; /* of whom the clock is at hand */
    struct process *process;
    struct subject_use use;
    size_t count;
    struct {
        uint32_t host_index;
        uint64_t system;
    } at[THREADS_COUNTED];
};

static bool note_clock(struct task *task, void *context)
{
    struct clocks *clocks = context;
    const struct thread *thread = __atomic_load_n(&task->sleeper.thread, __ATOMIC_SEQ_CST);
    bool is_meant = clocks->serial ? task->serial == clocks->serial : task->process == clocks->process;
    if (is_meant && task == current_task()) {
        clocks->has_caller = !task->use_is_of_process;
    } else if (is_meant && thread && !task->use_is_of_process) {
        clocks->at[clocks->count].host_index = thread->host_index;
        clocks->at[clocks->count++].system = task->use.system;
    }
    return clocks->count < THREADS_COUNTED;
}

static void note_clocks(struct process *process, struct task *task, void *context)
{
    (void)task;
    struct clocks *clocks = context;
    clocks->process = process;
    if (!clocks->serial) {
        clocks->use.own = process->use;
    }
    clocks->use.children = process->children_use;
    task_each_listed(note_clock, clocks);
}

int64_t subject_usage(const struct subject *subject, struct subject_use *use)
{
    struct clocks *clocks = allocate(sizeof *clocks);
    if (!clocks) {
        return -ENOMEM;
    }
    clocks->serial = subject->thread_serial;
    int64_t error = subject_with(subject, note_clocks, clocks);
    for (size_t at = 0; at < clocks->count; at++) {
        uint64_t all = host_thread_clock(clocks->at[at].host_index), system = clocks->at[at].system;
        system = system < all ? system : all;
        clocks->use.own = cpu_use_sum(clocks->use.own, (struct cpu_use){all - system, system});
    }
    if (clocks->has_caller) {
        clocks->use.own = cpu_use_sum(clocks->use.own, usage_of_thread());
    }
    *use = clocks->use;
    release(clocks, sizeof *clocks);
    return error;
}
