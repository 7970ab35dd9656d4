/* What /proc and /sys say of processors: those that sched_getaffinity() tells, and no other of the host's. */
#include "fs/proc_content.h"

#include "process/process.h"

void proc_cpuinfo(struct text *text)
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

struct states {
    uint32_t running;
};

static bool count_running(struct task *task, void *context)
{
    ((struct states *)context)->running += !sleeper_can_be_interrupted(&task->sleeper);
    return true;
}

static void add_times(struct text *text, const char *name, uint64_t user, uint64_t system, uint64_t uptime)
{
    uint64_t used = user + system;
    text_add(text, "%s %lu 0 %lu %lu 0 0 0 0 0 0\n", name, user, system, uptime > used ? uptime - used : 0);
}

/* What the enclave used, spread over its processors; of the others on the machine nothing is known: they count as idle. */
void proc_stat(struct text *text)
{
    struct cpu_use use = usage_of_process();
    struct states states = {0};
    uint64_t count = processor_count(), user = ticks(use.user), system = ticks(use.system), uptime = ticks(clock_now_ns(CLOCK_BOOTTIME));
    uint64_t booted = (clock_now_ns(CLOCK_REALTIME) - clock_now_ns(CLOCK_BOOTTIME)) / NS_PER_SECOND;
    task_each(count_running, &states);
    add_times(text, "cpu ", user, system, uptime * count);
    for (uint32_t at = 0; at < count; at++) {
        char name[16];
        format_text(name, sizeof name, "cpu%u", at);
        add_times(text, name, user / count, system / count, uptime);
    }
    text_add(text, "intr 0\nctxt 0\nbtime %lu\nprocesses %d\nprocs_running %u\nprocs_blocked 0\n", booted, process_last_id(), states.running);
}

void proc_add_processors(struct text *text, uint64_t mask)
{
    const char *comma = "";
    for (uint32_t first = 0; first < 64; first++) {
        if (!(mask >> first & 1)) {
            continue;
        }
        uint32_t last = first;
        while (last < 63 && (mask >> (last + 1) & 1)) {
            last++;
        }
        text_add(text, first == last ? "%s%u" : "%s%u-%u", comma, first, last);
        comma = ",";
        first = last;
    }
    text_add(text, "\n");
}

void proc_processor_list(struct text *text)
{
    proc_add_processors(text, UINT64_MAX >> (64 - processor_count()));
}

struct inode *processor_directory;

/* A number behind "cpu", as the directory lists it. */
int64_t processor_lookup(struct name name, struct inode **found)
{
    char text[16];
    for (uint32_t at = 0; at < processor_count(); at++) {
        size_t length = format_text(text, sizeof text, "cpu%u", at);
        if (name_equals(name, (struct name){.bytes = text, .length = length})) {
            *found = inode_get(processor_directory);
            return 0;
        }
    }
    return -ENOENT;
}

int64_t processor_list(uint64_t cookie, entry_sink *sink, void *context)
{
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    char text[16];
    for (uint64_t at = cookie - base; at < processor_count(); at++) {
        struct name name = {.bytes = text, .length = format_text(text, sizeof text, "cpu%u", (uint32_t)at)};
        if (!sink(context, name, processor_directory->number, S_IFDIR, base + at + 1)) {
            break;
        }
    }
    return 0;
}
