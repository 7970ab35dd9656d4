#include "fs/proc_entry.h"

#include "fs/proc_content.h"

/* As the rest of /proc, but that some of its files can be written. */
static const struct file_system file_system = {
    .type = "proc", .magic = PROC_MAGIC, .device = PROC_DEVICE, .forbids_exec = true, .has_no_blocks = true};

static struct proc_entry *entry_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct proc_entry, inode);
}

/* The row's number in its table; rows outside any table are those of descriptors. */
#define ROW_BITS 8
#define DESCRIPTOR_BITS 21 /* and DESCRIPTORS_MAX is 2^20 */
_Static_assert(DESCRIPTORS_MAX < 1U << DESCRIPTOR_BITS, "a number for each");

uint64_t proc_entry_number(const struct subject *subject, const struct proc_table *table, const struct proc_row *row, int32_t descriptor)
{
    uint64_t serial = subject->thread_serial ? subject->thread_serial : subject->serial;
    uint64_t within = descriptor < 0 ? (uint64_t)(row - table->rows) : row->content != NULL; /* fd and fdinfo differ */
    return serial << (ROW_BITS + DESCRIPTOR_BITS) | (uint64_t)(descriptor + 1) << ROW_BITS | within;
}

/* pid_revalidate() of Linux: who the subject is owns its files; root, if nobody may look at it, but for folders that all may list. */
static int64_t refresh(struct inode *inode)
{
    struct proc_entry *entry = entry_of(inode);
    struct subject_facts facts;
    bool is_there = subject_look(&entry->subject, &facts) == 0, is_folder = (inode->mode & 07777) == 0555;
    bool is_owned = is_there && (facts.is_dumpable || facts.is_own || is_folder);
    inode->uid = is_owned ? facts.credentials.user.effective : 0;
    inode->gid = is_owned ? facts.credentials.group.effective : 0;
    return 0;
}

static int64_t check_private(const struct proc_entry *entry)
{
    struct subject_facts facts;
    if (!entry->row->is_private) {
        return 0;
    }
    return subject_look(&entry->subject, &facts) == 0 && subject_may_be_inspected(&facts, INSPECTS_FILES) == 0 ? 0 : -EACCES;
}

/* The last part of the path of a row that lies in the folder of `parent`; length 0: it lies elsewhere. */
static struct name name_within(const struct proc_row *parent, const struct proc_row *row)
{
    size_t skip = strlen(parent->path);
    if (strncmp(row->path, parent->path, skip) != 0 || row->path[skip] == '\0') {
        return (struct name){0};
    }
    const char *rest = row->path + skip;
    if (skip > 0) {
        if (*rest != '/') {
            return (struct name){0};
        }
        rest++;
    }
    size_t length = strlen(rest);
    return memchr(rest, '/', length) ? (struct name){0} : (struct name){.bytes = rest, .length = length};
}

static bool subject_is_there(const struct subject *subject)
{
    struct subject_facts facts;
    return subject_look(subject, &facts) == 0;
}

static int64_t entry_lookup(struct inode *directory, struct name name, struct inode **found)
{
    struct proc_entry *entry = entry_of(directory);
    if (!subject_is_there(&entry->subject)) {
        return -ENOENT;
    }
    for (size_t at = 0; at < entry->table->count; at++) {
        const struct proc_row *row = &entry->table->rows[at];
        if (name_equals(name_within(entry->row, row), name)) {
            return proc_entry_create(&entry->subject, entry->table, row, -1, directory, name, found);
        }
    }
    return entry->row->lookup ? entry->row->lookup(entry, name, found) : -ENOENT;
}

static int64_t entry_list(struct inode *directory, uint64_t cookie, entry_sink *sink, void *context)
{
    const struct proc_entry *entry = entry_of(directory);
    if (!subject_is_there(&entry->subject)) {
        return -ENOENT;
    }
    for (uint64_t at = cookie; at < entry->table->count; at++) {
        const struct proc_row *row = &entry->table->rows[at];
        struct name name = name_within(entry->row, row);
        uint64_t number = proc_entry_number(&entry->subject, entry->table, row, -1);
        if (name.length > 0 && !sink(context, name, number, row->mode & S_IFMT, at + 1)) {
            return 0;
        }
    }
    if (!entry->row->list) {
        return 0;
    }
    return entry->row->list(entry, cookie < PROC_COOKIE_BASE ? PROC_COOKIE_BASE : cookie, sink, context);
}

static int64_t entry_read_link(struct inode *link, char *to, size_t size)
{
    const struct proc_entry *entry = entry_of(link);
    int64_t result = check_private(entry);
    if (result < 0 || entry->row->target) {
        return result < 0 ? result : entry->row->target(entry, to, size);
    }
    size_t length = strlen(entry->row->fixed) < size ? strlen(entry->row->fixed) : size;
    memcpy(to, entry->row->fixed, length);
    return (int64_t)length;
}

static int64_t entry_jump(struct inode *link, struct inode **target, struct open_name **name)
{
    const struct proc_entry *entry = entry_of(link);
    int64_t result = check_private(entry);
    return result < 0 ? result : entry->row->jump ? entry->row->jump(entry, target, name) : -ENOENT;
}

static int64_t make_text(struct inode *inode, struct text *text)
{
    const struct proc_entry *entry = entry_of(inode);
    if (entry->row->system) {
        entry->row->system(text);
        return 0;
    }
    if (entry->row->content) {
        return entry->row->content(text, entry);
    }
    text_add_bytes(text, entry->row->fixed, strlen(entry->row->fixed));
    return subject_is_there(&entry->subject) ? 0 : -ESRCH;
}

static int64_t write_text(struct inode *inode, const char *bytes, size_t length)
{
    const struct proc_entry *entry = entry_of(inode);
    return entry->row->write ? entry->row->write(entry, bytes, length) : -EINVAL;
}

static const struct text_source source = {.make = make_text, .write = write_text};

static int64_t part_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    const struct proc_entry *entry = entry_of(file->inode);
    int64_t result = entry->row->read_at(entry, to, length, *offset);
    *offset += result > 0 ? (uint64_t)result : 0;
    return result;
}

static const struct file_operations part_operations = {.read = part_read, .generated = true};

static int64_t entry_open(struct inode *inode, struct file *file)
{
    const struct proc_entry *entry = entry_of(inode);
    int64_t result = check_private(entry);
    if (result < 0 || is_directory(inode)) {
        return result;
    }
    if (!subject_is_there(&entry->subject)) {
        return -ESRCH;
    }
    if (entry->row->read_at) {
        file->operations = &part_operations;
        return 0;
    }
    return text_file_open(file, &source);
}

static int64_t entry_truncate(struct inode *inode, uint64_t size)
{
    (void)inode, (void)size;
    return 0;
}

static void entry_unused(struct inode *inode)
{
    if (is_directory(inode)) {
        (void)inode_place(inode, NULL, (struct name){0});
    }
    release(entry_of(inode), sizeof(struct proc_entry));
}

static const struct inode_operations operations = {
    .lookup = entry_lookup,
    .list = entry_list,
    .read_link = entry_read_link,
    .jump = entry_jump,
    .open = entry_open,
    .refresh = refresh,
    .truncate = entry_truncate,
    .unused = entry_unused,
};

int64_t proc_entry_create(const struct subject *subject, const struct proc_table *table, const struct proc_row *row, int32_t descriptor,
    struct inode *parent, struct name name, struct inode **created)
{
    struct inode *inode;
    int64_t result = synthetic_create_inode(&file_system, &operations, row->mode, sizeof(struct proc_entry), &inode);
    if (result < 0) {
        return result;
    }
    struct proc_entry *entry = entry_of(inode);
    entry->subject = *subject;
    entry->table = table;
    entry->row = row;
    entry->descriptor = descriptor;
    inode->number = proc_entry_number(subject, table, row, descriptor);
    result = refresh(inode);
    result = result == 0 && is_directory(inode) ? inode_place(inode, parent, name) : result;
    if (result < 0) {
        release(entry, sizeof(struct proc_entry));
        return result;
    }
    *created = inode;
    return 0;
}

bool proc_entry_subject(const struct inode *inode, struct subject *subject)
{
    if (inode->operations != &operations) {
        return false;
    }
    const struct proc_entry *entry = CONTAINER_OF(inode, const struct proc_entry, inode);
    *subject = entry->subject;
    return entry->table == &proc_process_table && entry->row->path[0] == '\0';
}
