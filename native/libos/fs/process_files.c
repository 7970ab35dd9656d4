#include "fs/process_files.h"

#include "fs/aio.h"
#include "fs/attestation.h"
#include "fs/descriptor.h"
#include "fs/file.h"
#include "fs/terminal.h"

#define DEFAULT_MODE_MASK 022U

static void replace(struct inode **directory, struct inode *inode)
{
    struct inode *old = *directory;
    *directory = inode_get(inode);
    inode_put(old);
}

void set_working_directory(struct inode *inode)
{
    replace(&current_whereabouts()->working_directory, inode);
}

void set_root(struct inode *inode)
{
    replace(&current_whereabouts()->root, inode);
}

static struct whereabouts *whereabouts_create(struct inode *root, struct inode *working_directory, uint32_t mode_mask)
{
    struct whereabouts *whereabouts = allocate(sizeof(struct whereabouts));
    if (whereabouts) {
        whereabouts->references = 1;
        whereabouts->root = inode_get(root);
        whereabouts->working_directory = inode_get(working_directory);
        whereabouts->mode_mask = mode_mask;
    }
    return whereabouts;
}

static void whereabouts_put(struct whereabouts *whereabouts)
{
    if (whereabouts && __atomic_sub_fetch(&whereabouts->references, 1, __ATOMIC_ACQ_REL) == 0) {
        inode_put(whereabouts->root);
        inode_put(whereabouts->working_directory);
        release(whereabouts, sizeof(struct whereabouts));
    }
}

int64_t process_files_create(struct process *process)
{
    process->whereabouts = whereabouts_create(root_directory, root_directory, DEFAULT_MODE_MASK);
    process->descriptors = descriptor_table_inherit(NULL, false);
    return process->whereabouts && process->descriptors ? 0 : -ENOMEM;
}

/* Takes a count or makes a copy. NULL: no memory. */
static struct whereabouts *whereabouts_inherit(struct whereabouts *from, bool shares)
{
    if (shares) {
        __atomic_fetch_add(&from->references, 1, __ATOMIC_RELAXED);
        return from;
    }
    namespace_lock();
    struct whereabouts *copy = whereabouts_create(from->root, from->working_directory, from->mode_mask);
    namespace_unlock();
    return copy;
}

static void leave(struct process *process)
{
    lists_lock();
    struct descriptor_table *descriptors = process->descriptors;
    process->descriptors = NULL;
    lists_unlock();
    descriptor_table_put(descriptors);
    if (process->session == process->id) {
        terminal_session_ends(process->session);
    }
    namespace_lock();
    struct whereabouts *whereabouts = process->whereabouts;
    struct file *executable = process->executable;
    process->whereabouts = NULL;
    process->executable = NULL;
    namespace_unlock();
    whereabouts_put(whereabouts);
    file_put(executable);
    aio_leave(process);
    attestation_leave(process);
}

static int64_t begin(struct process *process)
{
    namespace_lock();
    int64_t result = process_files_create(process);
    namespace_unlock();
    if (result < 0) {
        leave(process);
    }
    return result;
}

static int64_t inherit(struct process *child, bool shares_descriptors, bool shares_whereabouts)
{
    struct process *parent = current_process();
    child->descriptors = descriptor_table_inherit(parent->descriptors, shares_descriptors);
    child->whereabouts = whereabouts_inherit(parent->whereabouts, shares_whereabouts);
    namespace_lock();
    child->executable = parent->executable;
    if (child->executable) {
        file_get(child->executable);
    }
    namespace_unlock();
    if (!child->descriptors || !child->whereabouts) {
        leave(child);
        return -ENOMEM;
    }
    return 0;
}

int64_t process_files_unshare(bool descriptors, bool whereabouts)
{
    struct process *process = current_process();
    struct descriptor_table *table = descriptor_table_inherit(process->descriptors, !descriptors), *old_table;
    struct whereabouts *where = whereabouts_inherit(process->whereabouts, !whereabouts), *old_where;
    if (!table || !where) {
        descriptor_table_put(table);
        whereabouts_put(where);
        return -ENOMEM;
    }
    lists_lock();
    old_table = process->descriptors;
    process->descriptors = table;
    lists_unlock();
    namespace_lock();
    old_where = process->whereabouts;
    process->whereabouts = where;
    namespace_unlock();
    descriptor_table_put(old_table);
    whereabouts_put(old_where);
    return 0;
}

static int64_t execute(struct file *file)
{
    struct process *process = current_process();
    int64_t error = process_files_unshare(true, false);
    if (error < 0) {
        return error;
    }
    descriptor_table_close_on_exec();
    aio_leave(process);
    file_get(file);
    namespace_lock();
    struct file *old = process->executable;
    process->executable = file;
    namespace_unlock();
    file_put(old);
    return 0;
}

struct flush {
    int32_t last;
    int32_t next;
    struct descriptor_table *table; /* counted */
};

static bool note_table(struct process *process, void *context)
{
    struct flush *flush = context;
    if (process->id > flush->last && process->descriptors && (flush->next == 0 || process->id < flush->next)) {
        flush->next = process->id;
    }
    return true;
}

static bool take_table(struct process *process, void *context)
{
    struct flush *flush = context;
    if (process->id == flush->next && process->descriptors) {
        flush->table = descriptor_table_inherit(process->descriptors, true);
    }
    return true;
}

/* One process after the other, by ids: closing a file may sleep. */
static void flush_all(void)
{
    struct flush flush = {0};
    do {
        flush.next = 0;
        flush.table = NULL;
        process_each(note_table, &flush);
        process_each(take_table, &flush);
        if (flush.table) {
            descriptor_table_close_all(flush.table);
            descriptor_table_put(flush.table);
        }
        flush.last = flush.next;
    } while (flush.next != 0);
}

void process_files_start(void)
{
    process_upcalls.flush_files = flush_all;
    process_upcalls.new_files = begin;
    process_upcalls.inherit_files = inherit;
    process_upcalls.execute_files = execute;
    process_upcalls.leave_files = leave;
}
