/* What processes and threads share, and to share it no longer: kcmp(2), unshare(2). */
#include "fs/call_support.h"
#include "fs/descriptor.h"
#include "fs/file.h"
#include "fs/pidfd.h"
#include "fs/process_files.h"

/* Linux, include/uapi/linux/kcmp.h. */
enum kcmp_type { KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM, KCMP_EPOLL_TFD };

struct possession {
    enum kcmp_type type;
    const void *what;
};

static void note(struct process *process, struct task *task, void *context)
{
    struct possession *possession = context;
    switch (possession->type) {
    case KCMP_VM:
        possession->what = task ? task->space : NULL;
        break;
    case KCMP_FILES:
        possession->what = task ? task->files.descriptors : NULL;
        break;
    case KCMP_FS:
        possession->what = task ? task->files.whereabouts : NULL;
        break;
    case KCMP_SIGHAND:
        possession->what = process->actions;
        break;
    default: /* KCMP_IO: nobody has a context of block devices */
        possession->what = NULL;
    }
}

/* 0: the same; 1, 2: what sorts them. */
static int64_t compare(const void *one, const void *other)
{
    return one == other ? 0 : (uintptr_t)one < (uintptr_t)other ? 1 : 2;
}

static int64_t compare_files(const struct subject subjects[2], const uint64_t descriptors[2])
{
    bool closes;
    struct file *one = descriptor_file_of(&subjects[0], (uint32_t)descriptors[0], &closes);
    struct file *other = descriptor_file_of(&subjects[1], (uint32_t)descriptors[1], &closes);
    int64_t result = one && other ? compare(one, other) : -EBADF;
    file_put(one);
    file_put(other);
    return result;
}

int64_t sys_kcmp(const struct arguments *arguments)
{
    struct subject subjects[2];
    struct subject_facts facts[2];
    uint32_t type = (uint32_t)arguments->at[2];
    for (int at = 0; at < 2; at++) {
        int64_t error = subject_of_id((int32_t)arguments->at[at], &subjects[at]);
        error = error ? error : subject_look(&subjects[at], &facts[at]);
        if (error) {
            return error;
        }
    }
    for (int at = 0; at < 2; at++) {
        int64_t error = subject_may_be_inspected(&facts[at], INSPECTS_BY_CALL);
        if (error) {
            return error;
        }
    }
    if (type == KCMP_FILE) {
        return compare_files(subjects, &arguments->at[3]);
    }
    if (type == KCMP_SYSVSEM || type == KCMP_EPOLL_TFD) {
        return -EOPNOTSUPP; /* as of a kernel that is built without */
    }
    struct possession possessions[2] = {{.type = type}, {.type = type}};
    for (int at = 0; at < 2 && type < KCMP_SYSVSEM; at++) {
        int64_t error = subject_with(&subjects[at], note, &possessions[at]);
        if (error) {
            return error;
        }
    }
    return type < KCMP_SYSVSEM ? compare(possessions[0].what, possessions[1].what) : -EINVAL;
}

/* Linux, include/uapi/linux/sched.h: those that unshare() knows. */
#define CLONE_VM 0x100U
#define CLONE_FS 0x200U
#define CLONE_FILES 0x400U
#define CLONE_SIGHAND 0x800U
#define CLONE_THREAD 0x10000U
#define CLONE_SYSVSEM 0x40000U
#define CLONE_NAMESPACES 0x7E020080U
#define UNSHARED (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_NAMESPACES)

/* What else threads have between them cannot be taken apart, as check_unshare_flags() of Linux says. Namespaces want CAP_SYS_ADMIN, which nobody has. */
int64_t sys_unshare(const struct arguments *arguments)
{
    uint64_t flags = arguments->at[0];
    bool parts_threads = (flags & (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)) && current_process()->task_count > 1;
    if ((flags & ~(uint64_t)UNSHARED) || (flags & CLONE_SYSVSEM) || parts_threads) {
        return -EINVAL;
    }
    if (flags & CLONE_NAMESPACES) {
        return -EPERM;
    }
    return files_unshare(flags & CLONE_FILES, flags & CLONE_FS);
}

/* Of descriptors, those of processes stand for namespaces (setns(2)): those of /proc cannot be opened. */
int64_t sys_setns(const struct arguments *arguments)
{
    struct file *file = file_at(arguments, 0);
    uint32_t flags = (uint32_t)arguments->at[1];
    if (!file) {
        return -EBADF;
    }
    bool names_some = flags != 0 && (flags & ~CLONE_NAMESPACES) == 0;
    return on_file(file, is_pidfd(file) && names_some ? -EPERM : -EINVAL);
}
