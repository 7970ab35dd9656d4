/* setitimer(2), alarm(2), RLIMIT_CPU, and clocks of processor time: what counts use counts use, and tells those who use it. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000L

static volatile int counts[NSIG];
static volatile int done;
static volatile long in_worker, elsewhere;
static pthread_t worker;

static void count(int signal)
{
    counts[signal]++;
    *(pthread_equal(pthread_self(), worker) ? &in_worker : &elsewhere) += 1;
}

static long ns_of(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void use(long ns)
{
    for (long start = ns_of(CLOCK_PROCESS_CPUTIME_ID); ns_of(CLOCK_PROCESS_CPUTIME_ID) - start < ns;) {
        for (volatile int i = 0; i < 20000; i++) {
        }
    }
}

static void set(int which, long value_us, long interval_us)
{
    struct itimerval new = {.it_value = {.tv_usec = value_us}, .it_interval = {.tv_usec = interval_us}};
    CHECK(setitimer(which, &new, NULL) == 0);
}

static void *work(void *argument)
{
    (void)argument;
    use(300 * MILLISECOND);
    done = 1;
    return NULL;
}

/* Samples come while a thread works, and to that thread; none comes while all sleep. */
static void samples(int which, int signal)
{
    done = in_worker = elsewhere = counts[signal] = 0;
    set(which, 5000, 5000);
    struct itimerval now;
    CHECK(getitimer(which, &now) == 0 && now.it_interval.tv_usec == 5000);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_usec > 0 && now.it_value.tv_usec <= 10000);
    CHECK(pthread_create(&worker, NULL, work, NULL) == 0);
    while (!done) {
        usleep(5000);
    }
    CHECK(pthread_join(worker, NULL) == 0);
    set(which, 0, 0);
    CHECK(counts[signal] >= 10 && counts[signal] <= 200);
    CHECK(in_worker > elsewhere);
    int before = counts[signal];
    set(which, 20000, 20000);
    nanosleep(&(struct timespec){.tv_nsec = 100 * MILLISECOND}, NULL);
    CHECK(counts[signal] <= before + 2);
    set(which, 0, 0);
    CHECK(getitimer(which, &now) == 0 && now.it_value.tv_usec == 0 && now.it_interval.tv_usec == 0);
}

static void real_time(void)
{
    struct itimerval old, new = {.it_value = {.tv_sec = 100}, .it_interval = {.tv_sec = 7}};
    CHECK(alarm(100) == 0 && alarm(0) == 100);
    CHECK(setitimer(ITIMER_REAL, &new, &old) == 0 && old.it_value.tv_sec == 0);
    CHECK(getitimer(ITIMER_REAL, &old) == 0 && old.it_interval.tv_sec == 7 && old.it_value.tv_sec >= 99);
    CHECK(alarm(1) >= 99);
    CHECK(pause() == -1 && errno == EINTR && counts[SIGALRM] == 1);
    set(ITIMER_REAL, 1000, 1000);
    while (counts[SIGALRM] < 20) {
        pause();
    }
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL) == 0);
    new.it_value.tv_usec = 1000000;
    FAILS(setitimer(ITIMER_REAL, &new, NULL), EINVAL);
    new.it_value.tv_usec = -1;
    FAILS(setitimer(ITIMER_REAL, &new, NULL), EINVAL);
    FAILS(setitimer(3, &(struct itimerval){0}, NULL), EINVAL);
    FAILS(getitimer(3, &old), EINVAL);
    FAILS(syscall(SYS_setitimer, ITIMER_REAL, 8, NULL), EFAULT);
}

static void *spin(void *clock)
{
    clockid_t own;
    CHECK(pthread_getcpuclockid(pthread_self(), &own) == 0);
    use(50 * MILLISECOND);
    *(clockid_t *)clock = own;
    while (!done) {
        usleep(1000);
    }
    return NULL;
}

/* The clock of another thread is that thread's. */
static void clocks(void)
{
    pthread_t thread;
    volatile clockid_t clock = 0;
    clockid_t of_process;
    done = 0;
    CHECK(pthread_create(&thread, NULL, spin, (void *)&clock) == 0);
    while (!clock) {
        usleep(1000);
    }
    long other = ns_of(clock), mine = ns_of(CLOCK_THREAD_CPUTIME_ID);
    use(50 * MILLISECOND);
    CHECK(other >= 40 * MILLISECOND && ns_of(clock) - other < 30 * MILLISECOND);
    CHECK(ns_of(CLOCK_THREAD_CPUTIME_ID) - mine >= 20 * MILLISECOND);
    CHECK(clock_getcpuclockid(getpid(), &of_process) == 0 && ns_of(of_process) >= other);
    done = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    struct timespec now;
    FAILS(clock_gettime((int)(~0x3FFFFFFU << 3 | 6), &now), EINVAL);
    FAILS(clock_gettime(10, &now), EINVAL);
    CHECK(clock_gettime(11, &now) == 0); /* CLOCK_TAI */
    FAILS(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &now, NULL), EOPNOTSUPP);
    FAILS(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &now), EINVAL);
    FAILS(syscall(SYS_clock_settime, CLOCK_REALTIME, &(struct timespec){.tv_nsec = -1}), EINVAL);
}

static void ended_by_limit(int signal)
{
    (void)signal;
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur > 0);
    CHECK(write(1, "interval timers ok\n", 19) == 19);
    _exit(0);
}

int main(void)
{
    static const int numbers[] = {SIGALRM, SIGVTALRM, SIGPROF};
    for (int i = 0; i < 3; i++) {
        CHECK(sigaction(numbers[i], &(struct sigaction){.sa_handler = count}, NULL) == 0);
    }
    real_time();
    samples(ITIMER_PROF, SIGPROF);
    samples(ITIMER_VIRTUAL, SIGVTALRM);
    clocks();
    CHECK(signal(SIGXCPU, ended_by_limit) != SIG_ERR);
    CHECK(setrlimit(RLIMIT_CPU, &(struct rlimit){0, 60}) == 0); /* 0 means a second */
    use(3000 * MILLISECOND);
    return 1;
}
