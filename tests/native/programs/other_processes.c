/* What processes see of each other: /proc, limits, priorities, memory. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_SIZE 16384
#define PAGE 4096UL

static char text[TEXT_SIZE];

static const char *path_of(int id, const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", id, name);
    return path;
}

/* -> bytes, or a negative errno. */
static ssize_t read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t all = 0, got;
    while ((got = read(fd, text + all, sizeof text - 1 - (size_t)all)) > 0) {
        all += got;
    }
    int error = errno;
    close(fd);
    text[all] = '\0';
    return got < 0 ? -error : all;
}

static ssize_t write_file(const char *path, const char *what)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t done = fd < 0 ? -1 : write(fd, what, strlen(what));
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    return done < 0 ? -error : done;
}

/* The nth field of stat, from 1. */
static long long field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')') + 2;
    for (int passed = 3; passed < number; passed++) {
        at = strchr(at, ' ') + 1;
    }
    return number == 3 ? *at : atoll(at);
}

static char state_of(int id)
{
    CHECK(read_file(path_of(id, "stat")) > 0);
    return (char)field(text, 3);
}

static void wait_for_state(int id, char state)
{
    while (state_of(id) != state) {
        usleep(1000);
    }
}

/* A line of status, behind its name and a tab. */
static const char *line_of(int id, const char *name)
{
    static char line[256];
    CHECK(read_file(path_of(id, "status")) > 0);
    snprintf(line, sizeof line, "\n%s:\t", name);
    const char *at = strncmp(text, line + 1, strlen(line + 1)) == 0 ? text - 1 : strstr(text, line);
    CHECK(at != NULL);
    at += strlen(line);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static const char *link_of(int id, const char *name)
{
    static char target[256];
    ssize_t length = readlink(path_of(id, name), target, sizeof target - 1);
    if (length < 0) {
        return NULL;
    }
    target[length] = '\0';
    return target;
}

/* Is the number a name in the folder, and does it have there the number of its inode? */
static int is_listed(const char *folder, int id)
{
    char name[16], path[300];
    int found = 0;
    struct stat status;
    DIR *open_folder = opendir(folder);
    CHECK(open_folder);
    snprintf(name, sizeof name, "%d", id);
    for (struct dirent *entry; (entry = readdir(open_folder)) != NULL;) {
        if (strcmp(entry->d_name, name) == 0) {
            snprintf(path, sizeof path, "%s/%s", folder, name);
            CHECK(lstat(path, &status) == 0);
            found = status.st_ino == entry->d_ino || strcmp(folder, "/proc") != 0 ? 1 : -1;
        }
    }
    closedir(open_folder);
    return found;
}

static char shown[] = "what the child has";
static int opened[2];

static pid_t start_child(void (*run)(void))
{
    CHECK(pipe(opened) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(opened[0]);
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* should a check fail */
        run();
        CHECK(write(opened[1], "x", 1) == 1);
        for (;;) {
            pause();
        }
    }
    char byte;
    close(opened[1]);
    CHECK(read(opened[0], &byte, 1) == 1);
    close(opened[0]);
    return child;
}

static void end_child(pid_t child)
{
    int status;
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
}

static void ignore(int signal)
{
    (void)signal;
}

static void settle(void)
{
    struct rlimit limit = {77, 100};
    sigset_t mask;
    CHECK(chdir("/proc") == 0 && prctl(PR_SET_NAME, "a (child) x") == 0 && setpgid(0, 0) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0 && dup2(open("/dev/null", O_WRONLY), 50) == 50);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, ignore);
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    CHECK(prctl(PR_GET_TIMERSLACK) == 70000 && prctl(PR_SET_TIMERSLACK, 1000L) == 0);
    CHECK(prctl(PR_SET_TIMERSLACK, 0L) == 0 && prctl(PR_GET_TIMERSLACK) == 70000); /* what its parent had is its default */
    strcpy(shown, "what a child wrote");
}

static void facts(pid_t child)
{
    char own[TEXT_SIZE];
    int id, count = 1;
    char limits[] = "Max open files            77                   100 ";
    wait_for_state(child, 'S');
    CHECK(is_listed("/proc", child) == 1 && is_listed("/proc", getpid()) == 1);
    CHECK(is_listed(path_of(child, "task"), child) == 1 && is_listed(path_of(child, "fd"), 50) == 1 && is_listed(path_of(child, "fd"), 51) == 0);
    CHECK(read_file(path_of(child, "stat")) > 0 && sscanf(text, "%d (a (child) x) S", &id) == 1 && id == child);
    CHECK(field(text, 4) == getpid() && field(text, 5) == child && field(text, 6) == getsid(0) && field(text, 18) == 20 && field(text, 19) == 0);
    CHECK(field(text, 20) == 1 && field(text, 23) > 0 && field(text, 24) >= 0 && field(text, 38) == SIGCHLD);
    CHECK(field(text, 32) == 1 && (field(text, 33) & 1 << (SIGUSR1 - 1)) && (field(text, 34) & 1 << (SIGUSR2 - 1)));
    for (const char *at = strrchr(text, ')'); *at != '\0'; at++) {
        count += *at == ' ';
    }
    CHECK(count == 51); /* and the two before */
    CHECK(strcmp(line_of(child, "Name"), "a (child) x") == 0 && atoi(line_of(child, "PPid")) == getpid());
    CHECK(atoi(line_of(child, "Tgid")) == child && atoi(line_of(child, "Threads")) == 1 && line_of(child, "State")[0] == 'S');
    CHECK(strtoull(line_of(child, "SigBlk"), NULL, 16) == 1 && atoi(line_of(child, "VmRSS")) > 0);
    CHECK(read_file("/proc/self/cmdline") > 0);
    memcpy(own, text, sizeof own);
    CHECK(read_file(path_of(child, "cmdline")) > 0 && memcmp(own, text, sizeof own) == 0);
    CHECK(read_file(path_of(child, "comm")) == 12 && strcmp(text, "a (child) x\n") == 0);
    CHECK(read_file(path_of(child, "limits")) > 0 && strstr(text, limits) != NULL);
    CHECK(read_file(path_of(child, "maps")) > 0 && strstr(text, "[stack]") != NULL && read_file(path_of(child, "smaps_rollup")) > 0);
    CHECK(read_file(path_of(child, "statm")) > 0 && read_file(path_of(child, "io")) > 0 && read_file(path_of(child, "auxv")) > 0);
    CHECK(read_file(path_of(child, "mounts")) > 0 && read_file(path_of(child, "cgroup")) > 0 && read_file(path_of(child, "wchan")) > 0);
    snprintf(own, sizeof own, "%s", link_of(getpid(), "exe"));
    CHECK(strcmp(own, link_of(child, "exe")) == 0 && strcmp(link_of(child, "cwd"), "/proc") == 0 && strcmp(link_of(child, "root"), "/") == 0);
    CHECK(strcmp(link_of(child, "fd/50"), "/dev/null") == 0 && access(path_of(child, "fd/51"), F_OK) == -1);
    CHECK(read_file(path_of(child, "fdinfo/50")) > 0 && strstr(text, "flags:\t") != NULL);
    int null = open(path_of(child, "fd/50"), O_WRONLY);
    CHECK(null >= 0 && write(null, "x", 1) == 1 && close(null) == 0);
    int cwd = open(path_of(child, "cwd"), O_RDONLY | O_DIRECTORY);
    CHECK(cwd >= 0 && faccessat(cwd, "self", F_OK, 0) == 0 && close(cwd) == 0);
}

/* The text is made anew when it is read from the beginning. */
static void stops(pid_t child)
{
    char line[256];
    int fd = open(path_of(child, "stat"), O_RDONLY);
    CHECK(pread(fd, line, sizeof line, 0) > 0 && strchr(line, ')')[1] == ' ');
    CHECK(kill(child, SIGSTOP) == 0);
    wait_for_state(child, 'T');
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && read(fd, line, sizeof line) > 0 && field(line, 3) == 'T');
    CHECK(kill(child, SIGCONT) == 0);
    wait_for_state(child, 'S');
    CHECK(pread(fd, line, sizeof line, 0) > 0 && field(line, 3) == 'S' && close(fd) == 0);
}

static void told(pid_t child)
{
    struct rlimit limit, wanted = {60, 90};
    cpu_set_t set;
    CHECK(kill(child, 0) == 0 && prlimit(child, RLIMIT_NOFILE, &wanted, &limit) == 0 && limit.rlim_cur == 77 && limit.rlim_max == 100);
    CHECK(prlimit(child, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur == 60 && limit.rlim_max == 90);
    FAILS(prlimit(child, RLIM_NLIMITS, NULL, &limit), EINVAL);
    wanted.rlim_cur = 91;
    FAILS(prlimit(child, RLIMIT_NOFILE, &wanted, NULL), EINVAL);
    FAILS(prlimit(32767, RLIMIT_NOFILE, NULL, &limit), ESRCH);
    CHECK(setpriority(PRIO_PROCESS, (id_t)child, 7) == 0 && getpriority(PRIO_PROCESS, (id_t)child) == 7);
    CHECK(getpriority(PRIO_PROCESS, 0) == 0 && getpriority(PRIO_PGRP, (id_t)child) == 7);
    CHECK(setpriority(PRIO_PGRP, (id_t)child, 9) == 0 && getpriority(PRIO_PROCESS, (id_t)child) == 9 && getpriority(PRIO_PROCESS, 0) == 0);
    FAILS(setpriority(PRIO_PGRP, 32767, 9), ESRCH);
    CHECK(read_file(path_of(child, "stat")) > 0 && field(text, 18) == 29 && field(text, 19) == 9);
    CHECK(sched_getaffinity(child, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1 && syscall(SYS_sched_getscheduler, child) == SCHED_OTHER);
    CHECK(write_file(path_of(child, "oom_score_adj"), "500\n") == 4 && read_file(path_of(child, "oom_score_adj")) == 4 && atoi(text) == 500);
    CHECK(write_file(path_of(child, "oom_score_adj"), "1001") == -EINVAL && write_file(path_of(child, "comm"), "x") == -EINVAL);
    CHECK(write_file("/proc/self/comm", "renamed\n") == 8);
    CHECK(read_file("/proc/self/comm") == 9 || strcmp(text, "renamed\n") == 0);
    CHECK(write_file("/proc/self/stat", "x") == -EINVAL || write_file("/proc/self/stat", "x") == -EACCES);
}

static void memory(pid_t child)
{
    char here[64] = {0}, more[8] = {0};
    struct iovec local[2] = {{more, 5}, {here, sizeof shown - 5}}, remote = {shown, sizeof shown};
    CHECK(process_vm_readv(child, local, 2, &remote, 1, 0) == (ssize_t)sizeof shown);
    CHECK(strcmp(more, "what ") == 0 && strcmp(here, "a child wrote") == 0 && strcmp(shown, "what the child has") == 0);
    strcpy(more, "from");
    CHECK(process_vm_writev(child, local, 1, &remote, 1, 0) == 5);
    memset(here, 0, sizeof here);
    local[0] = (struct iovec){here, sizeof shown};
    CHECK(process_vm_readv(child, local, 1, &remote, 1, 0) == (ssize_t)sizeof shown && memcmp(here, "from\0a child wrote", 18) == 0);
    CHECK(strcmp(shown, "what the child has") == 0);
    char *room = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* the child has nothing there */
    remote = (struct iovec){room, 10};
    FAILS(process_vm_readv(child, local, 1, &remote, 1, 0), EFAULT);
    CHECK(mprotect(room + PAGE, PAGE, PROT_NONE) == 0);
    local[0] = (struct iovec){here, 20};
    remote = (struct iovec){room + PAGE - 10, 20};
    CHECK(process_vm_readv(getpid(), local, 1, &remote, 1, 0) == 10 && munmap(room, 2 * PAGE) == 0);
    FAILS(process_vm_readv(child, local, 1, &remote, 1, 1), EINVAL);
    FAILS(process_vm_readv(32767, local, 1, &remote, 1, 0), ESRCH);
    CHECK(process_vm_readv(32767, local, 0, &remote, 1, 0) == 0);
}

static void end(pid_t child)
{
    char name[64];
    struct rlimit limit;
    int stat = open(path_of(child, "stat"), O_RDONLY), maps = open(path_of(child, "maps"), O_RDONLY);
    int folder = open(path_of(child, ""), O_RDONLY | O_DIRECTORY), files = open(path_of(child, "fd"), O_RDONLY | O_DIRECTORY);
    CHECK(stat >= 0 && maps >= 0 && folder >= 0 && files >= 0 && kill(child, SIGKILL) == 0);
    wait_for_state(child, 'Z');
    CHECK(read_file(path_of(child, "cmdline")) == 0 && link_of(child, "exe") == NULL && line_of(child, "State")[0] == 'Z');
    CHECK(is_listed("/proc", child) == 1 && atoi(line_of(child, "PPid")) == getpid() && is_listed(path_of(child, "task"), child) == 1);
    CHECK(read_file(path_of(child, "statm")) == 14 && strcmp(text, "0 0 0 0 0 0 0\n") == 0 && read_file(path_of(child, "limits")) > 0);
    CHECK(kill(child, 0) == 0 && prlimit(child, RLIMIT_CORE, NULL, &limit) == 0);
    CHECK(read(maps, name, sizeof name) == 0);
    CHECK(waitpid(child, NULL, 0) == child);
    FAILS(pread(stat, name, sizeof name, 0), ESRCH);
    CHECK(openat(folder, "stat", O_RDONLY) == -1 && (errno == ENOENT || errno == ESRCH)); /* kernels differ */
    FAILS(openat(files, "0", O_RDONLY), ENOENT);
    FAILS(syscall(SYS_getdents64, folder, text, sizeof text), ENOENT);
    FAILS(open(path_of(child, "stat"), O_RDONLY), ENOENT);
    FAILS(prlimit(child, RLIMIT_CORE, NULL, &limit), ESRCH);
    FAILS(getpriority(PRIO_PROCESS, (id_t)child), ESRCH);
    CHECK(is_listed("/proc", child) == 0);
    CHECK(close(stat) == 0 && close(maps) == 0 && close(folder) == 0 && close(files) == 0);
}

static int thread_id, thread_ends[2];

static void *thread(void *unused)
{
    char byte;
    (void)unused;
    prctl(PR_SET_NAME, "second");
    __atomic_store_n(&thread_id, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    CHECK(read(thread_ends[0], &byte, 1) == 1);
    return NULL;
}

static void threads(void)
{
    pthread_t second;
    char path[64];
    CHECK(pipe(thread_ends) == 0 && pthread_create(&second, NULL, thread, NULL) == 0);
    while (__atomic_load_n(&thread_id, __ATOMIC_SEQ_CST) == 0) {
        usleep(1000);
    }
    wait_for_state(thread_id, 'S'); /* a thread is found, but not listed */
    CHECK(is_listed("/proc", thread_id) == 0 && is_listed("/proc/self/task", thread_id) == 1);
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", thread_id);
    CHECK(read_file(path) == 7 && strcmp(text, "second\n") == 0);
    CHECK(write_file(path, "other") == 5 && read_file(path) == 6 && strcmp(text, "other\n") == 0);
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread_id);
    CHECK(read_file(path) > 0 && strstr(text, "\nThreads:\t2\n") != NULL);
    CHECK(atoi(line_of(thread_id, "Pid")) == thread_id && atoi(line_of(thread_id, "Tgid")) == getpid());
    CHECK(write(thread_ends[1], "x", 1) == 1 && pthread_join(second, NULL) == 0);
}

static void step_down(void)
{
    CHECK(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
}

/* Of another user: what is for all, and what is not. */
static void strangers(void)
{
    struct rlimit limit;
    struct iovec here = {text, 8}, there = {shown, 8};
    pid_t first = start_child(step_down), second = fork();
    if (second == 0) {
        CHECK(setresgid(2000, 2000, 2000) == 0 && setresuid(2000, 2000, 2000) == 0);
        CHECK(read_file(path_of(first, "stat")) > 0 && field(text, 26) == 1 && field(text, 48) == 0 && read_file(path_of(first, "cmdline")) > 0);
        CHECK(atoi(line_of(first, "Uid")) == 1000 && read_file(path_of(first, "limits")) > 0);
        CHECK(read_file(path_of(first, "environ")) == -EACCES && read_file(path_of(first, "maps")) == -EACCES);
        FAILS(readlink(path_of(first, "exe"), text, sizeof text), EACCES);
        FAILS(readlink(path_of(first, "cwd"), text, sizeof text), EACCES);
        FAILS(open(path_of(first, "fd"), O_RDONLY), EACCES);
        FAILS(readlink(path_of(first, "fd/0"), text, sizeof text), EACCES);
        CHECK(write_file(path_of(first, "oom_score_adj"), "900") == -EACCES);
        FAILS(prlimit(first, RLIMIT_CORE, NULL, &limit), EPERM);
        FAILS(setpriority(PRIO_PROCESS, (id_t)first, 19), EPERM);
        FAILS(kill(first, 0), EPERM);
        FAILS(process_vm_readv(first, &here, 1, &there, 1, 0), EPERM);
        FAILS(syscall(SYS_get_robust_list, first, text, shown), EPERM);
        CHECK(getpriority(PRIO_PROCESS, (id_t)first) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(second, &status, 0) == second && status == 0);
    end_child(first);
}

/* Children that come, execute a program and go. */
static void make_children(const char *program, int count)
{
    for (volatile int at = 0; at < count; at++) {
        pid_t child = at % 2 ? fork() : vfork();
        if (child == 0) {
            execl(program, "a child", "0", NULL);
            _exit(127);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    _exit(0);
}

/* Whatever a process does while somebody looks at it: what is told is of that process, and nobody is disturbed. */
static void look_at_those_who_come_and_go(const char *program, int count)
{
    static const char *const names[] = {"status", "maps", "smaps_rollup", "environ", "statm", "limits", "fdinfo/1", "auxv"};
    char path[64], children[256];
    int status, is_linux = read_file("/proc/version") > 0 && strstr(text, "enclavize") == NULL;
    pid_t maker = fork();
    if (maker == 0) {
        make_children(program, count);
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", maker, maker);
    while (waitpid(maker, &status, WNOHANG) == 0) {
        int child = read_file(path) > 0 ? atoi(text) : 0;
        if (child == 0) {
            sched_yield();
            continue;
        }
        snprintf(children, sizeof children, "%d (", child);
        CHECK(read_file(path_of(child, "stat")) <= 0 || strncmp(text, children, strlen(children)) == 0);
        ssize_t length = read_file(path_of(child, "cmdline")); /* Linux tells of a program before its arguments are in place */
        CHECK(length <= 0 || strcmp(text, "a child") == 0 || strcmp(text, program) == 0 || (is_linux && text[0] == '\0'));
        for (size_t at = 0; at < sizeof names / sizeof names[0]; at++) {
            read_file(path_of(child, names[at]));
        }
        link_of(child, "exe");
        link_of(child, "cwd");
        link_of(child, "fd/1");
    }
    CHECK(status == 0);
}

int main(int count, char **arguments)
{
    if (count == 2 && atoi(arguments[1]) == 0) {
        return 0;
    }
    CHECK(read_file("/proc/vmstat") > 0 && strstr(text, "nr_free_pages ") != NULL);
    CHECK(prctl(PR_SET_TIMERSLACK, 70000L) == 0);
    pid_t child = start_child(settle);
    facts(child);
    stops(child);
    memory(child);
    told(child);
    end(child);
    threads();
    if (geteuid() == 0) {
        strangers();
    }
    look_at_those_who_come_and_go(arguments[0], count > 1 ? atoi(arguments[1]) : 20);
    return 0;
}
