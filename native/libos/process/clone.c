/* clone(2) and its like: threads. What would be a process is refused. */
#include "process/task.h"

/* include/uapi/linux/sched.h */
enum clone_flag {
    CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_PIDFD = 0x1000,
    CLONE_PARENT = 0x8000, CLONE_THREAD = 0x10000, CLONE_NEWNS = 0x20000, CLONE_SETTLS = 0x80000,
    CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000, CLONE_DETACHED = 0x400000,
    CLONE_CHILD_SETTID = 0x1000000, CLONE_NEWUSER = 0x10000000, CLONE_NEWPID = 0x20000000,
};
#define CLONE_CLEAR_SIGHAND (1ULL << 32)
#define CLONE_INTO_CGROUP (1ULL << 33)
#define CLONE_SIGNAL 0xFFULL /* clone(): what the end of the child sends */
#define CLONE_OF_A_THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

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

static int64_t refuse_process(const char *call)
{
    log_line(LOG_INFO, "%s: new processes are not supported", call);
    return -ENOSYS;
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

static int64_t clone(const char *call, const struct clone_arguments *wanted, user_address stack_pointer)
{
    uint64_t flags = wanted->flags;
    if (!flags_are_valid(flags)) {
        return -EINVAL;
    }
    if ((flags & CLONE_OF_A_THREAD) != CLONE_OF_A_THREAD) {
        return refuse_process(call);
    }
    if ((flags & CLONE_SETTLS) && wanted->tls >= APPLICATION_END) {
        return -EPERM;
    }
    return thread_make(&(struct thread_wish){
        .stack_pointer = stack_pointer,
        .sets_fs_base = flags & CLONE_SETTLS,
        .fs_base = wanted->tls,
        .parent_id = flags & CLONE_PARENT_SETTID ? wanted->parent_tid : 0,
        .child_id = flags & CLONE_CHILD_SETTID ? wanted->child_tid : 0,
        .clear_id = flags & CLONE_CHILD_CLEARTID ? wanted->child_tid : 0,
    });
}

int64_t sys_clone(const struct arguments *arguments)
{
    const struct clone_arguments wanted = {
        .flags = (uint32_t)arguments->at[0] & ~CLONE_SIGNAL,
        .parent_tid = arguments->at[2],
        .child_tid = arguments->at[3],
        .tls = arguments->at[4],
    };
    return clone("clone", &wanted, arguments->at[1]);
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
    return clone("clone3", &wanted, wanted.stack + wanted.stack_size);
}

int64_t sys_fork(const struct arguments *arguments)
{
    (void)arguments;
    return refuse_process("fork");
}

int64_t sys_vfork(const struct arguments *arguments)
{
    (void)arguments;
    return refuse_process("vfork");
}

int64_t sys_execve(const struct arguments *arguments)
{
    (void)arguments;
    return refuse_process("execve");
}
