/* Where /proc/PID/exe, cwd and root lead. */
#include "fs/file.h"
#include "fs/open_name.h"
#include "fs/path.h"
#include "fs/proc_content.h"

/* What fs/ keeps of processes goes under the namespace lock, which is held. */
static void find_executable(struct process *process, struct task *task, void *context)
{
    if (task) {
        *(struct file **)context = process->executable;
    }
}

int64_t proc_executable_target(const struct proc_entry *entry, char *to, size_t size)
{
    struct file *executable = NULL;
    (void)subject_with(&entry->subject, find_executable, &executable);
    return executable ? file_path_locked(executable, to, size) : -ENOENT;
}

int64_t proc_executable_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name)
{
    struct file *executable = NULL;
    (void)subject_with(&entry->subject, find_executable, &executable);
    if (!executable) {
        return -ENOENT;
    }
    *target = inode_get(executable->inode);
    *name = executable->name ? open_name_get(executable->name) : NULL;
    return 0;
}

struct directories {
    struct inode *root, *working_directory; /* not counted */
};

static void find_directories(struct process *process, struct task *task, void *context)
{
    (void)process;
    const struct whereabouts *whereabouts = task ? task->files.whereabouts : NULL;
    if (whereabouts) {
        *(struct directories *)context = (struct directories){whereabouts->root, whereabouts->working_directory};
    }
}

static struct directories directories_of(const struct proc_entry *entry)
{
    struct directories found = {0};
    (void)subject_with(&entry->subject, find_directories, &found);
    return found;
}

static int64_t target_of(const struct inode *directory, char *to, size_t size)
{
    size_t start = 0;
    int64_t length = directory ? path_of(directory, (struct name){0}, to, size, &start) : -ENOENT;
    if (length > 0) {
        memmove(to, to + start, (size_t)length);
    }
    return length;
}

static int64_t jump_to(struct inode *directory, struct inode **target, struct open_name **name)
{
    *name = NULL;
    *target = directory ? inode_get(directory) : NULL;
    return directory ? 0 : -ENOENT;
}

int64_t proc_working_directory_target(const struct proc_entry *entry, char *to, size_t size)
{
    return target_of(directories_of(entry).working_directory, to, size);
}

int64_t proc_working_directory_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name)
{
    return jump_to(directories_of(entry).working_directory, target, name);
}

int64_t proc_root_target(const struct proc_entry *entry, char *to, size_t size)
{
    return target_of(directories_of(entry).root, to, size);
}

int64_t proc_root_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name)
{
    return jump_to(directories_of(entry).root, target, name);
}
