/* What /proc and /sys say of the machine: always the enclave, never the host. */
#include "fs/proc_content.h"

#include "fs/aio.h"
#include "fs/buffer.h"
#include "fs/path.h"
#include "fs/pty.h"
#include "memory/memory.h"
#include "process/process.h"

/* /proc/meminfo and the like speak of the enclave's measured memory, never of the host. */
void proc_meminfo(struct text *text)
{
    struct memory_counts counts;
    memory_count(current_space(), &counts);
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

/* What vmstat(8) looks for: nothing is paged or swapped here. */
void proc_vmstat(struct text *text)
{
    struct memory_counts counts;
    memory_count(current_space(), &counts);
    text_add(text, "nr_free_pages %lu\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\noom_kill 0\n",
        counts.limit - counts.committed);
}

void proc_uptime(struct text *text)
{
    uint64_t hundredths = ticks(clock_now_ns(CLOCK_BOOTTIME));
    text_add(text, "%llu.%02llu 0.00\n", (unsigned long long)(hundredths / 100),
        (unsigned long long)(hundredths % 100));
}

struct runnable {
    uint32_t running, threads;
};

static bool count_thread(struct task *task, void *context)
{
    struct runnable *runnable = context;
    runnable->threads++;
    runnable->running += !sleeper_can_be_interrupted(&task->sleeper);
    return true;
}

/* The host's load is not told; nobody averages that of the enclave. */
void proc_load(struct text *text)
{
    struct runnable runnable = {0};
    task_each(count_thread, &runnable);
    text_add(text, "0.00 0.00 0.00 %u/%u %d\n", runnable.running, runnable.threads, process_last_id());
}

void proc_version(struct text *text)
{
    text_add(text, "Linux version %s (enclavize) %s\n", KERNEL_RELEASE, KERNEL_VERSION);
}

/* A line of /proc/mounts or mountinfo about what is mounted at `path`, of the mount with the number `parent`; `number` counts from 0. */
typedef void mount_line(struct text *text, uint32_t number, uint64_t parent, const char *path, const struct file_system *file_system);

static void each_mount(struct text *text, mount_line *line)
{
    for (uint32_t at = 0; mount_at(at); at++) {
        const struct inode *root = mount_at(at);
        char *path = buffer_take(&path_buffers);
        size_t start = 0;
        if (!path) {
            text->failed = true;
            return;
        }
        namespace_lock();
        bool known = is_directory(root) && is_below_root_of_caller(root) &&
                     path_of(root, (struct name){0}, path, PATH_BUFFER_SIZE, &start) > 0;
        uint64_t parent = known ? mount_number(root->parent, NULL) : 0;
        namespace_unlock();
        if (known) {
            line(text, at, parent, path + start, root->file_system);
        }
        buffer_give(&path_buffers, path);
    }
}

/* Who has another root does not see it. */
static void add_root_mount(struct text *text, const char *line)
{
    namespace_lock();
    bool is_seen = root_of_caller() == root_directory;
    namespace_unlock();
    if (is_seen) {
        text_add(text, "%s", line);
    }
}

static void mounts_line(struct text *text, uint32_t number, uint64_t parent, const char *path, const struct file_system *file_system)
{
    (void)number, (void)parent;
    text_add(text, "%s %s %s %s%s 0 0\n", file_system->type, path, file_system->type,
        file_system->read_only ? "ro" : "rw", file_system->forbids_exec ? ",noexec" : "");
}

void proc_mounts(struct text *text)
{
    add_root_mount(text, "overlay / overlay rw 0 0\n");
    each_mount(text, mounts_line);
}

static void mountinfo_line(struct text *text, uint32_t number, uint64_t parent, const char *path, const struct file_system *file_system)
{
    const char *rights = file_system->read_only ? "ro" : "rw";
    text_add(text, "%u %lu 0:%u / %s %s - %s %s %s\n", number + 2, parent, file_system->device, path, rights,
        file_system->type, file_system->type, rights);
}

void proc_mountinfo(struct text *text)
{
    add_root_mount(text, "1 0 0:48 / / rw - overlay overlay rw\n");
    each_mount(text, mountinfo_line);
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

void proc_uuid(struct text *text)
{
    uint8_t bytes[16];
    make_uuid(bytes);
    add_uuid(text, bytes);
}

void proc_boot_id(struct text *text)
{
    static uint8_t bytes[16];
    namespace_lock();
    if (bytes[6] == 0) {
        make_uuid(bytes);
    }
    namespace_unlock();
    add_uuid(text, bytes);
}

void proc_hostname(struct text *text)
{
    if (configuration.hostname.size > 0) {
        text_add(text, "%.*s\n", (int)configuration.hostname.size, configuration.hostname.start);
    } else {
        text_add(text, "localhost\n");
    }
}

void proc_aio_events(struct text *text)
{
    text_add(text, "%u\n", aio_events_in_use());
}

void proc_pty_count(struct text *text)
{
    text_add(text, "%u\n", devpts_count());
}

void proc_threads_max(struct text *text)
{
    text_add(text, "%u\n", configuration.threads);
}
