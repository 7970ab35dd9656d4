/* What a forked child has of its parent, and what it has not: fork(2), clone(2), madvise(2), and what both of them see of what they share. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
#define PAGE 4096UL
#define MEGABYTE (1UL << 20)

static int variable = 1;

static void *map(size_t size, int protection, int kind)
{
    void *memory = mmap(NULL, size, protection, kind | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void wait_for(pid_t child, int expected)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == expected);
}

static void stores_stay_with_who_makes_them(void)
{
    char *heap = malloc(MEGABYTE);
    memset(heap, 'p', MEGABYTE);
    pid_t child = fork();
    if (child == 0) {
        variable = 2;
        for (size_t at = 0; at < MEGABYTE; at += 3 * PAGE) {
            CHECK(heap[at] == 'p');
            heap[at] = 'c';
        }
        sched_yield();
        CHECK(variable == 2 && heap[0] == 'c' && heap[PAGE] == 'p');
        _exit(3);
    }
    heap[PAGE] = 'q';
    sched_yield();
    CHECK(variable == 1 && heap[0] == 'p');
    wait_for(child, 3);
    CHECK(variable == 1 && heap[0] == 'p' && heap[PAGE] == 'q' && heap[3 * PAGE] == 'p');
    free(heap);
}

static void turns_are_taken_at_each_message(void)
{
    int down[2], up[2];
    CHECK(pipe(down) == 0 && pipe(up) == 0);
    pid_t child = fork();
    if (child == 0) {
        for (int at = 0; at < 200; at++) {
            char byte;
            CHECK(read(down[0], &byte, 1) == 1 && byte == (char)at);
            variable += byte;
            CHECK(write(up[1], &byte, 1) == 1);
        }
        _exit(0);
    }
    for (int at = 0; at < 200; at++) {
        char byte = (char)at;
        CHECK(write(down[1], &byte, 1) == 1);
        byte = 0;
        CHECK(read(up[0], &byte, 1) == 1 && byte == (char)at);
        CHECK(variable == 1);
    }
    wait_for(child, 0);
    close(down[0]), close(down[1]), close(up[0]), close(up[1]);
}

static void who_spins_makes_room(void)
{
    volatile int *shared = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t child = fork();
    if (child == 0) {
        while (*shared == 0) {
        }
        *shared = 2;
        while (*shared == 2) {
        }
        _exit(0);
    }
    *shared = 1;
    while (*shared == 1) {
    }
    CHECK(*shared == 2);
    *shared = 3;
    wait_for(child, 0);
    munmap((void *)shared, PAGE);
}

/* 600 turns: they would take long if each was a time slice. */
static void who_yields_makes_room(void)
{
    volatile int *turn = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t child = fork();
    int own = child == 0;
    for (int at = 0; at < 300; at++) {
        while (*turn % 2 != own) {
            sched_yield();
        }
        __atomic_add_fetch(turn, 1, __ATOMIC_SEQ_CST);
    }
    if (child == 0) {
        _exit(0);
    }
    wait_for(child, 0);
    CHECK(*turn == 600);
    munmap((void *)turn, PAGE);
}

static void mappings_change_in_one_alone(void)
{
    char *memory = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(memory, 1, 16 * PAGE);
    CHECK(mprotect(memory + 8 * PAGE, PAGE, PROT_NONE) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(munmap(memory, 2 * PAGE) == 0);
        CHECK(mprotect(memory + 2 * PAGE, PAGE, PROT_READ) == 0);
        CHECK(mprotect(memory + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
        CHECK(memory[8 * PAGE] == 1);
        memory[8 * PAGE] = 2;
        CHECK(madvise(memory + 4 * PAGE, PAGE, MADV_DONTNEED) == 0);
        CHECK(memory[4 * PAGE] == 0);
        sched_yield();
        char *more = map(32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
        memset(more, 3, 32 * PAGE);
        sched_yield();
        CHECK(memory[4 * PAGE] == 0 && memory[8 * PAGE] == 2 && more[31 * PAGE] == 3);
        _exit(0);
    }
    for (int round = 0; round < 3; round++) {
        memset(memory, 1, 2 * PAGE);
        memory[2 * PAGE] = 4;
        CHECK(memory[4 * PAGE] == 1);
        sched_yield();
    }
    wait_for(child, 0);
    CHECK(mprotect(memory + 8 * PAGE, PAGE, PROT_READ) == 0);
    CHECK(memory[0] == 1 && memory[2 * PAGE] == 4 && memory[4 * PAGE] == 1 && memory[8 * PAGE] == 1);
    munmap(memory, 16 * PAGE);
}

static sigjmp_buf faulted;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(faulted, 1);
}

static int faults(volatile char *at)
{
    if (sigsetjmp(faulted, 1)) {
        return 1;
    }
    (void)*at;
    return 0;
}

static void advice_about_forks_is_kept_to(void)
{
    char *memory = map(3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    char *shared = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    memset(memory, 7, 3 * PAGE);
    CHECK(madvise(memory, PAGE, MADV_DONTFORK) == 0);
    CHECK(madvise(memory + PAGE, PAGE, MADV_WIPEONFORK) == 0);
    FAILS(madvise(shared, PAGE, MADV_WIPEONFORK), EINVAL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, on_fault);
        CHECK(faults(memory));
        CHECK(!faults(memory + PAGE) && memory[PAGE] == 0 && memory[2 * PAGE - 1] == 0);
        CHECK(memory[2 * PAGE] == 7);
        memset(memory + PAGE, 8, 2 * PAGE);
        CHECK(mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
        CHECK(memory[0] == 0);
        sched_yield();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            CHECK(memory[0] == 0 && memory[PAGE] == 0 && memory[2 * PAGE] == 8);
            _exit(0);
        }
        wait_for(grandchild, 0);
        CHECK(memory[PAGE] == 8);
        _exit(0);
    }
    wait_for(child, 0);
    CHECK(memory[0] == 7 && memory[PAGE] == 7 && memory[2 * PAGE] == 7);
    CHECK(madvise(memory, PAGE, MADV_DOFORK) == 0);
    child = fork();
    if (child == 0) {
        CHECK(memory[0] == 7);
        _exit(0);
    }
    wait_for(child, 0);
    munmap(memory, 3 * PAGE), munmap(shared, PAGE);
}

static void shared_memory_is_shared(void)
{
    sem_t *semaphores = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    int segment = shmget(IPC_PRIVATE, PAGE, 0600 | IPC_CREAT);
    char *attached = shmat(segment, NULL, 0);
    CHECK(attached != (void *)-1);
    CHECK(sem_init(&semaphores[0], 1, 0) == 0 && sem_init(&semaphores[1], 1, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(sem_wait(&semaphores[0]) == 0);
        CHECK(strcmp(attached, "from the parent") == 0);
        strcpy(attached, "from the child");
        CHECK(sem_post(&semaphores[1]) == 0);
        _exit(0);
    }
    struct shmid_ds status;
    CHECK(shmctl(segment, IPC_STAT, &status) == 0 && status.shm_nattch == 2);
    strcpy(attached, "from the parent");
    CHECK(sem_post(&semaphores[0]) == 0 && sem_wait(&semaphores[1]) == 0);
    CHECK(strcmp(attached, "from the child") == 0);
    wait_for(child, 0);
    CHECK(shmctl(segment, IPC_STAT, &status) == 0 && status.shm_nattch == 1);
    CHECK(shmctl(segment, IPC_RMID, NULL) == 0 && shmdt(attached) == 0);
    munmap(semaphores, PAGE);
}

/* A private futex is a word of one program's memory, though the other one has it at the same address. */
static void private_futexes_are_each_ones_own(void)
{
    static int word;
    int *ready = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t child = fork();
    if (child == 0) {
        __atomic_store_n(ready, 1, __ATOMIC_SEQ_CST);
        struct timespec soon = {.tv_nsec = 200000000};
        long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0);
        _exit(result == -1 && errno == ETIMEDOUT ? 0 : 1);
    }
    while (!__atomic_load_n(ready, __ATOMIC_SEQ_CST)) {
        usleep(1000);
    }
    usleep(20000);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 0);
    wait_for(child, 0);
    munmap(ready, PAGE);
}

static volatile sig_atomic_t signals_seen;

static void count_signal(int signal)
{
    (void)signal;
    signals_seen++;
}

static void signals_and_timers_begin_anew(void)
{
    sigset_t blocked, waiting;
    struct itimerval timer = {.it_value.tv_sec = 100};
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    signal(SIGUSR1, count_signal);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && raise(SIGUSR1) == 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    signals_seen = 0;
    pid_t child = fork();
    if (child == 0) {
        CHECK(sigpending(&waiting) == 0 && !sigismember(&waiting, SIGUSR1));
        CHECK(sigprocmask(SIG_BLOCK, NULL, &waiting) == 0 && sigismember(&waiting, SIGUSR1));
        CHECK(getitimer(ITIMER_REAL, &timer) == 0 && timer.it_value.tv_sec == 0);
        CHECK(sigprocmask(SIG_UNBLOCK, &blocked, NULL) == 0 && signals_seen == 0);
        CHECK(raise(SIGUSR1) == 0 && signals_seen == 1);
        _exit(0);
    }
    wait_for(child, 0);
    CHECK(sigpending(&waiting) == 0 && sigismember(&waiting, SIGUSR1));
    CHECK(sigprocmask(SIG_UNBLOCK, &blocked, NULL) == 0 && signals_seen == 1);
    timer.it_value.tv_sec = 0;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    signal(SIGUSR1, SIG_DFL);
}

/* A handler's frame goes to the memory of who runs it, whoever is resident when the signal comes. */
static void signals_find_who_is_not_resident(void)
{
    signal(SIGUSR1, count_signal);
    signals_seen = 0;
    pid_t child = fork();
    if (child == 0) {
        while (signals_seen < 20) {
        }
        _exit(20);
    }
    for (int at = 0; at < 20; at++) {
        CHECK(kill(child, SIGUSR1) == 0);
        usleep(15000);
    }
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        kill(child, SIGUSR1);
        usleep(1000);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 20);
    CHECK(signals_seen == 0);
    signal(SIGUSR1, SIG_DFL);
}

static void *count_up(void *argument)
{
    volatile unsigned long *counter = argument;
    while (__atomic_load_n(&variable, __ATOMIC_RELAXED) == 1) {
        ++*counter;
    }
    return NULL;
}

static void the_caller_alone_is_copied(void)
{
    pthread_t threads[2];
    unsigned long counters[2] = {0};
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_create(&threads[at], NULL, count_up, &counters[at]) == 0);
    }
    for (int at = 0; at < 5; at++) {
        pid_t child = fork();
        if (child == 0) {
            unsigned long before = *(volatile unsigned long *)&counters[0];
            usleep(5000);
            CHECK(*(volatile unsigned long *)&counters[0] == before);
            CHECK(syscall(SYS_gettid) == getpid());
            variable = 2; /* its threads would end now */
            _exit(0);
        }
        wait_for(child, 0);
    }
    __atomic_store_n(&variable, 2, __ATOMIC_RELAXED);
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0 && counters[at] > 0);
    }
    variable = 1;
}

static void *fork_and_wait(void *argument)
{
    (void)argument;
    for (int at = 0; at < 10; at++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(at);
        }
        wait_for(child, at);
    }
    return NULL;
}

static void threads_fork_at_the_same_time(void)
{
    pthread_t threads[3];
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_create(&threads[at], NULL, fork_and_wait, NULL) == 0);
    }
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
}

#define ROUNDS_UP 0x4000U /* MXCSR */

static void registers_are_kept(void)
{
    unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | ROUNDS_UP);
    pid_t child = fork();
    if (child == 0) {
        _exit(__builtin_ia32_stmxcsr() & ROUNDS_UP ? 0 : 1);
    }
    wait_for(child, 0);
    __builtin_ia32_ldmxcsr(before);
}

static void clone_writes_ids_where_it_is_told(void)
{
    pid_t *ids = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    long flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD;
    long child = syscall(SYS_clone, flags, 0, &ids[0], &ids[1], 0);
    if (child == 0) {
        _exit(ids[1] == syscall(SYS_getpid) ? 0 : 1);
    }
    CHECK(ids[0] == child && ids[1] == 0);
    wait_for((pid_t)child, 0);
    munmap(ids, PAGE);
}

static void children_execute_programs(const char *self)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (int at = 0; at < 4; at++) {
        pid_t child = fork();
        if (child == 0) {
            variable = 5;
            dup2(ends[1], 1);
            execl(self, self, "child", (char *)NULL);
            _exit(1);
        }
        wait_for(child, 42);
        CHECK(variable == 1);
    }
    char text[16];
    CHECK(read(ends[0], text, sizeof text) == 4);
    pid_t child = fork();
    if (child == 0) {
        pid_t other = vfork();
        if (other == 0) {
            execl(self, self, "child", (char *)NULL);
            _exit(1);
        }
        wait_for(other, 42);
        _exit(0);
    }
    wait_for(child, 0);
    close(ends[0]), close(ends[1]);
}

static void the_parent_may_go_first(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        if (fork() == 0) {
            variable = 9;
            usleep(20000); /* its parent has ended */
            char byte = (char)variable;
            _exit(write(ends[1], &byte, 1) == 1 ? 0 : 1);
        }
        _exit(0);
    }
    close(ends[1]);
    wait_for(child, 0);
    char byte = 0;
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 9);
    CHECK(read(ends[0], &byte, 1) == 0);
    close(ends[0]);
}

static void a_killed_child_gives_the_turn_back(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
        }
    }
    int status;
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        _exit(4);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK(kill(child, SIGCONT) == 0);
    wait_for(child, 4);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        return write(1, "x", 1) == 1 ? 42 : 1;
    }
    stores_stay_with_who_makes_them();
    turns_are_taken_at_each_message();
    who_spins_makes_room();
    who_yields_makes_room();
    mappings_change_in_one_alone();
    advice_about_forks_is_kept_to();
    shared_memory_is_shared();
    private_futexes_are_each_ones_own();
    signals_and_timers_begin_anew();
    signals_find_who_is_not_resident();
    the_caller_alone_is_copied();
    threads_fork_at_the_same_time();
    registers_are_kept();
    clone_writes_ids_where_it_is_told();
    children_execute_programs(argv[0]);
    the_parent_may_go_first();
    a_killed_child_gives_the_turn_back();
    puts("forks ok");
    return 0;
}
