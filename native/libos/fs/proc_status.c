/* What tools like ps(1) and top(1) count processes and threads by: /proc/PID/stat, statm, status (proc(5)). */
#include "fs/proc_content.h"

#include "fs/descriptor.h"
#include "fs/path.h"
#include "fs/terminal.h"
#include "signal/signal.h"

/* proc_pid_schedstat() of Linux: time on a processor, time waited for one, and how often; the host does not tell the latter. */
int64_t proc_schedule_statistics(struct text *text, const struct proc_entry *entry)
{
    struct subject_use use;
    int64_t result = subject_usage(&entry->subject, &use);
    if (result == 0) {
        text_add(text, "%lu 0 0\n", use.own.user + use.own.system);
    }
    return result;
}

int64_t proc_io(struct text *text, const struct proc_entry *entry)
{
    struct io_counts counts;
    int64_t result = subject_transfers(&entry->subject, &counts);
    if (result == 0) {
        text_add(text, "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
            counts.read_bytes, counts.written_bytes, counts.reads, counts.writes);
    }
    return result;
}

/* Of others it wants PTRACE_MODE_ATTACH. */
int64_t proc_system_call(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0 && (!facts.is_own || facts.state == 'S')) {
        return -EPERM;
    }
    text_add(text, "running\n");
    return result;
}

struct handling {
    uint64_t ignored, caught;
};

static void look_at_handling(struct process *process, struct task *task, void *context)
{
    (void)task;
    struct handling *handling = context;
    signal_handling(process, &handling->ignored, &handling->caught);
}

static struct handling handling_of(const struct subject *subject)
{
    struct handling handling = {0};
    (void)subject_with(subject, look_at_handling, &handling);
    return handling;
}

static const char *word_for(char state)
{
    switch (state) {
    case 'R':
        return "R (running)";
    case 'S':
        return "S (sleeping)";
    case 'T':
        return "T (stopped)";
    default:
        return "Z (zombie)";
    }
}

static void add_ids(struct text *text, const char *name, const struct ids *ids)
{
    text_add(text, "%s:\t%u\t%u\t%u\t%u\n", name, ids->real, ids->effective, ids->saved, ids->file_system);
}

static void add_who(struct text *text, const struct subject_facts *facts, uint64_t descriptors)
{
    const struct credentials *who = &facts->credentials;
    add_ids(text, "Uid", &who->user);
    add_ids(text, "Gid", &who->group);
    text_add(text, "FDSize:\t%lu\nGroups:\t", descriptors);
    for (uint32_t at = 0; at < who->group_count; at++) {
        text_add(text, at > 0 ? " %u" : "%u", who->groups[at]);
    }
    text_add(text, " \nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", facts->process, facts->id, facts->group, facts->session);
}

static void add_memory(struct text *text, const struct subject *subject)
{
    struct space_counts counts;
    subject_count_memory(subject, &counts);
    uint64_t peak = subject->process == &first_process && pages_peak() > counts.resident ? pages_peak() : counts.resident;
    const struct {
        const char *name;
        uint64_t pages;
    } lines[] = {
        {"VmPeak:", counts.mapped},
        {"VmSize:", counts.mapped},
        {"VmLck:", counts.locked},
        {"VmPin:", 0},
        {"VmHWM:", peak},
        {"VmRSS:", counts.resident},
        {"RssAnon:", counts.resident - counts.resident_of_files - counts.resident_shared},
        {"RssFile:", counts.resident_of_files},
        {"RssShmem:", counts.resident_shared},
        {"VmData:", counts.data},
        {"VmStk:", counts.stack},
        {"VmExe:", counts.text},
        {"VmLib:", 0},
        {"VmSwap:", 0},
    };
    for (size_t at = 0; at < ARRAY_LENGTH(lines); at++) {
        text_add(text, "%s\t%8llu kB\n", lines[at].name, lines[at].pages * KIB_PER_PAGE);
    }
}

static void add_signals(struct text *text, const struct subject *subject, const struct subject_facts *facts)
{
    struct handling handling = handling_of(subject);
    const uint64_t sets[] = {facts->pending, facts->process_pending, facts->blocked, handling.ignored, handling.caught};
    const char *const names[] = {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"};
    text_add(text, "Threads:\t%u\nSigQ:\t%lu/%lu\n", facts->thread_count, signals_queued(), resource_limit(RLIMIT_SIGPENDING));
    for (size_t at = 0; at < ARRAY_LENGTH(sets); at++) {
        text_add(text, "%s:\t%016lx\n", names[at], sets[at]);
    }
}

static void note_mask(struct process *process, struct task *task, void *context)
{
    (void)process;
    if (task && task->files.whereabouts) {
        *(int32_t *)context = (int32_t)task->files.whereabouts->mode_mask;
    }
}

int64_t proc_status(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result < 0) {
        return result;
    }
    int32_t mask = -1;
    namespace_lock();
    (void)subject_with(&entry->subject, note_mask, &mask);
    namespace_unlock();
    text_add(text, "Name:\t%s\n", facts.name);
    if (mask >= 0) {
        text_add(text, "Umask:\t%04o\n", (uint32_t)mask);
    }
    text_add(text, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", word_for(facts.state), facts.process,
        facts.id, facts.parent);
    add_who(text, &facts, descriptor_capacity_of(&entry->subject));
    if (!facts.has_ended) {
        add_memory(text, &entry->subject);
    }
    add_signals(text, &entry->subject, &facts);
    const struct credentials *who = &facts.credentials;
    const uint64_t sets[] = {who->inheritable, who->permitted, who->effective, who->bounding, who->ambient};
    const char *const names[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    for (size_t at = 0; at < ARRAY_LENGTH(sets); at++) {
        text_add(text, "%s:\t%016lx\n", names[at], sets[at]);
    }
    text_add(text, "NoNewPrivs:\t%u\nSeccomp:\t0\nSeccomp_filters:\t0\nCpus_allowed:\t%lx\nCpus_allowed_list:\t", who->no_new_privileges,
        facts.processors);
    proc_add_processors(text, facts.processors);
    text_add(text, "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
    return 0;
}

#define ALL_OF_MEMORY UINT64_MAX /* the limit of the resident set */
#define SIGNALS_OF_STAT 0x7FFFFFFFUL /* those that are not real-time */
#define PRIORITY_ZERO 20         /* of a nice value of 0 */

/* do_task_stat() of Linux: 52 fields; addresses are for those who may inspect the process, and those that mean nothing here are 0. */
int64_t proc_process_stat(struct text *text, const struct proc_entry *entry)
{
    const struct subject *subject = &entry->subject;
    struct subject_facts facts;
    int64_t result = subject_look(subject, &facts);
    if (result < 0) {
        return result;
    }
    struct space_counts counts = {0};
    struct subject_use use = {0};
    struct handling handling = handling_of(subject);
    struct terminal terminal = terminal_of_session(facts.session);
    bool may = subject_may_be_inspected(&facts, INSPECTS_FILES) == 0 && !facts.has_ended;
    if (!facts.has_ended) {
        subject_count_memory(subject, &counts);
    }
    (void)subject_usage(subject, &use);
    text_add(text, "%d (%s) %c %d %d %d %d %d 0 0 0 0 0 %lu %lu %lu %lu %d %d %u 0 %lu %llu %lu %lu", facts.id, facts.name, facts.state,
        facts.parent, facts.group, facts.session, (int)terminal.device, terminal.group, ticks(use.own.user), ticks(use.own.system),
        ticks(use.children.user), ticks(use.children.system), PRIORITY_ZERO + facts.nice, facts.nice, facts.thread_count,
        ticks(facts.start_time_ns), counts.mapped * PAGE_SIZE, counts.resident, ALL_OF_MEMORY);
    text_add(text, " %d %d 0 0 0 %lu %lu %lu %lu %d 0 0 %u %u 0 %u 0 0 0 0 0 0 %lu %lu %lu %lu %u\n", !may && !facts.has_ended,
        !may && !facts.has_ended, facts.pending & SIGNALS_OF_STAT,
        facts.blocked & SIGNALS_OF_STAT, handling.ignored & SIGNALS_OF_STAT, handling.caught & SIGNALS_OF_STAT,
        may && facts.state == 'S', facts.exit_signal, facts.processor, facts.policy, may ? facts.arguments_start : 0,
        may ? facts.arguments_end : 0, may ? facts.environment_start : 0, may ? facts.environment_end : 0, facts.has_ended ? facts.wait_status : 0);
    return 0;
}

int64_t proc_statm(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    struct space_counts counts = {0};
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0 && !facts.has_ended) {
        subject_count_memory(&entry->subject, &counts);
    }
    if (result == 0) {
        text_add(text, "%lu %lu %lu %lu 0 %lu 0\n", counts.mapped, counts.resident, counts.resident_of_files + counts.resident_shared,
            counts.text, counts.data + counts.stack);
    }
    return result;
}
