/* What /proc and /sys say of processors: those that sched_getaffinity() tells, and no other of the host's. */
#include "fs/proc_content.h"

#include "process/process.h"

/* Linux, arch/x86/include/asm/cpufeatures.h: names of bits, in the order of its words. */
struct feature_word {
    uint32_t leaf, subleaf;
    size_t offset; /* of the register in struct cpuid */
    const char *names[32];
};
#define WORD(leaf, subleaf, reg) leaf, subleaf, offsetof(struct cpuid, reg)

static const struct feature_word FEATURES[] = {
    {WORD(1, 0, edx),
     {"fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", [11] = "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36",
      [19] = "clflush", [23] = "mmx", "fxsr", "sse", "sse2", [28] = "ht"}},
    {WORD(0x80000001, 0, edx), {[11] = "syscall", [20] = "nx", [27] = "rdtscp", [29] = "lm"}},
    {WORD(1, 0, ecx),
     {"pni", "pclmulqdq", [9] = "ssse3", [12] = "fma", "cx16", [19] = "sse4_1", "sse4_2", [22] = "movbe", "popcnt", [25] = "aes", "xsave",
      [28] = "avx", "f16c", "rdrand"}},
    {WORD(0x80000001, 0, ecx), {"lahf_lm", [5] = "abm", [8] = "3dnowprefetch"}},
    {WORD(7, 0, ebx),
     {"fsgsbase", [3] = "bmi1", [5] = "avx2", [8] = "bmi2", "erms", [16] = "avx512f", "avx512dq", "rdseed", "adx", [21] = "avx512ifma",
      [23] = "clflushopt", "clwb", [28] = "avx512cd", "sha_ni", "avx512bw", "avx512vl"}},
    {WORD(0xD, 1, eax), {"xsaveopt", "xsavec", "xgetbv1"}},
    {WORD(7, 0, ecx),
     {[1] = "avx512vbmi", [6] = "avx512_vbmi2", [8] = "gfni", "vaes", "vpclmulqdq", "avx512_vnni", "avx512_bitalg",
      [14] = "avx512_vpopcntdq"}},
    {WORD(7, 0, edx), {[4] = "fsrm"}},
};

static void add_features(struct text *text)
{
    text_add(text, "flags\t\t:");
    for (size_t word = 0; word < ARRAY_LENGTH(FEATURES); word++) {
        struct cpuid said = cpuid_of(FEATURES[word].leaf, FEATURES[word].subleaf);
        uint32_t bits;
        memcpy(&bits, (const uint8_t *)&said + FEATURES[word].offset, sizeof bits);
        for (; bits; bits &= bits - 1) {
            const char *name = FEATURES[word].names[__builtin_ctz(bits)];
            if (name) {
                text_add(text, " %s", name);
            }
        }
    }
    text_add(text, "\n");
}

static void add_identity(struct text *text)
{
    char vendor[12 + 1] = {0}, brand[48 + 1] = {0};
    struct cpuid first = cpuid_of(0, 0), signature = cpuid_of(1, 0);
    uint32_t family = signature.eax >> 8 & 0xF, model = signature.eax >> 4 & 0xF;
    memcpy(vendor, (uint32_t[]){first.ebx, first.edx, first.ecx}, 12);
    for (uint32_t at = 0; at < 3; at++) {
        struct cpuid part = cpuid_of(0x80000002 + at, 0);
        memcpy(brand + 16 * (size_t)at, &part, sizeof part);
    }
    model |= family >= 6 ? (signature.eax >> 12 & 0xF0) : 0; /* the extended ones: SDM volume 2, CPUID */
    family += family == 0xF ? signature.eax >> 20 & 0xFF : 0;
    text_add(text, "vendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n", vendor, family, model, brand);
    text_add(text, "stepping\t: %u\ncpu MHz\t\t: 0.000\n", signature.eax & 0xF);
}

/* The same that CPUID says: no program is told of an instruction in one way and not in the other. */
void proc_cpuinfo(struct text *text)
{
    uint32_t count = processor_count(), sizes = cpuid_of(0x80000008, 0).eax;
    for (uint32_t at = 0; at < count; at++) {
        text_add(text, "processor\t: %u\n", at);
        add_identity(text);
        text_add(text, "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n", count, at, count);
        text_add(text, "cpuid level\t: %u\n", cpuid_of(0, 0).eax);
        add_features(text);
        text_add(text, "clflush size\t: 64\ncache_alignment\t: 64\n");
        text_add(text, "address sizes\t: %u bits physical, %u bits virtual\n\n", sizes & 0xFF, sizes >> 8 & 0xFF);
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
    struct cpu_use use = usage_of_enclave();
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

#define PROCESSORS_MAX 64U /* a word of the CPU set */
#define MASK_LENGTH 24U    /* two words of 32 bits, a comma, a newline, NUL */

/* What is in /sys/devices/system/cpu/cpuN: it is made when it is first asked for, and stays. */
struct processor_directory {
    char number[8], own_mask[MASK_LENGTH], all_mask[MASK_LENGTH], all_list[16];
    struct synthetic_row rows[14];
    struct inode *inode;
};
static struct processor_directory *directories[PROCESSORS_MAX];

/* As bitmaps are printed by Linux (%*pb): a digit for each four processors that there are, a comma after each eight. */
static void print_mask(char *to, uint64_t mask, uint32_t count)
{
    for (uint32_t digit = (count + 3) / 4; digit-- > 0;) {
        *to++ = "0123456789abcdef"[mask >> 4 * digit & 15];
        if (digit > 0 && digit % 8 == 0) {
            *to++ = ',';
        }
    }
    *to++ = '\n';
    *to = '\0';
}

/* Each is a core of its own, and all are in one package, as CPUID says. */
static int64_t fill_directory(struct processor_directory *directory, uint32_t at)
{
    uint32_t count = processor_count();
    format_text(directory->number, sizeof directory->number, "%u\n", at);
    format_text(directory->all_list, sizeof directory->all_list, count > 1 ? "0-%u\n" : "%u\n", count - 1);
    print_mask(directory->own_mask, 1ULL << at, count);
    print_mask(directory->all_mask, UINT64_MAX >> (PROCESSORS_MAX - count), count);
    const struct synthetic_row rows[] = {
        {.path = "", .mode = S_IFDIR | 0555},
        {.path = "topology", .mode = S_IFDIR | 0555},
        {"topology/core_cpus", S_IFREG | 0444, .fixed = directory->own_mask},
        {"topology/core_cpus_list", S_IFREG | 0444, .fixed = directory->number},
        {"topology/core_id", S_IFREG | 0444, .fixed = directory->number},
        {"topology/core_siblings", S_IFREG | 0444, .fixed = directory->all_mask},
        {"topology/core_siblings_list", S_IFREG | 0444, .fixed = directory->all_list},
        {"topology/die_id", S_IFREG | 0444, .fixed = "0\n"},
        {"topology/package_cpus", S_IFREG | 0444, .fixed = directory->all_mask},
        {"topology/package_cpus_list", S_IFREG | 0444, .fixed = directory->all_list},
        {"topology/physical_package_id", S_IFREG | 0444, .fixed = "0\n"},
        {"topology/thread_siblings", S_IFREG | 0444, .fixed = directory->own_mask},
        {"topology/thread_siblings_list", S_IFREG | 0444, .fixed = directory->number},
    };
    _Static_assert(ARRAY_LENGTH(rows) <= ARRAY_LENGTH(directory->rows), "all rows are kept");
    memcpy(directory->rows, rows, sizeof rows);
    return synthetic_create(&sys_file_system, directory->rows, ARRAY_LENGTH(rows), &directory->inode);
}

/* The namespace lock is held. */
static int64_t directory_of(uint32_t at, struct inode **inode)
{
    if (!directories[at]) {
        struct processor_directory *directory = allocate(sizeof *directory);
        int64_t result = directory ? fill_directory(directory, at) : -ENOMEM;
        if (result < 0) {
            release(directory, sizeof *directory);
            return result;
        }
        directories[at] = directory;
    }
    *inode = directories[at]->inode;
    return 0;
}

/* A number behind "cpu", as the directory lists it. */
int64_t processor_lookup(struct inode *parent, struct name name, struct inode **found)
{
    char text[16];
    for (uint32_t at = 0; at < processor_count(); at++) {
        size_t length = format_text(text, sizeof text, "cpu%u", at);
        if (name_equals(name, (struct name){.bytes = text, .length = length})) {
            int64_t result = directory_of(at, found);
            if (result == 0 && !(*found)->parent) {
                result = inode_place(*found, parent, name);
            }
            *found = result == 0 ? inode_get(*found) : NULL;
            return result;
        }
    }
    return -ENOENT;
}

int64_t processor_list(uint64_t cookie, entry_sink *sink, void *context)
{
    uint64_t base = cookie & ~0xFFFFFFFFULL;
    char text[16];
    struct inode *inode;
    for (uint64_t at = cookie - base; at < processor_count(); at++) {
        struct name name = {.bytes = text, .length = format_text(text, sizeof text, "cpu%u", (uint32_t)at)};
        int64_t result = directory_of((uint32_t)at, &inode);
        if (result < 0) {
            return result;
        }
        if (!sink(context, name, inode->number, S_IFDIR, base + at + 1)) {
            break;
        }
    }
    return 0;
}
