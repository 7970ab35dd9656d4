/* What processes and threads share, and share no longer: kcmp(2), unshare(2), clone(2), CLOSE_RANGE_UNSHARE (close_range(2)). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_TYPES = 8 };
enum { STACK = 64 << 10, HIGH = 50, MAX_DESCRIPTOR = 60 };

static long compare(pid_t one, pid_t other, int type, unsigned long first, unsigned long second)
{
    return syscall(SYS_kcmp, one, other, type, first, second);
}

static int is_other(long result)
{
    return result == 1 || result == 2;
}

static void wait_for(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, __WALL) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Runs in a process that shares `flags` with this one. */
static void with_child(int flags, int (*run)(void *), void *context)
{
    static char stack[STACK] __attribute__((aligned(16)));
    wait_for(clone(run, stack + STACK, flags | SIGCHLD, context));
}

static int look(void *context)
{
    pid_t own = getpid(), parent = getppid();
    int flags = *(int *)context;
    CHECK(!!(flags & CLONE_VM) == (compare(own, parent, KCMP_VM, 0, 0) == 0));
    CHECK(!!(flags & CLONE_FILES) == (compare(own, parent, KCMP_FILES, 0, 0) == 0));
    CHECK(!!(flags & CLONE_FS) == (compare(own, parent, KCMP_FS, 0, 0) == 0));
    CHECK(!!(flags & CLONE_SIGHAND) == (compare(own, parent, KCMP_SIGHAND, 0, 0) == 0));
    CHECK(compare(own, parent, KCMP_FILE, 1, 1) == 0);
    for (int type = KCMP_VM; type <= KCMP_SIGHAND; type++) {
        long there = compare(own, parent, type, 0, 0), back = compare(parent, own, type, 0, 0);
        CHECK(there + back == 0 || there + back == 3);
    }
    _exit(0);
}

static void shared(void)
{
    static const int combinations[] = {
        0, CLONE_FILES, CLONE_FS, CLONE_FILES | CLONE_FS, CLONE_VM | CLONE_VFORK,
        CLONE_VM | CLONE_VFORK | CLONE_SIGHAND | CLONE_FILES,
    };
    for (size_t at = 0; at < sizeof combinations / sizeof *combinations; at++) {
        int flags = combinations[at];
        with_child(flags, look, &flags);
    }
}

static void files(void)
{
    pid_t own = getpid();
    int one = open("/dev/null", O_RDWR), other = open("/dev/null", O_RDWR), copy = dup(one);
    CHECK(one >= 0 && other >= 0 && copy >= 0);
    CHECK(compare(own, own, KCMP_FILE, one, copy) == 0 && compare(own, own, KCMP_FILE, one, one) == 0);
    CHECK(is_other(compare(own, own, KCMP_FILE, one, other)));
    FAILS(compare(own, own, KCMP_FILE, one, 4000), EBADF);
    FAILS(compare(own, own, KCMP_FILE, (unsigned long)-1, one), EBADF);
    FAILS(compare(own, own, KCMP_TYPES, one, one), EINVAL);
    FAILS(compare(own, own, -1, one, one), EINVAL);
    FAILS(compare(own, 0, KCMP_TYPES, one, one), ESRCH);
    FAILS(compare(-1, own, KCMP_FILE, 4000, one), ESRCH);
    CHECK(compare(own, own, KCMP_IO, 0, 0) == 0);
    CHECK(close(one) == 0 && close(other) == 0 && close(copy) == 0);
}

static int close_unshared(void *context)
{
    (void)context;
    CHECK(syscall(SYS_close_range, HIGH, MAX_DESCRIPTOR, 2 /* CLOSE_RANGE_UNSHARE */) == 0);
    FAILS(fcntl(HIGH, F_GETFD), EBADF);
    CHECK(is_other(compare(getpid(), getppid(), KCMP_FILES, 0, 0)));
    _exit(0);
}

static int close_shared(void *context)
{
    (void)context;
    CHECK(unshare(CLONE_FS) == 0);
    CHECK(compare(getpid(), getppid(), KCMP_FILES, 0, 0) == 0 && is_other(compare(getpid(), getppid(), KCMP_FS, 0, 0)));
    CHECK(close(HIGH) == 0 && chdir("/proc") == 0 && umask(0) == 027);
    CHECK(unshare(CLONE_FILES) == 0 && dup2(1, HIGH + 1) == HIGH + 1);
    CHECK(is_other(compare(getpid(), getppid(), KCMP_FILES, 0, 0)));
    _exit(0);
}

static void unshared(void)
{
    char path[64];
    CHECK(chdir("/dev") == 0 && dup2(1, HIGH) == HIGH);
    umask(027);
    with_child(CLONE_FILES | CLONE_FS, close_unshared, NULL);
    CHECK(fcntl(HIGH, F_GETFD) == 0); /* its own is closed */
    with_child(CLONE_FILES | CLONE_FS, close_shared, NULL);
    FAILS(fcntl(HIGH, F_GETFD), EBADF); /* this one they had in common */
    FAILS(fcntl(HIGH + 1, F_GETFD), EBADF);
    CHECK(getcwd(path, sizeof path) && strcmp(path, "/dev") == 0 && umask(022) == 027);
    CHECK(unshare(0) == 0 && unshare(CLONE_FILES | CLONE_FS) == 0);
    FAILS(unshare(CLONE_SETTLS), EINVAL);
    FAILS(unshare(SIGCHLD), EINVAL);
}

static void *unshare_what_threads_are(void *unused)
{
    FAILS(unshare(CLONE_SIGHAND), EINVAL);
    FAILS(unshare(CLONE_VM), EINVAL);
    FAILS(unshare(CLONE_THREAD), EINVAL);
    CHECK(compare(getpid(), gettid(), KCMP_VM, 0, 0) == 0 && compare(getpid(), gettid(), KCMP_FILES, 0, 0) == 0);
    return unused;
}

static int is_apart(pid_t one, pid_t other)
{
    return is_other(compare(one, other, KCMP_FILES, 0, 0)) && is_other(compare(one, other, KCMP_FS, 0, 0));
}

static void *share_with_maker(void *maker)
{
    pid_t thread = *(pid_t *)maker;
    CHECK(compare(gettid(), thread, KCMP_FILES, 0, 0) == 0 && compare(gettid(), thread, KCMP_FS, 0, 0) == 0);
    CHECK(is_apart(getpid(), gettid()) && fcntl(HIGH + 1, F_GETFD) == 0);
    return maker;
}

/* What it closes, opens and enters is nothing to its process; what comes of it begins with what it has. */
static void *have_own_files(void *pipe_end)
{
    pthread_t thread;
    pid_t own = gettid();
    struct stat status;
    CHECK(unshare(CLONE_FILES | CLONE_FS) == 0 && is_apart(getpid(), own));
    CHECK(close(HIGH) == 0 && dup2(1, HIGH + 1) == HIGH + 1 && chdir("/proc") == 0 && umask(0) == 027);
    CHECK(lstat("/proc/thread-self/fd/51", &status) == 0 && fcntl(*(int *)pipe_end, F_GETFD) == 0);
    FAILS(lstat("/proc/self/fd/51", &status), ENOENT);
    CHECK(pthread_create(&thread, NULL, share_with_maker, &own) == 0 && pthread_join(thread, NULL) == 0);
    pid_t child = fork();
    if (child == 0) {
        char path[64];
        CHECK(fcntl(HIGH + 1, F_GETFD) == 0 && getcwd(path, sizeof path) && strcmp(path, "/proc") == 0);
        FAILS(fcntl(HIGH, F_GETFD), EBADF);
        _exit(0);
    }
    wait_for(child);
    return pipe_end;
}

static void *close_own_range(void *unused)
{
    CHECK(syscall(SYS_close_range, HIGH, MAX_DESCRIPTOR, 2 /* CLOSE_RANGE_UNSHARE */) == 0);
    FAILS(fcntl(HIGH, F_GETFD), EBADF);
    CHECK(is_other(compare(getpid(), gettid(), KCMP_FILES, 0, 0)) && compare(getpid(), gettid(), KCMP_FS, 0, 0) == 0);
    return unused;
}

static pid_t lone_thread; /* cleared and woken when it has ended */

/* It has the caller's thread-local storage, which waits: no function of the C library's that would use it. */
static int begin_with_copies(void *unused)
{
    (void)unused;
    syscall(SYS_close, HIGH);
    syscall(SYS_chdir, "/proc");
    syscall(SYS_exit, 0);
    return 0;
}

static void own_files_of_threads(void)
{
    static char stack[STACK] __attribute__((aligned(16)));
    static const int shares_memory = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    pthread_t thread;
    char path[64];
    int ends[2];
    CHECK(pipe(ends) == 0 && dup2(1, HIGH) == HIGH && chdir("/dev") == 0);
    umask(027);
    CHECK(pthread_create(&thread, NULL, have_own_files, &ends[1]) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(close(ends[1]) == 0 && read(ends[0], path, 1) == 0); /* its own end was closed with it */
    FAILS(fcntl(HIGH + 1, F_GETFD), EBADF);
    CHECK(pthread_create(&thread, NULL, close_own_range, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(clone(begin_with_copies, stack + STACK, shares_memory, NULL, &lone_thread, NULL, &lone_thread) > 0);
    for (pid_t id; (id = __atomic_load_n(&lone_thread, __ATOMIC_SEQ_CST)) != 0;) {
        syscall(SYS_futex, &lone_thread, 0 /* FUTEX_WAIT */, id, NULL, NULL, 0);
    }
    CHECK(fcntl(HIGH, F_GETFD) == 0 && getcwd(path, sizeof path) && strcmp(path, "/dev") == 0 && umask(022) == 027);
    CHECK(close(ends[0]) == 0 && close(HIGH) == 0);
}

static void others(void)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(setgid(33) == 0 && setuid(33) == 0);
        FAILS(compare(getpid(), getppid(), KCMP_VM, 0, 0), EPERM);
        _exit(0);
    }
    wait_for(child);
}

int main(void)
{
    pthread_t thread;
    files();
    shared();
    unshared();
    CHECK(pthread_create(&thread, NULL, unshare_what_threads_are, NULL) == 0 && pthread_join(thread, NULL) == 0);
    own_files_of_threads();
    if (getuid() == 0) {
        others();
    }
    return 0;
}
