/* A thread exists when clone() has returned its id: signals reach it, /proc shows it, the process lives on with it.
 * clone(2), get_robust_list(2). */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 200

static volatile int handled;
static char bare_stack[65536];
static volatile int bare_id;

static void count(int signal)
{
    (void)signal;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void *wait_for_the_signal(void *argument)
{
    sigset_t *old = argument;
    sigsuspend(old);
    return argument;
}

static void *wait_for_cancel(void *argument)
{
    for (;;) {
        pause();
    }
    return argument;
}

static void signals_reach_new_threads(void)
{
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    CHECK(signal(SIGUSR1, count) != SIG_ERR);
    CHECK(pthread_sigmask(SIG_BLOCK, &block, &old) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, wait_for_the_signal, &old) == 0);
        CHECK(pthread_kill(thread, SIGUSR1) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK(handled == ROUNDS);
    for (int round = 0; round < ROUNDS; round++) {
        void *result;
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, wait_for_cancel, NULL) == 0);
        CHECK(pthread_cancel(thread) == 0);
        CHECK(pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
    }
}

/* clone() with wild values where flags say that nothing is: they are not looked at. */
static long clone_bare(void)
{
    long result;
    register long child_id __asm__("r10") = -1L;
    register long base __asm__("r8") = -1L;
    long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    __asm__ volatile("syscall\n"
                     "test %%eax, %%eax\n"
                     "jnz 1f\n"
                     "movl $186, %%eax\n" /* gettid */
                     "syscall\n"
                     "movl %%eax, %3\n"
                     "movl $60, %%eax\n" /* exit */
                     "xorl %%edi, %%edi\n"
                     "syscall\n"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone), "D"(flags), "m"(bare_id), "S"(bare_stack + sizeof bare_stack),
                       "d"(-1L), "r"(child_id), "r"(base)
                     : "rcx", "r11", "memory");
    return result;
}

static void is_in_proc_at_once(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        char path[64];
        struct stat status;
        bare_id = 0;
        long id = clone_bare();
        CHECK(id > 0);
        snprintf(path, sizeof path, "/proc/self/task/%ld", id);
        CHECK(stat(path, &status) == 0 || bare_id == id);
        while (bare_id != id) {
            sched_yield();
        }
    }
}

static void robust_list_is_told(void)
{
    void *head = NULL;
    size_t length = 0;
    CHECK(syscall(SYS_set_robust_list, &bare_stack, 24L) == 0);
    CHECK(syscall(SYS_get_robust_list, 0L, &head, &length) == 0);
    CHECK(head == (void *)&bare_stack && length == 24);
    CHECK(syscall(SYS_get_robust_list, syscall(SYS_gettid), &head, &length) == 0);
    CHECK(syscall(SYS_get_robust_list, 0x3FFFFFFFL, &head, &length) == -1 && errno == ESRCH);
    CHECK(syscall(SYS_get_robust_list, 0L, NULL, &length) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_set_robust_list, NULL, 24L) == 0);
}

static void *end_the_process(void *argument)
{
    puts("new threads ok");
    exit(0);
    return argument;
}

int main(void)
{
    pthread_t thread;
    signals_reach_new_threads();
    is_in_proc_at_once();
    robust_list_is_told();
    CHECK(pthread_create(&thread, NULL, end_the_process, NULL) == 0);
    syscall(SYS_exit, 7);
}
