/* What /proc says of processes and their threads, and where it finds them; proc_status.c has what they are counted by. */
#include "fs/proc_content.h"

#include "fs/open_name.h"
#include "fs/path.h"

#define USER_MEMORY_MAX (1U << 22)

/* A range of the memory that the calling thread is in, as far as it can be read. */
static void add_user_memory(struct text *text, user_address start, user_address end)
{
    size_t length = end > start && end - start < USER_MEMORY_MAX ? (size_t)(end - start) : 0;
    char *to = length > 0 ? text_reserve(text, length) : NULL;
    text->used += to && copy_from_user(to, start, length) == 0 ? length : 0;
}

/* setproctitle(3): what a program wrote over its arguments, up to NUL, wherever they ended (get_mm_proctitle() of Linux). */
static void add_title(struct text *text, user_address start)
{
    char *to = text_reserve(text, PAGE_SIZE);
    size_t length = to ? copy_some_from_user(to, start, PAGE_SIZE) : 0;
    const char *end = length > 0 ? memchr(to, 0, length) : NULL;
    text->used += end ? (size_t)(end - to) + 1 : length;
}

static bool has_title(const struct subject_facts *facts)
{
    char last = 0; /* NUL ends the last argument */
    return facts->arguments_end > facts->arguments_start && copy_from_user(&last, facts->arguments_end - 1, 1) == 0 && last != 0;
}

/* Empty for zombies. */
int64_t proc_cmdline(struct text *text, const struct proc_entry *entry)
{
    struct space *own = current_space();
    struct subject_facts facts;
    if (subject_visit(&entry->subject, &facts) == 0) {
        if (has_title(&facts)) {
            add_title(text, facts.arguments_start);
        } else {
            add_user_memory(text, facts.arguments_start, facts.arguments_end);
        }
        space_end_visit(own);
        return 0;
    }
    return subject_look(&entry->subject, &facts);
}

int64_t proc_environ(struct text *text, const struct proc_entry *entry)
{
    struct space *own = current_space();
    struct subject_facts facts;
    if (subject_visit(&entry->subject, &facts) == 0) {
        add_user_memory(text, facts.environment_start, facts.environment_end);
        space_end_visit(own);
    }
    return 0;
}

static void add_auxiliary_vector(struct process *process, struct task *task, void *context)
{
    uint64_t (*vector)[2] = context;
    if (task) {
        memcpy(vector, process->auxiliary, sizeof process->auxiliary);
    }
}

int64_t proc_auxiliary_vector(struct text *text, const struct proc_entry *entry)
{
    uint64_t vector[AUXILIARY_MAX][2] = {0};
    size_t count = 0;
    (void)subject_with(&entry->subject, add_auxiliary_vector, vector);
    while (count < AUXILIARY_MAX - 1 && vector[count][0] != 0) {
        count++;
    }
    if (count > 0) {
        text_add_bytes(text, vector, (count + 1) * sizeof(vector[0])); /* with the last one, AT_NULL */
    }
    return 0;
}

int64_t proc_comm(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0) {
        text_add(text, "%s\n", facts.name);
    }
    return result;
}

struct renaming {
    const char *bytes;
    size_t length;
};

static void rename_task(struct process *process, struct task *task, void *context)
{
    const struct renaming *renaming = context;
    char name[sizeof process->name] = {0};
    memcpy(name, renaming->bytes, renaming->length < sizeof name - 1 ? renaming->length : sizeof name - 1);
    if (task) {
        memcpy(task->name, name, sizeof name);
    }
    if (!task || task->id == process->id) {
        memcpy(process->name, name, sizeof name);
    }
}

/* Threads may name each other; -EINVAL: another process's. */
int64_t proc_set_comm(const struct proc_entry *entry, const char *bytes, size_t length)
{
    struct renaming renaming = {bytes, length};
    return entry->subject.process != current_process() ? -EINVAL : subject_with(&entry->subject, rename_task, &renaming);
}

/* A decimal number with blanks around it, as kstrtoint() takes it after strstrip(). */
static bool number_of(const char *bytes, size_t length, int64_t *number)
{
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == ' ')) {
        length--;
    }
    while (length > 0 && *bytes == ' ') {
        bytes++, length--;
    }
    bool is_negative = length > 0 && *bytes == '-';
    int64_t value = proc_number_of((struct name){bytes + is_negative, length - is_negative});
    *number = is_negative ? -value : value;
    return value >= 0;
}

int64_t proc_personality(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0) {
        text_add(text, "%08x\n", facts.personality);
    }
    return result;
}

#define ADJUSTMENT_MAX 1000 /* OOM_SCORE_ADJ_MAX */
#define OLD_ADJUSTMENT_MAX 15
#define OLD_DISABLED (-17)

int64_t proc_oom_score_adj(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0) {
        text_add(text, "%d\n", facts.memory_pressure_adjustment);
    }
    return result;
}

/* oom_adj_read() of Linux. */
int64_t proc_oom_adj(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    int32_t score = facts.memory_pressure_adjustment;
    if (result == 0) {
        text_add(text, "%d\n", score == ADJUSTMENT_MAX ? OLD_ADJUSTMENT_MAX : score * -OLD_DISABLED / ADJUSTMENT_MAX);
    }
    return result;
}

/* Nobody is chosen here: memory ends for who asks for it. */
int64_t proc_oom_score(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0) {
        text_add(text, "0\n");
    }
    return result;
}

struct adjustment {
    int32_t wanted;
    int64_t result;
};

/* Less than it was wants CAP_SYS_RESOURCE, which nobody has. */
static void adjust(struct process *process, struct task *task, void *context)
{
    (void)task;
    struct adjustment *adjustment = context;
    if (adjustment->wanted < process->memory_pressure_adjustment) {
        adjustment->result = -EACCES;
    } else {
        process->memory_pressure_adjustment = adjustment->wanted;
    }
}

static int64_t set_adjustment(const struct proc_entry *entry, int64_t wanted)
{
    struct adjustment adjustment = {.wanted = (int32_t)wanted};
    int64_t result = subject_with(&entry->subject, adjust, &adjustment);
    return result < 0 ? result : adjustment.result;
}

int64_t proc_set_oom_score_adj(const struct proc_entry *entry, const char *bytes, size_t length)
{
    int64_t number;
    bool is_good = number_of(bytes, length, &number) && number >= -ADJUSTMENT_MAX && number <= ADJUSTMENT_MAX;
    return is_good ? set_adjustment(entry, number) : -EINVAL;
}

int64_t proc_set_oom_adj(const struct proc_entry *entry, const char *bytes, size_t length)
{
    int64_t number;
    bool is_good = number_of(bytes, length, &number) && number >= OLD_DISABLED && number <= OLD_ADJUSTMENT_MAX;
    int64_t score = number == OLD_ADJUSTMENT_MAX ? ADJUSTMENT_MAX : number * ADJUSTMENT_MAX / -OLD_DISABLED;
    return is_good ? set_adjustment(entry, score) : -EINVAL;
}

/* That of others wants CAP_SYS_NICE, which nobody has. */
int64_t proc_timer_slack(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    if (result == 0 && !facts.is_own) {
        return -EPERM;
    }
    if (result == 0) {
        text_add(text, "%lu\n", facts.timer_slack);
    }
    return result;
}

static void set_timer_slack(struct process *process, struct task *task, void *context)
{
    (void)process;
    if (task) {
        task->scheduling.timer_slack = *(const uint64_t *)context;
    }
}

int64_t proc_set_timer_slack(const struct proc_entry *entry, const char *bytes, size_t length)
{
    int64_t number;
    if (!number_of(bytes, length, &number) || number < 0) {
        return -EINVAL;
    }
    uint64_t slack = (uint64_t)number;
    return entry->subject.process != current_process() ? -EPERM : subject_with(&entry->subject, set_timer_slack, &slack);
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

static void copy_limits(struct process *process, struct task *task, void *context)
{
    (void)task;
    struct limit *limits = context;
    for (uint32_t at = 0; at < RLIMIT_COUNT; at++) {
        limits[at] = limit_of_process(process, (enum resource)at);
    }
}

int64_t proc_limits(struct text *text, const struct proc_entry *entry)
{
    struct limit limits[RLIMIT_COUNT];
    int64_t result = subject_with(&entry->subject, copy_limits, limits);
    if (result < 0) {
        return result;
    }
    text_add(text, "Limit                     Soft Limit           Hard Limit           Units     \n");
    for (size_t at = 0; at < ARRAY_LENGTH(limit_names); at++) {
        const struct limit *limit = &limits[limit_names[at].resource];
        text_add(text, "%s", limit_names[at].name);
        add_limit(text, limit->soft);
        add_limit(text, limit->hard);
        text_add(text, "%s\n", limit_names[at].unit);
    }
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

/* A thread that is not a first one is found, too, but not listed: proc(5). */
int64_t proc_process_lookup(struct inode *directory, struct name name, struct inode **found)
{
    struct subject subject;
    int64_t id = proc_number_of(name);
    if (id <= 0 || subject_of_id((int32_t)id, &subject) < 0) {
        return -ENOENT;
    }
    return proc_entry_create(&subject, &proc_process_table, proc_process_table.rows, -1, directory, name, found);
}

/* The lowest id above `above`. */
struct next_id {
    const struct process *process; /* threads: of this one */
    int32_t above, next;
    struct subject subject;
};

static void consider_id(struct next_id *next, int32_t id, const struct subject *subject)
{
    if (id > next->above && (next->next == 0 || id < next->next)) {
        next->next = id;
        next->subject = *subject;
    }
}

static bool consider_process(struct process *process, void *context)
{
    consider_id(context, process->id, &(struct subject){.process = process, .serial = process->serial});
    return true;
}

static bool consider_thread(struct task *task, void *context)
{
    consider_id(context, task->id, &(struct subject){.process = task->process, .serial = task->process->serial, .thread_serial = task->serial});
    return true;
}

int64_t proc_process_list(uint64_t cookie, entry_sink *sink, void *context)
{
    uint64_t base = cookie & ~(PROC_COOKIE_BASE - 1);
    char text[16];
    struct next_id next = {.above = (int32_t)(cookie - base)};
    for (;; next.above = next.next, next.next = 0) {
        process_each(consider_process, &next);
        if (next.next == 0) {
            return 0;
        }
        uint64_t number = proc_entry_number(&next.subject, &proc_process_table, proc_process_table.rows, -1);
        if (!sink(context, proc_name_of_number(text, next.next), number, S_IFDIR, base + (uint64_t)next.next)) {
            return 0;
        }
    }
}

/* A first thread that has ended is there as long as its process. */
static int64_t find_thread(const struct subject *process, int32_t id, struct subject *subject)
{
    int64_t result = subject_of_thread(process, id, subject);
    if (result < 0 && id == process->process->id) {
        *subject = *process;
        subject->thread_serial = 0;
        return 0;
    }
    return result;
}

int64_t proc_thread_lookup(struct proc_entry *entry, struct name name, struct inode **found)
{
    struct subject subject;
    int64_t id = proc_number_of(name);
    if (id <= 0 || find_thread(&entry->subject, (int32_t)id, &subject) < 0) {
        return -ENOENT;
    }
    return proc_entry_create(&subject, &proc_thread_table, proc_thread_table.rows, -1, &entry->inode, name, found);
}

int64_t proc_thread_list(const struct proc_entry *entry, uint64_t cookie, entry_sink *sink, void *context)
{
    char text[16];
    struct next_id next = {.above = (int32_t)(cookie - PROC_COOKIE_BASE)};
    struct subject first;
    for (;; next.above = next.next, next.next = 0) {
        process_each_task(entry->subject.process, consider_thread, &next);
        if (find_thread(&entry->subject, entry->subject.process->id, &first) == 0) {
            consider_id(&next, entry->subject.process->id, &first);
        }
        if (next.next == 0) {
            return 0;
        }
        uint64_t number = proc_entry_number(&next.subject, &proc_thread_table, proc_thread_table.rows, -1);
        if (!sink(context, proc_name_of_number(text, next.next), number, S_IFDIR, PROC_COOKIE_BASE + (uint64_t)next.next)) {
            return 0;
        }
    }
}

struct family {
    const struct process *parent;
    struct text *text;
    int32_t above, next;
};

static bool consider_child(struct process *process, void *context)
{
    struct family *family = context;
    if (process->parent == family->parent && process->id > family->above && (family->next == 0 || process->id < family->next)) {
        family->next = process->id;
    }
    return true;
}

/* Which thread made a child is not known: they are the first one's. */
int64_t proc_children(struct text *text, const struct proc_entry *entry)
{
    struct subject_facts facts;
    int64_t result = subject_look(&entry->subject, &facts);
    struct family family = {.parent = entry->subject.process, .text = text};
    for (; result == 0 && facts.id == facts.process; family.above = family.next, family.next = 0) {
        process_each(consider_child, &family);
        if (family.next == 0) {
            break;
        }
        text_add(text, "%d ", family.next);
    }
    return result;
}
