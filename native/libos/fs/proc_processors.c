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

void proc_stat(struct text *text)
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
