/* Processor time is of who has used it: threads begin with none, processes have that of their threads, parents that of who ended. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000L
#define SHARE (100 * MILLISECOND) /* what each worker uses */
#define LITTLE (SHARE / 2)        /* what else there is to do takes less */

static long ns_of(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long used(int who)
{
    struct rusage use;
    CHECK(getrusage(who, &use) == 0);
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000L + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

static void work(long ns)
{
    for (long start = ns_of(CLOCK_THREAD_CPUTIME_ID); ns_of(CLOCK_THREAD_CPUTIME_ID) - start < ns;) {
        for (volatile int i = 0; i < 20000; i++) {
        }
    }
}

static void *work_as_thread(void *unused)
{
    CHECK(ns_of(CLOCK_THREAD_CPUTIME_ID) < LITTLE && used(RUSAGE_THREAD) < LITTLE);
    work(SHARE);
    return unused;
}

static int end_of(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static void threads_begin_with_nothing(void)
{
    long before = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work_as_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
    CHECK(ns_of(CLOCK_PROCESS_CPUTIME_ID) - before >= 4 * SHARE);
    CHECK(used(RUSAGE_SELF) >= 4 * SHARE);
}

/* The parent has used 4 shares by now, its children one each. */
static void children_have_their_own(void)
{
    long before = ns_of(CLOCK_PROCESS_CPUTIME_ID), self = used(RUSAGE_SELF);
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK(ns_of(CLOCK_PROCESS_CPUTIME_ID) < LITTLE && used(RUSAGE_SELF) < LITTLE && used(RUSAGE_CHILDREN) == 0);
            work(SHARE);
            CHECK(ns_of(CLOCK_PROCESS_CPUTIME_ID) >= SHARE && used(RUSAGE_SELF) < SHARE + LITTLE);
            _exit(0);
        }
        CHECK(end_of(child) == 0);
    }
    CHECK(ns_of(CLOCK_PROCESS_CPUTIME_ID) >= before && ns_of(CLOCK_PROCESS_CPUTIME_ID) - before < 2 * SHARE);
    CHECK(used(RUSAGE_SELF) >= self && used(RUSAGE_SELF) - self < 2 * SHARE);
    CHECK(used(RUSAGE_CHILDREN) >= 4 * SHARE - 4 * MILLISECOND && used(RUSAGE_CHILDREN) < 4 * (SHARE + LITTLE));
    struct tms times_now;
    CHECK(times(&times_now) != -1);
    long tick = 1000000000L / sysconf(_SC_CLK_TCK);
    CHECK((times_now.tms_cutime + times_now.tms_cstime) * tick < 4 * (SHARE + LITTLE));
}

static volatile sig_atomic_t samples;

static void count(int signal)
{
    (void)signal;
    samples++;
}

/* A timer that counts use stands still while others work; so does the clock of that process, which others can read. */
static void timers_count_their_own(void)
{
    int go[2];
    char byte;
    CHECK(pipe(go) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(close(go[1]) == 0 && signal(SIGPROF, count) != SIG_ERR);
        struct itimerval soon = {.it_value = {.tv_usec = 60000}, .it_interval = {.tv_usec = 60000}};
        CHECK(setitimer(ITIMER_PROF, &soon, NULL) == 0);
        while (read(go[0], &byte, 1) == -1 && errno == EINTR) {
        }
        CHECK(samples == 0);
        while (!samples) {
            work(MILLISECOND);
        }
        _exit(0);
    }
    clockid_t clock;
    CHECK(close(go[0]) == 0 && clock_getcpuclockid(child, &clock) == 0);
    work(4 * SHARE);
    CHECK(ns_of(clock) < LITTLE);
    CHECK(close(go[1]) == 0 && end_of(child) == 0);
}

/* RLIMIT_CPU is of each process, and inherited. The others, who have used more by now, go on. */
static void limits_are_of_each(void)
{
    volatile long *reached = mmap(NULL, sizeof *reached, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(reached != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        CHECK(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 1}) == 0);
        pid_t heir = fork();
        while (heir == 0) {
            work(MILLISECOND);
            *reached = ns_of(CLOCK_PROCESS_CPUTIME_ID);
        }
        int status = end_of(heir);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        _exit(0);
    }
    CHECK(end_of(child) == 0);
    CHECK(*reached >= 900 * MILLISECOND);
}

int main(void)
{
    threads_begin_with_nothing();
    children_have_their_own();
    timers_count_their_own();
    limits_are_of_each();
    CHECK(write(1, "processor times ok\n", 19) == 19);
    return 0;
}
