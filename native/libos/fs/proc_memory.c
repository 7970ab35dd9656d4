/* What /proc says of the memory of a process: maps, smaps, pagemap. */
#include "fs/proc_content.h"

#include "fs/buffer.h"
#include "fs/path.h"
#include "memory/memory.h"
#include "process/process.h"

/* Whose areas these are: the calling thread is in that memory. */
struct maps {
    struct text *text;
    user_address vdso, stack_top;
};

/* Nothing, where there is no memory any more: a zombie's maps are empty. */
static int64_t each_area(struct text *text, const struct proc_entry *entry, bool (*each)(const struct area *area, void *context))
{
    struct space *own = current_space();
    struct subject_facts facts;
    if (subject_visit(&entry->subject, &facts) < 0) {
        return subject_look(&entry->subject, &facts);
    }
    struct maps maps = {.text = text, .vdso = facts.vdso, .stack_top = facts.stack_top};
    memory_each(current_space(), each, &maps);
    space_end_visit(own);
    return 0;
}

static const char *name_of(const struct maps *maps, const struct area *area, char *path)
{
    path[0] = '\0';
    if (area->file) {
        return file_path(area->file, path, PATH_BUFFER_SIZE) < 0 ? "" : path;
    }
    if (maps->vdso != 0 && area->start == maps->vdso) {
        return "[vdso]";
    }
    if (area->start < maps->stack_top && maps->stack_top <= area->end) {
        return "[stack]";
    }
    return !area->object && heap_is_in(area) ? "[heap]" : "";
}

#define NAME_COLUMN 73U /* of Linux */

/* A line of maps. False: out of memory. */
static bool add_line(struct maps *maps, const struct area *area)
{
    struct text *text = maps->text;
    struct file_facts facts = {0};
    char *path = buffer_take(&path_buffers);
    if (!path) {
        return false;
    }
    if (area->file) {
        file_describe(area->file, &facts);
    }
    size_t start = text->used;
    text_add(text, "%08llx-%08llx %c%c%c%c %08llx 00:%02llx %llu ", (unsigned long long)area->start,
        (unsigned long long)area->end, (area->protection & PROT_READ) ? 'r' : '-',
        (area->protection & PROT_WRITE) ? 'w' : '-', (area->protection & PROT_EXEC) ? 'x' : '-',
        (area->flags & MAP_TYPE) == MAP_SHARED ? 's' : 'p', (unsigned long long)area->offset,
        (unsigned long long)facts.device, (unsigned long long)facts.inode);
    const char *name = name_of(maps, area, path);
    while (name[0] != '\0' && text->used - start < NAME_COLUMN && !text->failed) {
        text_add(text, " ");
    }
    text_add_bytes(text, name, strlen(name));
    text_add(text, "\n");
    buffer_give(&path_buffers, path);
    return !text->failed;
}

static bool add_area(const struct area *area, void *context)
{
    return add_line(context, area);
}

int64_t proc_maps(struct text *text, const struct proc_entry *entry)
{
    return each_area(text, entry, add_area);
}

/* What smaps counts, in KiB. */
struct sums {
    uint64_t resident, dirty, shared_memory, file, locked;
    user_address start, end;
};

static void add_kib(struct text *text, const char *name, uint64_t kib)
{
    size_t length = strlen(name);
    text_add(text, "%s%.*s%8lu kB\n", name, (int)(length < 16 ? 16 - length : 0), "                ", kib);
}

static void add_sums(struct text *text, const struct sums *sums, bool is_rollup)
{
    uint64_t anonymous = sums->resident - sums->shared_memory - sums->file;
    const struct {
        const char *name;
        uint64_t kib;
        bool only_in_rollup;
    } lines[] = {
        {"Rss:", sums->resident, false},
        {"Pss:", sums->resident, false}, /* a page of the enclave has one place */
        {"Pss_Dirty:", sums->dirty, false},
        {"Pss_Anon:", anonymous, true},
        {"Pss_File:", sums->file, true},
        {"Pss_Shmem:", sums->shared_memory, true},
        {"Shared_Clean:", 0, false},
        {"Shared_Dirty:", 0, false},
        {"Private_Clean:", sums->resident - sums->dirty, false},
        {"Private_Dirty:", sums->dirty, false},
        {"Referenced:", sums->resident, false},
        {"Anonymous:", anonymous, false},
        {"LazyFree:", 0, false},
        {"AnonHugePages:", 0, false},
        {"ShmemPmdMapped:", 0, false},
        {"FilePmdMapped:", 0, false},
        {"Shared_Hugetlb:", 0, false},
        {"Private_Hugetlb:", 0, false},
        {"Swap:", 0, false},
        {"SwapPss:", 0, false},
        {"Locked:", sums->locked, false},
    };
    for (size_t at = 0; at < ARRAY_LENGTH(lines); at++) {
        if (is_rollup || !lines[at].only_in_rollup) {
            add_kib(text, lines[at].name, lines[at].kib);
        }
    }
}

static struct sums sums_of(const struct area *area)
{
    struct area_counts counts;
    memory_count_area(area, &counts);
    uint64_t resident = counts.resident * KIB_PER_PAGE, dirty = counts.dirty * KIB_PER_PAGE;
    bool is_memory = area->object && !area->object->operations->write;
    uint64_t of_file = area->object ? (is_memory ? 0 : resident) : area->file ? resident - dirty : 0;
    return (struct sums){
        .resident = resident,
        .dirty = dirty,
        .shared_memory = is_memory ? resident : 0,
        .file = of_file,
        .locked = (area->flags & MAP_LOCKED) ? resident : 0,
        .start = area->start,
        .end = area->end,
    };
}

/* show_smap_vma_flags() of Linux, in its order. */
static void add_flags(struct text *text, const struct area *area)
{
    bool is_shared = (area->flags & MAP_TYPE) == MAP_SHARED;
    bool may_write = !(area->flags & MAP_NEVER_WRITABLE) &&
                     (!is_shared || !area->file || file_check_mapping(area->file, PROT_WRITE, (int)area->flags) == 0);
    const struct {
        bool holds;
        const char *name;
    } flags[] = {
        {area->protection & PROT_READ, "rd "},
        {area->protection & PROT_WRITE, "wr "},
        {area->protection & PROT_EXEC, "ex "},
        {is_shared, "sh "},
        {true, "mr "},
        {may_write, "mw "},
        {true, "me "},
        {is_shared, "ms "},
        {area->flags & MAP_GROWSDOWN, "gd "},
        {area->flags & MAP_LOCKED, "lo "},
        {area->flags & MAP_NOT_FORKED, "dc "},
        {!is_shared && (area->protection & PROT_WRITE), "ac "},
        {area->flags & MAP_WIPED_BY_FORK, "wf "},
        {area->flags & MAP_SEALED, "sl "},
    };
    text_add(text, "THPeligible:           0\nVmFlags: ");
    for (size_t at = 0; at < ARRAY_LENGTH(flags); at++) {
        text_add(text, "%.*s", flags[at].holds ? 3 : 0, flags[at].name);
    }
    text_add(text, "\n");
}

static bool add_area_in_full(const struct area *area, void *context)
{
    struct maps *maps = context;
    struct text *text = maps->text;
    if (!add_line(maps, area)) {
        return false;
    }
    struct sums sums = sums_of(area);
    add_kib(text, "Size:", (area->end - area->start) / 1024);
    add_kib(text, "KernelPageSize:", KIB_PER_PAGE);
    add_kib(text, "MMUPageSize:", KIB_PER_PAGE);
    add_sums(text, &sums, false);
    add_flags(text, area);
    return !text->failed;
}

int64_t proc_smaps(struct text *text, const struct proc_entry *entry)
{
    return each_area(text, entry, add_area_in_full);
}

static bool sum_up(const struct area *area, void *context)
{
    struct sums *all = context, one = sums_of(area);
    all->start = all->end == 0 ? one.start : all->start;
    all->end = one.end;
    all->resident += one.resident;
    all->dirty += one.dirty;
    all->shared_memory += one.shared_memory;
    all->file += one.file;
    all->locked += one.locked;
    return true;
}

int64_t proc_smaps_rollup(struct text *text, const struct proc_entry *entry)
{
    struct space *own = current_space();
    struct subject_facts facts;
    struct sums all = {0};
    if (subject_visit(&entry->subject, &facts) < 0) {
        return -ESRCH;
    }
    memory_each(current_space(), sum_up, &all);
    space_end_visit(own);
    text_add(text, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n", all.start, all.end);
    add_sums(text, &all, true);
    return 0;
}

/* Documentation/admin-guide/mm/pagemap.rst; frame numbers are 0, as for everybody without CAP_SYS_ADMIN. */
#define ENTRY_SIZE sizeof(uint64_t)
#define ENTRY_PRESENT (1ULL << 63)
#define ENTRY_OF_FILE (1ULL << 61)
#define LOOK_PAGES 512U
#define ADDRESSES_END 0x7FFFFFFFF000ULL /* TASK_SIZE of Linux */

int64_t proc_pagemap(const struct proc_entry *entry, void *to, size_t length, uint64_t offset)
{
    struct space *own = current_space();
    if (offset % ENTRY_SIZE != 0 || length % ENTRY_SIZE != 0) {
        return -EINVAL;
    }
    uint64_t page = offset / ENTRY_SIZE, end = ADDRESSES_END / PAGE_SIZE, *entries = to;
    size_t count = length / ENTRY_SIZE;
    count = page >= end ? 0 : count < end - page ? count : (size_t)(end - page);
    struct subject_facts facts;
    if (subject_visit(&entry->subject, &facts) < 0) {
        return 0;
    }
    for (size_t done = 0; done < count;) {
        uint8_t states[LOOK_PAGES];
        size_t part = count - done < LOOK_PAGES ? count - done : LOOK_PAGES;
        memory_look_at_pages((page + done) * PAGE_SIZE, states, part);
        for (size_t at = 0; at < part; at++) {
            bool is_there = states[at] & PAGE_PRESENT;
            entries[done + at] = (is_there ? ENTRY_PRESENT : 0) | (is_there && (states[at] & PAGE_OF_FILE) ? ENTRY_OF_FILE : 0);
        }
        done += part;
    }
    space_end_visit(own);
    return (int64_t)(count * ENTRY_SIZE);
}
