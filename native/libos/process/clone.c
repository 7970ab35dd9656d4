/* clone(2) and its like: threads, processes that begin in the memory of their parent, and those that begin in a copy of it. */
#include "process/child.h"

/* include/uapi/linux/sched.h */
enum clone_flag {
    CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_PIDFD = 0x1000,
    CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000, CLONE_THREAD = 0x10000, CLONE_NEWNS = 0x20000, CLONE_SETTLS = 0x80000,
    CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000, CLONE_DETACHED = 0x400000,
    CLONE_CHILD_SETTID = 0x1000000, CLONE_NEWUSER = 0x10000000, CLONE_NEWPID = 0x20000000,
};
#define CLONE_NAMESPACES 0x7E020080ULL /* CLONE_NEW*: all want CAP_SYS_ADMIN, which nobody has */
#define CLONE_CLEAR_SIGHAND (1ULL << 32)
#define CLONE_INTO_CGROUP (1ULL << 33)
#define CLONE_SIGNAL 0xFFULL /* clone(): what the end of the child sends */

/* struct clone_args; the last field came with version 2. */
struct clone_arguments {
    uint64_t flags;
    user_address pidfd, child_tid, parent_tid;
    uint64_t exit_signal;
    user_address stack;
    uint64_t stack_size, tls;
    user_address set_tid;
    uint64_t set_tid_size, cgroup;
};
#define CLONE_ARGUMENTS_FIRST_SIZE 64U
_Static_assert(sizeof(struct clone_arguments) == 88, "CLONE_ARGS_SIZE_VER2");

/* On the stack of the thread that sleeps in vfork(). */
struct vfork {
    uint32_t is_over; /* atomic; once it is set, nobody but the sleeper looks here */
    struct task *sleeper;
};

void release_vfork(struct process *process)
{
    struct vfork *vfork = __atomic_exchange_n(&process->vfork, NULL, __ATOMIC_SEQ_CST);
    if (vfork) {
        struct task *sleeper = vfork->sleeper;
        __atomic_store_n(&vfork->is_over, 1, __ATOMIC_SEQ_CST);
        task_wake(sleeper);
    }
}

/* Nothing but the end of its own process wakes the sleeper before the child lets it go. */
static void sleep_in_vfork(struct process *child, struct vfork *vfork)
{
    while (!__atomic_load_n(&vfork->is_over, __ATOMIC_SEQ_CST)) {
        struct vfork *own = vfork; /* the child may have ended, and be another's by now */
        if (task_must_end() && __atomic_compare_exchange_n(&child->vfork, &own, NULL, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            return;
        }
        task_sleep_deaf();
    }
}

static struct process *make_child(uint64_t flags, uint64_t exit_signal)
{
    struct process *parent = current_process(), *child = process_make();
    if (!child) {
        return NULL;
    }
    child->id = task_new_id();
    bool inherits = child->id && !process_upcalls.inherit_signals(child, flags & CLONE_SIGHAND, flags & CLONE_CLEAR_SIGHAND) &&
                    !process_upcalls.inherit_files(child, flags & CLONE_FILES, flags & CLONE_FS);
    if (!inherits) {
        process_upcalls.leave_signals(child);
        lists_lock();
        process_unlist(child);
        lists_unlock();
        return NULL;
    }
    bool is_sister = (flags & CLONE_PARENT) && parent->parent;
    lists_lock();
    child->parent = parent;
    child->group = parent->group;
    child->session = parent->session;
    child->exit_signal = (uint32_t)(is_sister ? parent->exit_signal : exit_signal);
    child->uid = credentials()->user.real;
    lists_unlock();
    memcpy(child->limits, parent->limits, sizeof child->limits);
    memcpy(child->name, parent->name, sizeof child->name);
    child->arguments_start = parent->arguments_start;
    child->arguments_end = parent->arguments_end;
    child->environment_start = parent->environment_start;
    child->environment_end = parent->environment_end;
    memcpy(child->auxiliary, parent->auxiliary, sizeof child->auxiliary);
    child->vdso = parent->vdso;
    child->stack_top = parent->stack_top;
    child->memory_pressure_adjustment = parent->memory_pressure_adjustment;
    child->attributes.is_not_dumpable = parent->attributes.is_not_dumpable;
    child->attributes.has_no_huge_pages = parent->attributes.has_no_huge_pages;
    child->attributes.broken_memory = parent->attributes.broken_memory;
    child->attributes.uses_barriers = parent->attributes.uses_barriers;
    child->start_time_ns = clock_now_ns(CLOCK_BOOTTIME);
    return child;
}

static void drop_child(struct process *child)
{
    process_upcalls.leave_files(child);
    process_upcalls.leave_signals(child);
    lists_lock();
    process_unlist(child);
    lists_unlock();
}

/* A descriptor of the child, written to where the caller wants it. */
static int64_t make_descriptor(struct process *child, user_address to)
{
    int64_t descriptor = process_upcalls.make_descriptor(child, 0);
    int32_t number = (int32_t)descriptor;
    if (descriptor >= 0 && copy_to_user(to, &number, sizeof number)) {
        process_upcalls.close_descriptor(descriptor);
        return -EFAULT;
    }
    return descriptor;
}

static int64_t clone_process(uint64_t flags, uint64_t exit_signal, user_address pidfd, struct thread_wish *wish)
{
    if (flags & CLONE_NAMESPACES) {
        return -EPERM;
    }
    if ((flags & CLONE_PARENT) && current_process() == &first_process) {
        return -EINVAL;
    }
    struct process *child = make_child(flags, exit_signal);
    if (!child) {
        return -ENOMEM;
    }
    struct vfork vfork = {.sleeper = current_task()};
    child->vfork = flags & CLONE_VFORK ? &vfork : NULL;
    wish->process = child;
    int64_t descriptor = flags & CLONE_PIDFD ? make_descriptor(child, pidfd) : 0;
    if (descriptor < 0) {
        drop_child(child);
        return descriptor;
    }
    int64_t error = flags & CLONE_VM ? 0 : space_fork(&wish->space);
    int64_t id = error ? error : thread_make(wish);
    if (id < 0) {
        if (flags & CLONE_PIDFD) {
            process_upcalls.close_descriptor(descriptor);
        }
        if (wish->space) {
            space_put(wish->space);
        }
        drop_child(child);
    } else if (flags & CLONE_VFORK) {
        sleep_in_vfork(child, &vfork);
    }
    return id;
}

/* What copy_process() of Linux refuses of any flags. */
static bool flags_are_valid(uint64_t flags)
{
    bool lonely_thread = (flags & CLONE_THREAD) && (flags & (CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD));
    bool two_trees = (flags & CLONE_NEWNS) && (flags & CLONE_FS);
    bool two_handlings = (flags & CLONE_SIGHAND) && (flags & CLONE_CLEAR_SIGHAND);
    return !((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) &&
           !((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)) && !lonely_thread && !two_trees && !two_handlings;
}

static int64_t clone(const struct clone_arguments *wanted, user_address stack_pointer)
{
    uint64_t flags = wanted->flags;
    if (!flags_are_valid(flags)) {
        return -EINVAL;
    }
    if ((flags & CLONE_SETTLS) && wanted->tls >= APPLICATION_END) {
        return -EPERM;
    }
    struct thread_wish wish = {
        .stack_pointer = stack_pointer,
        .sets_fs_base = flags & CLONE_SETTLS,
        .fs_base = wanted->tls,
        .parent_id = flags & CLONE_PARENT_SETTID ? wanted->parent_tid : 0,
        .child_id = flags & CLONE_CHILD_SETTID ? wanted->child_tid : 0,
        .clear_id = flags & CLONE_CHILD_CLEARTID ? wanted->child_tid : 0,
        .keeps_signal_stack = !(flags & CLONE_VM) || (flags & CLONE_VFORK),
        .is_sister = flags & CLONE_PARENT,
        .has_own_descriptors = !(flags & CLONE_FILES),
        .has_own_whereabouts = !(flags & CLONE_FS),
    };
    if (flags & CLONE_THREAD) {
        return thread_make(&wish);
    }
    return clone_process(flags, wanted->exit_signal, wanted->pidfd, &wish);
}

int64_t sys_clone(const struct arguments *arguments)
{
    const struct clone_arguments wanted = {
        .flags = (uint32_t)arguments->at[0] & ~CLONE_SIGNAL,
        .parent_tid = arguments->at[2],
        .pidfd = arguments->at[2],
        .child_tid = arguments->at[3],
        .tls = arguments->at[4],
        .exit_signal = arguments->at[0] & CLONE_SIGNAL,
    };
    return clone(&wanted, arguments->at[1]);
}

/* 0, or -EINVAL, -E2BIG, -EFAULT: copy_struct_from_user() of Linux. */
static int64_t import(struct clone_arguments *to, user_address from, uint64_t size)
{
    uint8_t image[PAGE_SIZE];
    if (size > sizeof image) {
        return -E2BIG;
    }
    if (size < CLONE_ARGUMENTS_FIRST_SIZE) {
        return -EINVAL;
    }
    if (copy_from_user(image, from, size)) {
        return -EFAULT;
    }
    for (uint64_t at = sizeof *to; at < size; at++) {
        if (image[at]) {
            return -E2BIG;
        }
    }
    *to = (struct clone_arguments){0};
    memcpy(to, image, size < sizeof *to ? size : sizeof *to);
    return 0;
}

/* clone3_args_valid() of Linux, and copy_clone_args_from_user(). */
static bool is_valid(const struct clone_arguments *wanted, uint64_t size)
{
    const uint64_t known = UINT32_MAX | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    bool is_thread_like = wanted->flags & (CLONE_THREAD | CLONE_PARENT);
    bool ids_match = !wanted->set_tid == !wanted->set_tid_size;
    bool stack_matches = !wanted->stack == !wanted->stack_size;
    bool has_cgroup = !(wanted->flags & CLONE_INTO_CGROUP) || (size >= sizeof *wanted && wanted->cgroup <= INT32_MAX);
    return !(wanted->flags & (~known | CLONE_DETACHED | CLONE_SIGNAL)) && ids_match && has_cgroup && stack_matches &&
           wanted->exit_signal <= SIGNAL_COUNT && !(is_thread_like && wanted->exit_signal);
}

int64_t sys_clone3(const struct arguments *arguments)
{
    struct clone_arguments wanted;
    int64_t error = import(&wanted, arguments->at[0], arguments->at[1]);
    if (error) {
        return error;
    }
    if (!is_valid(&wanted, arguments->at[1])) {
        return -EINVAL;
    }
    if (wanted.set_tid) {
        return -EPERM; /* nobody may choose ids: that takes CAP_CHECKPOINT_RESTORE */
    }
    if (!user_range_is_valid(wanted.stack, wanted.stack_size)) {
        return -EINVAL;
    }
    return clone(&wanted, wanted.stack + wanted.stack_size);
}

int64_t sys_fork(const struct arguments *arguments)
{
    (void)arguments;
    struct thread_wish wish = {.keeps_signal_stack = true};
    return clone_process(0, SIGCHLD, 0, &wish);
}

int64_t sys_vfork(const struct arguments *arguments)
{
    (void)arguments;
    struct thread_wish wish = {.keeps_signal_stack = true};
    return clone_process(CLONE_VM | CLONE_VFORK, SIGCHLD, 0, &wish);
}
