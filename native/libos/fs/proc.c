#include "fs/proc.h"

#include "process/process.h"
#include "memory/memory.h"
#include "fs/buffer.h"
#include "fs/path.h"
#include "fs/synthetic.h"
#include "fs/tree.h"

static const struct file_system proc_file_system = {.type = "proc",
    .magic = 0x9FA0,
    .device = 0x33,
    .read_only = true,
    .forbids_exec = true,
    .has_no_blocks = true};
static const struct file_system sys_file_system = {.type = "sysfs",
    .magic = 0x62656572,
    .device = 0x34,
    .read_only = true,
    .forbids_exec = true,
    .has_no_blocks = true};

#define KIB_PER_PAGE (PAGE_SIZE / 1024)

/* /proc/meminfo and the like speak of the enclave's measured memory, never of the host. */
static void meminfo(struct text *text)
{
    struct memory_counts counts;
    memory_count(&counts);
    uint64_t total = counts.limit * KIB_PER_PAGE;
    uint64_t free = (counts.limit - counts.committed) * KIB_PER_PAGE;
    const struct {
        const char *name;
        uint64_t kib;
    } lines[] = {
        {"MemTotal:", total},
        {"MemFree:", free},
        {"MemAvailable:", free},
        {"Buffers:", 0},
        {"Cached:", 0},
        {"SwapCached:", 0},
        {"Active:", total - free},
        {"Inactive:", 0},
        {"SwapTotal:", 0},
        {"SwapFree:", 0},
        {"Dirty:", 0},
        {"Shmem:", 0},
        {"Slab:", 0},
        {"CommitLimit:", total},
        {"Committed_AS:", total - free},
    };
    for (size_t at = 0; at < ARRAY_LENGTH(lines); at++) {
        size_t length = strlen(lines[at].name);
        text_add(text, "%s%.*s %8llu kB\n", lines[at].name, (int)(length < 16 ? 16 - length : 0),
            "                ", (unsigned long long)lines[at].kib);
    }
}

static void cpuinfo(struct text *text)
{
    for (uint32_t at = 0; at < processor_count(); at++) {
        text_add(text,
            "processor\t: %u\nvendor_id\t: GenuineIntel\nmodel name\t: SGX enclave\ncpu MHz\t\t: 0.000\n",
            at);
        text_add(text, "siblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n", processor_count(), at,
            processor_count());
        text_add(text, "flags\t\t: fpu tsc cx8 cmov fxsr sse sse2 syscall nx lm\n\n");
    }
}

static uint64_t ticks(uint64_t ns)
{
    return ns / 10000000; /* USER_HZ is 100 */
}

static void stat(struct text *text)
{
    uint64_t used = ticks(clock_now_ns(CLOCK_PROCESS_CPUTIME_ID));
    uint64_t booted = (clock_now_ns(CLOCK_REALTIME) - clock_now_ns(CLOCK_BOOTTIME)) / NS_PER_SECOND;
    text_add(text, "cpu  %llu 0 0 0 0 0 0 0 0 0\n", (unsigned long long)used);
    for (uint32_t at = 0; at < processor_count(); at++) {
        text_add(text, "cpu%u %llu 0 0 0 0 0 0 0 0 0\n", at, (unsigned long long)(at == 0 ? used : 0));
    }
    text_add(text, "intr 0\nctxt 0\nbtime %llu\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n",
        (unsigned long long)booted);
}

static void uptime(struct text *text)
{
    uint64_t hundredths = ticks(clock_now_ns(CLOCK_BOOTTIME));
    text_add(text, "%llu.%02llu 0.00\n", (unsigned long long)(hundredths / 100),
        (unsigned long long)(hundredths % 100));
}

static void version(struct text *text)
{
    text_add(text, "Linux version %s (enclavize) %s\n", KERNEL_RELEASE, KERNEL_VERSION);
}

/* A line of /proc/mounts or mountinfo about the file system at `path`; `number` counts from 0. */
typedef void mount_line(
    struct text *text, uint32_t number, const char *path, const struct file_system *file_system);

static void each_mount(struct text *text, mount_line *line)
{
    for (uint32_t at = 0; mount_at(at) != NULL; at++) {
        const struct inode *root = mount_at(at);
        char *path = buffer_take(&path_buffers);
        size_t start = 0;
        if (path == NULL) {
            text->failed = true;
            return;
        }
        namespace_lock();
        bool known = is_directory(root) && path_of((struct inode *)(uintptr_t)root, (struct name){0}, path,
                                               PATH_BUFFER_SIZE, &start) > 0;
        namespace_unlock();
        if (known) {
            line(text, at, path + start, root->file_system);
        }
        buffer_give(&path_buffers, path);
    }
}

static void mounts_line(
    struct text *text, uint32_t number, const char *path, const struct file_system *file_system)
{
    (void)number;
    text_add(text, "%s %s %s %s%s 0 0\n", file_system->type, path, file_system->type,
        file_system->read_only ? "ro" : "rw", file_system->forbids_exec ? ",noexec" : "");
}

static void mounts(struct text *text)
{
    text_add(text, "overlay / overlay rw 0 0\n");
    each_mount(text, mounts_line);
}

static void mountinfo_line(
    struct text *text, uint32_t number, const char *path, const struct file_system *file_system)
{
    const char *rights = file_system->read_only ? "ro" : "rw";
    text_add(text, "%u 1 0:%u / %s %s - %s %s %s\n", number + 2, file_system->device, path, rights,
        file_system->type, file_system->type, rights);
}

static void mountinfo(struct text *text)
{
    text_add(text, "1 0 0:48 / / rw - overlay overlay rw\n");
    each_mount(text, mountinfo_line);
}

/* A range of application memory, as far as it can be read. */
static void add_user_memory(struct text *text, user_address start, user_address end)
{
    size_t length = end > start && end - start < (1U << 22) ? (size_t)(end - start) : 0;
    char *to = length > 0 ? text_reserve(text, length) : NULL;
    if (to != NULL && copy_from_user(to, start, length) == 0) {
        text->used += length;
    }
}

static void cmdline(struct text *text)
{
    add_user_memory(text, process.arguments_start, process.arguments_end);
}

static void environ(struct text *text)
{
    add_user_memory(text, process.environment_start, process.environment_end);
}

static void comm(struct text *text)
{
    text_add(text, "%s\n", process.name);
}

static bool add_area(const struct area *area, void *context)
{
    struct text *text = context;
    struct file_facts facts = {0};
    char *path = buffer_take(&path_buffers);
    if (path == NULL) {
        return false;
    }
    path[0] = '\0';
    if (area->file != NULL) {
        file_describe(area->file, &facts);
        if (file_path(area->file, path, PATH_BUFFER_SIZE) < 0) {
            path[0] = '\0';
        }
    }
    text_add(text, "%08llx-%08llx %c%c%c%c %08llx 00:%02llx %llu", (unsigned long long)area->start,
        (unsigned long long)area->end, (area->protection & PROT_READ) ? 'r' : '-',
        (area->protection & PROT_WRITE) ? 'w' : '-', (area->protection & PROT_EXEC) ? 'x' : '-',
        (area->flags & MAP_TYPE) == MAP_SHARED ? 's' : 'p', (unsigned long long)area->offset,
        (unsigned long long)facts.device, (unsigned long long)facts.inode);
    if (path[0] != '\0') {
        text_add(text, "%s", "          ");
        text_add_bytes(text, path, strlen(path));
    }
    text_add(text, "\n");
    buffer_give(&path_buffers, path);
    return !text->failed;
}

static void maps(struct text *text)
{
    memory_each(add_area, text);
}

static size_t thread_count(void)
{
    int32_t none;
    return task_ids(&none, 0);
}

static void add_ids(struct text *text, const char *name, const struct ids *ids)
{
    text_add(text, "%s:\t%u\t%u\t%u\t%u\n", name, ids->real, ids->effective, ids->saved, ids->file_system);
}

static void status(struct text *text)
{
    struct memory_counts counts;
    memory_count(&counts);
    text_add(text,
        "Name:\t%s\nUmask:\t0022\nState:\tR "
        "(running)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n",
        process.name);
    const struct credentials *who = credentials();
    add_ids(text, "Uid", &who->user);
    add_ids(text, "Gid", &who->group);
    text_add(text, "FDSize:\t64\nGroups:\t");
    for (uint32_t at = 0; at < who->group_count; at++) {
        text_add(text, "%u ", who->groups[at]);
    }
    text_add(text, "\nVmSize:\t%8llu kB\nVmRSS:\t%8llu kB\nThreads:\t%u\n",
        (unsigned long long)(counts.mapped * KIB_PER_PAGE),
        (unsigned long long)(counts.committed * KIB_PER_PAGE), (unsigned)thread_count());
    const uint64_t sets[] = {who->inheritable, who->permitted, who->effective, who->bounding, who->ambient};
    const char *const names[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    for (size_t at = 0; at < ARRAY_LENGTH(sets); at++) {
        text_add(text, "%s:\t%016lx\n", names[at], sets[at]);
    }
    text_add(text, "NoNewPrivs:\t1\nSeccomp:\t0\n");
    text_add(text, "Cpus_allowed_list:\t0-%u\n", processor_count() - 1);
}

/* proc(5): 52 fields; those that mean nothing here are 0. */
static void process_stat(struct text *text)
{
    struct memory_counts counts;
    memory_count(&counts);
    text_add(text, "1 (%s) R 0 1 1 0 -1 0 0 0 0 0 %llu 0 0 0 20 0 %u 0 %llu %llu %llu 18446744073709551615",
        process.name, (unsigned long long)ticks(clock_now_ns(CLOCK_PROCESS_CPUTIME_ID)),
        (unsigned)thread_count(), (unsigned long long)ticks(process.start_time_ns),
        (unsigned long long)(counts.mapped * PAGE_SIZE), (unsigned long long)counts.committed);
    text_add(text, " 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 %llu %llu %llu %llu 0\n",
        (unsigned long long)process.arguments_start, (unsigned long long)process.arguments_end,
        (unsigned long long)process.environment_start, (unsigned long long)process.environment_end);
}

static void statm(struct text *text)
{
    struct memory_counts counts;
    memory_count(&counts);
    text_add(text, "%llu %llu 0 0 0 %llu 0\n", (unsigned long long)counts.mapped,
        (unsigned long long)counts.committed, (unsigned long long)counts.mapped);
}

static void limits(struct text *text)
{
    text_add(text, "Limit                     Soft Limit           Hard Limit           Units     \n");
    text_add(text, "Max open files            %llu %llu files\n", (unsigned long long)DESCRIPTORS_MAX,
        (unsigned long long)DESCRIPTORS_MAX);
}

static void add_uuid(struct text *text, const uint8_t bytes[16])
{
    for (uint32_t at = 0; at < 16; at++) {
        text_add(text, "%s%02x", at == 4 || at == 6 || at == 8 || at == 10 ? "-" : "", bytes[at]);
    }
    text_add(text, "\n");
}

static void make_uuid(uint8_t bytes[16])
{
    random_bytes(bytes, 16);
    bytes[6] = (bytes[6] & 0x0F) | 0x40; /* RFC 4122: version 4 */
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
}

static void uuid(struct text *text)
{
    uint8_t bytes[16];
    make_uuid(bytes);
    add_uuid(text, bytes);
}

static void boot_id(struct text *text)
{
    static uint8_t bytes[16];
    namespace_lock();
    if (bytes[6] == 0) {
        make_uuid(bytes);
    }
    namespace_unlock();
    add_uuid(text, bytes);
}

static void hostname(struct text *text)
{
    if (configuration.hostname.size > 0) {
        text_add(text, "%.*s\n", (int)configuration.hostname.size, configuration.hostname.start);
    } else {
        text_add(text, "localhost\n");
    }
}

static void threads_max(struct text *text)
{
    text_add(text, "%u\n", configuration.threads);
}

static int64_t executable_target(char *to, size_t size)
{
    return executable_file != NULL ? file_path_locked(executable_file, to, size) : -ENOENT;
}

static int64_t executable_jump(struct inode **target)
{
    if (executable_file == NULL) {
        return -ENOENT;
    }
    *target = inode_get(executable_file->inode);
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

static int64_t working_directory_target(char *to, size_t size)
{
    return directory_target(working_directory, to, size);
}

static int64_t working_directory_jump(struct inode **target)
{
    *target = inode_get(working_directory);
    return 0;
}

static int64_t thread_self(char *to, size_t size)
{
    return (int64_t)format_text(to, size, "1/task/%d", task_id(current_task()));
}

/* A decimal number without leading zeros, or -1. */
static int64_t number_of(struct name name)
{
    int64_t number = 0;
    for (size_t at = 0; at < name.length; at++) {
        if (name.bytes[at] < '0' || name.bytes[at] > '9' || name.length > 9 ||
            (at == 0 && name.bytes[0] == '0' && name.length > 1)) {
            return -1;
        }
        number = number * 10 + (name.bytes[at] - '0');
    }
    return name.length > 0 ? number : -1;
}

static struct name name_of_number(char buffer[16], int64_t number)
{
    size_t length = format_text(buffer, 16, "%d", (int)number);
    return (struct name){.bytes = buffer, .length = length};
}

/* /proc/self/fd/N: a magic link to whatever is open there. */
struct descriptor_link {
    struct inode inode;
    int descriptor;
};

static int descriptor_of(struct inode *link)
{
    return CONTAINER_OF(link, struct descriptor_link, inode)->descriptor;
}

static int64_t descriptor_target(struct inode *link, char *to, size_t size)
{
    struct file *file = file_of_descriptor(descriptor_of(link));
    if (file == NULL) {
        return -ENOENT;
    }
    int64_t result = file_path_locked(file, to, size);
    file_put(file);
    return result;
}

static int64_t descriptor_jump(struct inode *link, struct inode **target)
{
    struct file *file = file_of_descriptor(descriptor_of(link));
    if (file == NULL) {
        return -ENOENT;
    }
    *target = inode_get(file->inode);
    file_put(file);
    return 0;
}

static void descriptor_link_unused(struct inode *inode)
{
    release(CONTAINER_OF(inode, struct descriptor_link, inode), sizeof(struct descriptor_link));
}

static const struct inode_operations descriptor_operations = {
    .read_link = descriptor_target,
    .jump = descriptor_jump,
    .unused = descriptor_link_unused,
};

static int64_t descriptor_lookup(struct name name, struct inode **found)
{
    int64_t descriptor = number_of(name);
    if (descriptor < 0 || descriptor_flags(descriptor) < 0) {
        return -ENOENT;
    }
    int64_t result = synthetic_create_inode(
        &proc_file_system, &descriptor_operations, S_IFLNK | 0700, sizeof(struct descriptor_link), found);
    if (result == 0) {
        CONTAINER_OF(*found, struct descriptor_link, inode)->descriptor = (int)descriptor;
        (*found)->size = 64;
    }
    return result;
}

static int64_t descriptor_list(uint64_t cookie, entry_sink *sink, void *context)
{
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    char text[16];
    for (int64_t at = descriptor_next((int64_t)(cookie - base)); at >= 0; at = descriptor_next(at + 1)) {
        if (!sink(context, name_of_number(text, at), base + (uint64_t)at + 1, S_IFLNK,
                base + (uint64_t)at + 1)) {
            break;
        }
    }
    return 0;
}

/* /proc/self/task/TID: all threads look alike. */
static struct inode *task_directory;

static int64_t task_lookup(struct name name, struct inode **found)
{
    int32_t ids[256];
    size_t count = task_ids(ids, ARRAY_LENGTH(ids));
    int64_t wanted = number_of(name);
    for (size_t at = 0; at < count && at < ARRAY_LENGTH(ids); at++) {
        if (ids[at] == wanted) {
            *found = inode_get(task_directory);
            return 0;
        }
    }
    return -ENOENT;
}

static int64_t task_list(uint64_t cookie, entry_sink *sink, void *context)
{
    int32_t ids[256];
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    size_t count = task_ids(ids, ARRAY_LENGTH(ids));
    char text[16];
    for (size_t at = (size_t)(cookie - base); at < count && at < ARRAY_LENGTH(ids); at++) {
        if (!sink(context, name_of_number(text, ids[at]), task_directory->number, S_IFDIR, base + at + 1)) {
            break;
        }
    }
    return 0;
}

#define DIRECTORY (S_IFDIR | 0555)
#define DIRECTORY_AT(name) {.path = (name), .mode = DIRECTORY}
#define FILE_0444 (S_IFREG | 0444)
#define FILE_0400 (S_IFREG | 0400)
#define FILE_0644 (S_IFREG | 0644)
#define LINK (S_IFLNK | 0777)

static const struct synthetic_row proc_rows[] = {
    DIRECTORY_AT(""),
    {"self", LINK, .fixed = "1"},
    {"thread-self", LINK, .target = thread_self},
    {"mounts", LINK, .fixed = "self/mounts"},
    {"cpuinfo", FILE_0444, .content = cpuinfo},
    {"filesystems", FILE_0444, .fixed = "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\toverlay\n"},
    {"loadavg", FILE_0444, .fixed = "0.00 0.00 0.00 1/1 1\n"},
    {"meminfo", FILE_0444, .content = meminfo},
    {"stat", FILE_0444, .content = stat},
    {"uptime", FILE_0444, .content = uptime},
    {"version", FILE_0444, .content = version},
    DIRECTORY_AT("sys"),
    DIRECTORY_AT("sys/kernel"),
    {"sys/kernel/cap_last_cap", FILE_0444, .fixed = "40\n"},
    {"sys/kernel/hostname", FILE_0444, .content = hostname},
    {"sys/kernel/osrelease", FILE_0444, .fixed = KERNEL_RELEASE "\n"},
    {"sys/kernel/ostype", FILE_0444, .fixed = "Linux\n"},
    {"sys/kernel/pid_max", FILE_0444, .fixed = "32768\n"},
    {"sys/kernel/threads-max", FILE_0444, .content = threads_max},
    DIRECTORY_AT("sys/kernel/random"),
    {"sys/kernel/random/boot_id", FILE_0444, .content = boot_id},
    {"sys/kernel/random/uuid", FILE_0444, .content = uuid},
    DIRECTORY_AT("sys/net"),
    DIRECTORY_AT("sys/net/core"),
    {"sys/net/core/somaxconn", FILE_0444, .fixed = "4096\n"},
    DIRECTORY_AT("sys/vm"),
    {"sys/vm/max_map_count", FILE_0444, .fixed = "65530\n"},
    {"sys/vm/overcommit_memory", FILE_0444, .fixed = "0\n"},
    {"1", DIRECTORY, .has_owner = true},
    {"1/cgroup", FILE_0444, .fixed = "0::/\n", .has_owner = true},
    {"1/cmdline", FILE_0444, .content = cmdline, .has_owner = true},
    {"1/comm", FILE_0644, .content = comm, .has_owner = true},
    {"1/cwd", LINK, .target = working_directory_target, .jump = working_directory_jump, .has_owner = true},
    {"1/environ", FILE_0400, .content = environ, .has_owner = true},
    {"1/exe", LINK, .target = executable_target, .jump = executable_jump, .has_owner = true},
    {"1/fd", S_IFDIR | 0500, .lookup = descriptor_lookup, .list = descriptor_list, .has_owner = true},
    {"1/limits", FILE_0444, .content = limits, .has_owner = true},
    {"1/maps", FILE_0444, .content = maps, .has_owner = true},
    {"1/mountinfo", FILE_0444, .content = mountinfo, .has_owner = true},
    {"1/mounts", FILE_0444, .content = mounts, .has_owner = true},
    {"1/oom_score_adj", FILE_0644, .fixed = "0\n", .has_owner = true},
    {"1/root", LINK, .fixed = "/", .has_owner = true},
    {"1/stat", FILE_0444, .content = process_stat, .has_owner = true},
    {"1/statm", FILE_0444, .content = statm, .has_owner = true},
    {"1/status", FILE_0444, .content = status, .has_owner = true},
    {"1/task", DIRECTORY, .lookup = task_lookup, .list = task_list, .has_owner = true},
};

static const struct synthetic_row task_rows[] = {
    {"", DIRECTORY, .has_owner = true},
    {"comm", FILE_0644, .content = comm, .has_owner = true},
    {"stat", FILE_0444, .content = process_stat, .has_owner = true},
    {"status", FILE_0444, .content = status, .has_owner = true},
    {"maps", FILE_0444, .content = maps, .has_owner = true},
};

int64_t proc_create(struct inode **root)
{
    int64_t result = synthetic_create(&proc_file_system, task_rows, ARRAY_LENGTH(task_rows), &task_directory);
    return result < 0 ? result
                      : synthetic_create(&proc_file_system, proc_rows, ARRAY_LENGTH(proc_rows), root);
}

static void processor_list(struct text *text)
{
    if (processor_count() > 1) {
        text_add(text, "0-%u\n", processor_count() - 1);
    } else {
        text_add(text, "0\n");
    }
}

static const struct synthetic_row sys_rows[] = {
    DIRECTORY_AT(""),
    DIRECTORY_AT("devices"),
    DIRECTORY_AT("devices/system"),
    DIRECTORY_AT("devices/system/cpu"),
    {"devices/system/cpu/online", FILE_0444, .content = processor_list},
    {"devices/system/cpu/possible", FILE_0444, .content = processor_list},
    {"devices/system/cpu/present", FILE_0444, .content = processor_list},
    DIRECTORY_AT("fs"),
    DIRECTORY_AT("fs/cgroup"),
    DIRECTORY_AT("kernel"),
};

int64_t sys_create(struct inode **root)
{
    return synthetic_create(&sys_file_system, sys_rows, ARRAY_LENGTH(sys_rows), root);
}
