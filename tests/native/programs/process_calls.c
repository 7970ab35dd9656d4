/* What a process and its threads say of themselves and do to themselves: prctl(2), pidfd_open(2), clone3(2), kill(2),
 * waitid(2), sched_setattr(2). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 0x3FFFFFFF

static void personalities(void)
{
    struct utsname usual, other;
    CHECK(uname(&usual) == 0 && strcmp(usual.machine, "x86_64") == 0);
    CHECK(personality(PER_LINUX32 | UNAME26) == PER_LINUX && uname(&other) == 0);
    CHECK(strcmp(other.machine, "i686") == 0 && strncmp(other.release, "2.6.", 4) == 0);
    CHECK(strcmp(strchr(other.release, '-'), strchr(usual.release, '-')) == 0);
    CHECK(personality(PER_SVR4) == (PER_LINUX32 | UNAME26) && uname(&other) == 0 && strcmp(other.machine, "x86_64") == 0);
    CHECK(strcmp(other.release, usual.release) == 0 && personality(PER_LINUX) == PER_SVR4);
}

static void own_attributes(void)
{
    int value = -1;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && prctl(PR_GET_PDEATHSIG, &value) == 0 && value == SIGUSR1);
    FAILS(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
    CHECK(prctl(PR_SET_PDEATHSIG, 0) == 0);
    CHECK(personality(0xFFFFFFFF) == 0 && personality(ADDR_NO_RANDOMIZE) == 0 && personality(0xFFFFFFFF) == ADDR_NO_RANDOMIZE);
    CHECK(personality(PER_LINUX) == ADDR_NO_RANDOMIZE && personality(0xFFFFFFFF) == PER_LINUX);
    personalities();
    CHECK(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && prctl(PR_GET_DUMPABLE) == 1);
    FAILS(prctl(PR_SET_DUMPABLE, 2), EINVAL);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &value) == 0 && value == 1);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &value) == 0 && value == 0);
    FAILS(prctl(PR_GET_CHILD_SUBREAPER, 8), EFAULT);
    CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
    CHECK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
    FAILS(prctl(PR_SET_THP_DISABLE, 1, 1, 0, 0), EINVAL);
    FAILS(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
    FAILS(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    FAILS(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
    FAILS(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0), EINVAL);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && prctl(PR_GET_KEEPCAPS) == 1 && prctl(PR_SET_KEEPCAPS, 0) == 0);
    FAILS(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
    CHECK(prctl(PR_GET_TIMERSLACK) == 50000 && prctl(PR_SET_TIMERSLACK, 1000) == 0);
    CHECK(prctl(PR_GET_TIMERSLACK) == 1000 && prctl(PR_SET_TIMERSLACK, 0) == 0);
    CHECK(prctl(PR_GET_TIMERSLACK) == 50000);
    CHECK(prctl(PR_GET_TIMING) == 0 && prctl(PR_SET_TIMING, 0) == 0);
    FAILS(prctl(PR_SET_TIMING, 1), EINVAL);
    CHECK(prctl(PR_CAPBSET_READ, 0) >= 0);
    FAILS(prctl(PR_CAPBSET_READ, 64), EINVAL);
    FAILS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 64, 0, 0), EINVAL);
    FAILS(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0), EINVAL);
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
    FAILS(prctl(12345), EINVAL);
}

static volatile int signalled, signal_code;
static volatile intptr_t signal_value;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)context;
    signalled = signal;
    signal_code = info->si_code;
    signal_value = (intptr_t)info->si_value.sival_ptr;
}

_Noreturn static void *sleep_for_ever(void *argument)
{
    *(volatile pid_t *)argument = gettid();
    for (;;) {
        pause();
    }
}

static long send_signal(int fd, int signal, siginfo_t *info, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, fd, signal, info, flags);
}

static void descriptors_of_processes(pid_t thread)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0), other;
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    FAILS(syscall(SYS_pidfd_open, 0, 0), EINVAL);
    FAILS(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    FAILS(syscall(SYS_pidfd_open, NOBODY, 0), ESRCH);
    FAILS(syscall(SYS_pidfd_open, getpid(), 1), EINVAL);
    (void)thread;
    CHECK((other = (int)syscall(SYS_pidfd_open, getpid(), O_NONBLOCK)) >= 0);
    CHECK((fcntl(other, F_GETFL) & O_NONBLOCK) && close(other) == 0);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, 0) == 0);
    char byte;
    FAILS(read(fd, &byte, 1), EINVAL);
    CHECK(send_signal(fd, 0, NULL, 0) == 0);
    CHECK(send_signal(fd, SIGUSR1, NULL, 0) == 0 && signalled == SIGUSR1 && signal_code == SI_USER);
    siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_QUEUE, .si_value = {.sival_ptr = (void *)0x123456789L}};
    CHECK(send_signal(fd, SIGUSR2, &info, 0) == 0 && signalled == SIGUSR2 && signal_code == SI_QUEUE);
    CHECK(signal_value == 0x123456789L);
    FAILS(send_signal(fd, SIGUSR1, &info, 0), EINVAL);
    FAILS(send_signal(fd, SIGUSR1, NULL, 99), EINVAL);
    FAILS(send_signal(fd, 65, NULL, 0), EINVAL);
    FAILS(send_signal(0, SIGUSR1, NULL, 0), EBADF);
    FAILS(send_signal(-1, SIGUSR1, NULL, 0), EBADF);
    int folder = open("/proc/self", O_RDONLY | O_DIRECTORY), task = open("/proc/thread-self", O_RDONLY | O_DIRECTORY);
    signalled = 0;
    CHECK(send_signal(folder, SIGUSR1, NULL, 0) == 0 && signalled == SIGUSR1);
    FAILS(syscall(SYS_pidfd_getfd, folder, 0, 0), EBADF);
    FAILS(waitid(P_PIDFD, (id_t)folder, &info, WEXITED | WNOHANG), EBADF);
    CHECK(close(folder) == 0);
    if (task >= 0) {
        FAILS(send_signal(task, SIGUSR1, NULL, 0), EBADF);
        close(task);
    }
    FAILS(send_signal(folder = open("/proc/self", O_PATH), SIGUSR1, NULL, 0), EBADF);
    CHECK(close(folder) == 0);
    FAILS(send_signal(fd, SIGUSR2, (siginfo_t *)8, 0), EFAULT);
    int event = eventfd(7, 0), copy = (int)syscall(SYS_pidfd_getfd, fd, event, 0);
    uint64_t value;
    CHECK(copy >= 0 && copy != event && fcntl(copy, F_GETFD) == FD_CLOEXEC);
    CHECK(read(copy, &value, sizeof value) == sizeof value && value == 7);
    CHECK(close(copy) == 0 && close(event) == 0);
    FAILS(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
    FAILS(syscall(SYS_pidfd_getfd, 0, 0, 0), EBADF);
    FAILS(syscall(SYS_pidfd_getfd, fd, 0, 1), EINVAL);
    siginfo_t ended;
    FAILS(waitid(P_PIDFD, (id_t)fd, &ended, WEXITED | WNOHANG), ECHILD);
    FAILS(waitid(P_PIDFD, 0, &ended, WEXITED | WNOHANG), EBADF);
    CHECK(close(fd) == 0);
    FAILS(waitid(P_PIDFD, (id_t)fd, &ended, WEXITED | WNOHANG), EBADF);
}

static void waiting_for_nobody(void)
{
    siginfo_t info;
    FAILS(waitpid(-1, NULL, WNOHANG), ECHILD);
    FAILS(waitpid(-1, NULL, 0x400), EINVAL);
    FAILS(waitpid(INT_MIN, NULL, WNOHANG), ESRCH);
    FAILS(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    FAILS(waitid(P_ALL, 0, &info, 0), EINVAL);
    FAILS(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    FAILS(waitid(P_PID, 1 + (id_t)getpid(), &info, WEXITED), ECHILD);
    FAILS(waitid((idtype_t)9, 0, &info, WEXITED), EINVAL);
    FAILS(waitid(P_ALL, 0, &info, WEXITED | 0x400), EINVAL);
}

static void sending(pid_t thread)
{
    signalled = 0;
    CHECK(kill(getpid(), SIGUSR1) == 0 && signalled == SIGUSR1);
    signalled = 0;
    CHECK(kill(thread, SIGUSR2) == 0); /* a thread's id stands for its process */
    while (!signalled) {
    }
    FAILS(kill(getpid(), 65), EINVAL);
    FAILS(kill(NOBODY, 65), ESRCH);
    FAILS(kill(INT_MIN, SIGUSR1), ESRCH);
    FAILS(kill(-NOBODY, SIGUSR1), ESRCH);
    if (getpid() == 1) { /* elsewhere others would be meant */
        signalled = 0;
        FAILS(kill(-1, SIGUSR1), ESRCH);
        CHECK(signalled == 0);
    }
    FAILS(syscall(SYS_tgkill, 0, getpid(), SIGUSR1), EINVAL);
    FAILS(syscall(SYS_tgkill, getpid(), NOBODY, SIGUSR1), ESRCH);
    FAILS(syscall(SYS_tgkill, NOBODY, gettid(), SIGUSR1), ESRCH);
    FAILS(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
}

/* struct clone_args as clone3(2) has it, the last field left out. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};
#define STACK_SIZE 65536
#define THREAD_FLAGS                                                                                          \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_PARENT_SETTID |                 \
     CLONE_CHILD_CLEARTID | CLONE_SETTLS)
#ifndef CLONE_VM
enum {
    CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x10000,
    CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000,
};
#endif
#define SYSTEM_CALL_CLONE3 435

static volatile int clone_ran;
static volatile uint32_t clone_id;

/* On a stack of its own, with no C library below it. */
static void __attribute__((used)) run_clone(void)
{
    clone_ran = 1;
    __asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0));
    __builtin_unreachable();
}

static long clone3(const struct clone_arguments *arguments, size_t size)
{
    long result;
    __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n and $-16, %%rsp\n call run_clone\n1:"
                     : "=a"(result)
                     : "a"(SYSTEM_CALL_CLONE3), "D"(arguments), "S"(size)
                     : "rcx", "r11", "memory");
    errno = result < 0 ? (int)-result : 0;
    return result < 0 ? -1 : result;
}

static void threads_by_clone3(void)
{
    static uint64_t storage[512];
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint32_t parent_id = 0;
    storage[256] = (uint64_t)&storage[256];
    clone_id = 1;
    struct clone_arguments arguments = {
        .flags = THREAD_FLAGS,
        .child_tid = (uint64_t)&clone_id,
        .parent_tid = (uint64_t)&parent_id,
        .stack = (uint64_t)stack,
        .stack_size = STACK_SIZE,
        .tls = (uint64_t)&storage[256],
    };
    long id = clone3(&arguments, sizeof arguments);
    CHECK(id > 0 && parent_id == (uint32_t)id);
    while (clone_id != 0) {
        syscall(SYS_futex, &clone_id, 0, 1, NULL, NULL, 0);
    }
    CHECK(clone_ran);
    FAILS(clone3(&arguments, sizeof arguments - 8), EINVAL);
    FAILS(clone3(&arguments, 4097), E2BIG);
    FAILS(clone3((void *)8, sizeof arguments), EFAULT);
    struct {
        struct clone_arguments known;
        uint64_t more[8];
    } longer = {.known = arguments, .more = {[5] = 1}};
    FAILS(clone3(&longer.known, sizeof longer), E2BIG);
    arguments.exit_signal = SIGCHLD; /* threads send none */
    FAILS(clone3(&arguments, sizeof arguments), EINVAL);
    arguments.exit_signal = 0;
    arguments.stack_size = 0;
    FAILS(clone3(&arguments, sizeof arguments), EINVAL);
    arguments.stack_size = STACK_SIZE;
    arguments.flags = CLONE_THREAD;
    FAILS(clone3(&arguments, sizeof arguments), EINVAL);
    arguments.flags = THREAD_FLAGS | 0x400000; /* CLONE_DETACHED */
    FAILS(clone3(&arguments, sizeof arguments), EINVAL);
    arguments.flags = THREAD_FLAGS | 1ULL << 40;
    FAILS(clone3(&arguments, sizeof arguments), EINVAL);
    CHECK(munmap(stack, STACK_SIZE) == 0);
}

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static void scheduling(void)
{
    struct attributes now = {0}, wanted = {.size = sizeof wanted};
    CHECK(syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) == 0);
    CHECK(now.size == sizeof now && now.policy == 0 && now.priority == 0);
    wanted.nice = now.nice < 15 ? now.nice + 5 : 19;
    CHECK(syscall(SYS_sched_setattr, 0, &wanted, 0) == 0);
    CHECK(syscall(SYS_sched_getattr, getpid(), &now, sizeof now, 0) == 0 && now.nice == wanted.nice);
    wanted.policy = 3; /* SCHED_BATCH */
    wanted.flags = 1;  /* SCHED_FLAG_RESET_ON_FORK */
    CHECK(syscall(SYS_sched_setattr, gettid(), &wanted, 0) == 0);
    CHECK(syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) == 0 && now.policy == 3 && now.flags == 1);
    CHECK(syscall(SYS_sched_getscheduler, 0) == (3 | 0x40000000));
    FAILS(syscall(SYS_sched_getattr, 0, &now, 47, 0), EINVAL);
    FAILS(syscall(SYS_sched_getattr, -1, &now, sizeof now, 0), EINVAL);
    FAILS(syscall(SYS_sched_getattr, NOBODY, &now, sizeof now, 0), ESRCH);
    FAILS(syscall(SYS_sched_getattr, 0, NULL, sizeof now, 0), EINVAL);
    FAILS(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_sched_setattr, 0, &wanted, 1), EINVAL);
    FAILS(syscall(SYS_sched_setattr, NOBODY, &wanted, 0), ESRCH);
    FAILS(syscall(SYS_sched_setattr, 0, 8, 0), EFAULT);
    wanted.size = 40;
    FAILS(syscall(SYS_sched_setattr, 0, &wanted, 0), E2BIG);
    CHECK(wanted.size >= 48);
    wanted.size = sizeof wanted;
    wanted.priority = 1;
    FAILS(syscall(SYS_sched_setattr, 0, &wanted, 0), EINVAL);
    wanted.priority = 0;
    wanted.policy = 6; /* SCHED_DEADLINE */
    FAILS(syscall(SYS_sched_setattr, 0, &wanted, 0), EINVAL);
    wanted.policy = 99;
    FAILS(syscall(SYS_sched_setattr, 0, &wanted, 0), EINVAL);
    struct timespec slice;
    CHECK(syscall(SYS_sched_rr_get_interval, 0, &slice) == 0 && slice.tv_sec == 0);
    FAILS(syscall(SYS_sched_rr_get_interval, -1, &slice), EINVAL);
    FAILS(syscall(SYS_sched_rr_get_interval, NOBODY, &slice), ESRCH);
    unsigned cpu = 99, node = 99;
    CHECK(syscall(SYS_getcpu, &cpu, &node, NULL) == 0 && cpu < 1024 && node < 64);
    FAILS(syscall(SYS_getcpu, 8, NULL, NULL), EFAULT);
}

/* What is wrong first is told first. */
static void order_of_errors(void)
{
    char byte, path[4];
    void *bad = (void *)-4096L;
    FAILS(syscall(SYS_read, -1, bad, 1), EBADF);
    FAILS(syscall(SYS_write, -1, bad, 1), EBADF);
    FAILS(syscall(SYS_read, 0, bad, 1), EFAULT);
    FAILS(syscall(SYS_fstat, -1, bad), EBADF);
    FAILS(syscall(SYS_timerfd_gettime, -1, bad), EBADF);
    FAILS(syscall(SYS_timerfd_gettime, 0, bad), EINVAL);
    FAILS(syscall(SYS_timerfd_settime, -1, 0, bad, NULL), EFAULT);
    FAILS(syscall(SYS_clock_gettime, 99, bad), EINVAL);
    FAILS(syscall(SYS_clock_gettime, 0, bad), EFAULT);
    FAILS(syscall(SYS_getitimer, 9, bad), EINVAL);
    FAILS(syscall(SYS_getrlimit, 99, bad), EINVAL);
    FAILS(syscall(SYS_getcwd, NULL, 1), ERANGE);
    FAILS(syscall(SYS_getcwd, path, 1), ERANGE);
    FAILS(syscall(SYS_getcwd, NULL, 4096), EFAULT);
    (void)byte;
}

/* Others' threads are scheduled by who has CAP_SYS_NICE alone. */
static void scheduling_of_others(void)
{
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        uint64_t mask = 1, none = 0;
        int priority = 0;
        CHECK(setuid(65534) == 0);
        FAILS(syscall(SYS_sched_setaffinity, parent, sizeof mask, &mask), EPERM);
        FAILS(syscall(SYS_sched_setaffinity, parent, sizeof none, &none), EPERM);
        FAILS(syscall(SYS_sched_setscheduler, parent, 0, &priority), EPERM);
        FAILS(syscall(SYS_sched_setparam, parent, &priority), EPERM);
        FAILS(syscall(SYS_setpriority, PRIO_PROCESS, parent, -2), EPERM);
        FAILS(syscall(SYS_setpriority, PRIO_PROCESS, parent, 19), EPERM);
        FAILS(syscall(SYS_setpriority, PRIO_PROCESS, 0, -2), EACCES);
        CHECK(syscall(SYS_sched_getscheduler, parent) == 0 && syscall(SYS_setpriority, PRIO_PROCESS, 0, 5) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    static volatile pid_t id;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, sleep_for_ever, (void *)&id) == 0);
    while (!id) {
        sched_yield();
    }
    own_attributes();
    descriptors_of_processes(id);
    waiting_for_nobody();
    sending(id);
    threads_by_clone3();
    order_of_errors();
    if (getuid() == 0) {
        scheduling_of_others();
    }
    if (setgid(65534) == 0 && setuid(65534) == 0) { /* what only root may do comes natively, and not inside */
        FAILS(setpgid(NOBODY, 0), ESRCH);
        FAILS(setpgid(0, -1), EINVAL);
    }
    scheduling();
    puts("process calls ok");
}
