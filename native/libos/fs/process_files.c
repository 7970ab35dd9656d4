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

/* 0 or -ENOMEM. */
static int64_t create(struct task_files *files)
{
    files->whereabouts = whereabouts_create(root_directory, root_directory, DEFAULT_MODE_MASK);
    files->descriptors = descriptor_table_inherit(NULL, false);
    return files->whereabouts && files->descriptors ? 0 : -ENOMEM;
}

int64_t files_create_first(void)
{
    return create(&current_task()->files);
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

static void replace_descriptors(struct task_files *files, struct descriptor_table *table)
{
    lists_lock();
    struct descriptor_table *old = files->descriptors;
    files->descriptors = table;
    lists_unlock();
    descriptor_table_put(old);
}

static void replace_whereabouts(struct task_files *files, struct whereabouts *whereabouts)
{
    namespace_lock();
    struct whereabouts *old = files->whereabouts;
    files->whereabouts = whereabouts;
    namespace_unlock();
    whereabouts_put(old);
}

static void leave_files(struct task_files *files)
{
    replace_descriptors(files, NULL);
    replace_whereabouts(files, NULL);
}

static void leave_thread(struct task *task)
{
    leave_files(&task->files);
}

static void leave(struct process *process)
{
    leave_files(&process->files);
    if (process->session == process->id) {
        terminal_session_ends(process->session);
    }
    namespace_lock();
    struct file *executable = process->executable;
    process->executable = NULL;
    namespace_unlock();
    file_put(executable);
    aio_leave(process);
    attestation_leave(process);
}

static int64_t begin(struct process *process)
{
    namespace_lock();
    int64_t result = create(&process->files);
    namespace_unlock();
    if (result < 0) {
        leave(process);
    }
    return result;
}

/* Those of the calling thread. 0, or -ENOMEM: some may be there. */
static int64_t inherit_files(struct task_files *files, bool shares_descriptors, bool shares_whereabouts)
{
    const struct task_files *from = &current_task()->files;
    files->descriptors = descriptor_table_inherit(from->descriptors, shares_descriptors);
    files->whereabouts = whereabouts_inherit(from->whereabouts, shares_whereabouts);
    return files->descriptors && files->whereabouts ? 0 : -ENOMEM;
}

static int64_t inherit(struct process *child, bool shares_descriptors, bool shares_whereabouts)
{
    int64_t error = inherit_files(&child->files, shares_descriptors, shares_whereabouts);
    namespace_lock();
    child->executable = current_process()->executable;
    if (child->executable) {
        file_get(child->executable);
    }
    namespace_unlock();
    if (error) {
        leave(child);
    }
    return error;
}

static int64_t inherit_thread(struct task *task, bool shares_descriptors, bool shares_whereabouts)
{
    return inherit_files(&task->files, shares_descriptors, shares_whereabouts);
}

static void take(struct task *task)
{
    task->files = task->process->files;
    task->process->files = (struct task_files){0};
}

int64_t files_unshare(bool descriptors, bool whereabouts)
{
    struct task_files *files = &current_task()->files;
    struct descriptor_table *table = descriptors ? descriptor_table_inherit(files->descriptors, false) : NULL;
    struct whereabouts *where = whereabouts ? whereabouts_inherit(files->whereabouts, false) : NULL;
    if ((descriptors && !table) || (whereabouts && !where)) {
        descriptor_table_put(table);
        whereabouts_put(where);
        return -ENOMEM;
    }
    if (descriptors) {
        replace_descriptors(files, table);
    }
    if (whereabouts) {
        replace_whereabouts(files, where);
    }
    return 0;
}

static int64_t execute(struct file *file)
{
    struct process *process = current_process();
    int64_t error = files_unshare(true, false);
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

static bool note_table(struct task *task, void *context)
{
    struct flush *flush = context;
    if (task->id > flush->last && task->files.descriptors && (flush->next == 0 || task->id < flush->next)) {
        flush->next = task->id;
    }
    return true;
}

static bool take_table(struct task *task, void *context)
{
    struct flush *flush = context;
    if (task->id == flush->next && task->files.descriptors) {
        flush->table = descriptor_table_inherit(task->files.descriptors, true);
    }
    return !flush->table;
}

/* One thread after the other, by ids: closing a file may sleep. */
static void flush_all(void)
{
    struct flush flush = {0};
    do {
        flush.next = 0;
        flush.table = NULL;
        task_each(note_table, &flush);
        task_each(take_table, &flush);
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
    process_upcalls.inherit_thread_files = inherit_thread;
    process_upcalls.take_files = take;
    process_upcalls.leave_thread_files = leave_thread;
    process_upcalls.execute_files = execute;
    process_upcalls.leave_files = leave;
}
