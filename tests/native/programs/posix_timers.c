/* timer_create(2) and its like: who is told, when, and how often not. */
#define _GNU_SOURCE
#include "check.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000L
#define SIGNAL_OF_TIMER (SIGRTMIN + 3)
#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

/* struct sigevent as the kernel has it. */
struct event {
    union sigval value;
    int signal, notification, thread;
    char rest[44];
};

static volatile int told, told_code, told_timer, told_thread;
static volatile long told_value, overruns;

static void tell(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    told++;
    told_code = info->si_code;
    told_timer = info->si_timerid;
    told_value = (long)info->si_value.sival_ptr;
    told_thread = gettid();
    overruns += info->si_overrun;
}

static int create(clockid_t clock, int notification, int signal, long value, int thread)
{
    struct event event = {.value.sival_ptr = (void *)value, .signal = signal, .notification = notification, .thread = thread};
    int id = -1;
    CHECK(syscall(SYS_timer_create, clock, &event, &id) == 0 && id >= 0);
    return id;
}

static void set(int id, int flags, long value, long interval)
{
    struct itimerspec new = {.it_value = {value / 1000000000L, value % 1000000000L},
                             .it_interval = {interval / 1000000000L, interval % 1000000000L}};
    CHECK(syscall(SYS_timer_settime, id, flags, &new, NULL) == 0);
}

static struct itimerspec get(int id)
{
    struct itimerspec now;
    CHECK(syscall(SYS_timer_gettime, id, &now) == 0);
    return now;
}

static long ns_of(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void once(clockid_t clock)
{
    int id = create(clock, SIGEV_SIGNAL, SIGNAL_OF_TIMER, 0x123456789AL, 0);
    told = 0;
    CHECK(get(id).it_value.tv_nsec == 0);
    long start = ns_of(CLOCK_MONOTONIC);
    set(id, 0, 20 * MILLISECOND, 0);
    long left = get(id).it_value.tv_nsec;
    CHECK(left > 0 && left <= 20 * MILLISECOND);
    while (!told) {
        usleep(1000);
    }
    CHECK(ns_of(CLOCK_MONOTONIC) - start >= 20 * MILLISECOND);
    CHECK(told_code == SI_TIMER && told_timer == id && told_value == 0x123456789AL && overruns == 0);
    CHECK(get(id).it_value.tv_nsec == 0 && syscall(SYS_timer_getoverrun, id) == 0);
    set(id, TIMER_ABSTIME, ns_of(clock) - MILLISECOND, 0); /* long ago */
    while (told < 2) {
        usleep(1000);
    }
    set(id, TIMER_ABSTIME, ns_of(clock) + 10 * MILLISECOND, 0);
    while (told < 3) {
        usleep(1000);
    }
    set(id, 0, 3600 * 1000000000L, 0);
    CHECK(get(id).it_value.tv_sec >= 3599);
    set(id, 0, 0, 0);
    CHECK(get(id).it_value.tv_sec == 0);
    CHECK(syscall(SYS_timer_delete, id) == 0);
    FAILS(syscall(SYS_timer_delete, id), EINVAL);
    FAILS(syscall(SYS_timer_gettime, id, &(struct itimerspec){0}), EINVAL);
    FAILS(syscall(SYS_timer_getoverrun, id), EINVAL);
}

/* While its signal is blocked a timer queues one alone, and counts the rest. */
static void missed(int signal)
{
    sigset_t set_of_signals;
    sigemptyset(&set_of_signals);
    sigaddset(&set_of_signals, signal);
    CHECK(sigaction(signal, &(struct sigaction){.sa_sigaction = tell, .sa_flags = SA_SIGINFO}, NULL) == 0);
    int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, signal, 5, 0);
    CHECK(sigprocmask(SIG_BLOCK, &set_of_signals, NULL) == 0);
    told = overruns = 0;
    set(id, 0, MILLISECOND, MILLISECOND);
    usleep(60000);
    CHECK(get(id).it_value.tv_nsec > 0 && get(id).it_value.tv_nsec <= MILLISECOND);
    CHECK(sigprocmask(SIG_UNBLOCK, &set_of_signals, NULL) == 0);
    CHECK(told >= 1 && overruns >= 40);
    set(id, 0, 0, 0);
    int runs = told;
    usleep(5000);
    CHECK(told <= runs + 1);
    CHECK(sigprocmask(SIG_BLOCK, &set_of_signals, NULL) == 0);
    set(id, 0, MILLISECOND, MILLISECOND);
    siginfo_t info;
    usleep(20000);
    CHECK(sigtimedwait(&set_of_signals, &info, &(struct timespec){.tv_sec = 5}) == signal);
    CHECK(info.si_code == SI_TIMER && info.si_timerid == id && info.si_overrun >= 10);
    CHECK(syscall(SYS_timer_getoverrun, id) == info.si_overrun);
    usleep(20000); /* ignored, it goes on, and comes again when it is not */
    CHECK(sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == 0);
    usleep(20000);
    CHECK(sigaction(signal, &(struct sigaction){.sa_sigaction = tell, .sa_flags = SA_SIGINFO}, NULL) == 0);
    CHECK(sigtimedwait(&set_of_signals, &info, &(struct timespec){.tv_sec = 5}) == signal);
    CHECK(syscall(SYS_timer_delete, id) == 0);
    CHECK(sigtimedwait(&set_of_signals, &info, &(struct timespec){0}) != signal || info.si_code == SI_TIMER);
    CHECK(sigprocmask(SIG_UNBLOCK, &set_of_signals, NULL) == 0);
}

/* Two timers with one signal are told apart, and both are told. */
static void two(void)
{
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
    int one = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 1, 0);
    int other = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 2, 0);
    CHECK(one != other);
    set(one, 0, MILLISECOND, 0);
    set(other, 0, MILLISECOND, 0);
    usleep(30000);
    siginfo_t first, second;
    CHECK(sigtimedwait(&both, &first, &(struct timespec){.tv_sec = 5}) == SIGUSR1);
    CHECK(sigtimedwait(&both, &second, &(struct timespec){.tv_sec = 5}) == SIGUSR1);
    CHECK(first.si_timerid + second.si_timerid == one + other && first.si_timerid != second.si_timerid);
    CHECK(syscall(SYS_timer_delete, one) == 0 && syscall(SYS_timer_delete, other) == 0);
}

static volatile int ready, stop;

static void *be_told(void *clock)
{
    CHECK(pthread_getcpuclockid(pthread_self(), clock) == 0);
    ready = gettid();
    while (!stop) {
        for (volatile int i = 0; i < 10000; i++) {
        }
    }
    return NULL;
}

/* A timer for one thread, on its own processor time: as Go's profiler has them. */
static void threads(void)
{
    pthread_t thread;
    clockid_t clock;
    CHECK(pthread_create(&thread, NULL, be_told, &clock) == 0);
    while (!ready) {
        usleep(1000);
    }
    told = 0;
    int id = create(clock, SIGEV_THREAD_ID, SIGNAL_OF_TIMER, 9, ready);
    set(id, 0, 5 * MILLISECOND, 5 * MILLISECOND);
    while (told < 10) {
        usleep(1000);
    }
    CHECK(told_thread == ready && told_value == 9);
    CHECK(syscall(SYS_timer_delete, id) == 0);
    id = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGNAL_OF_TIMER, 10, gettid());
    usleep(20000);
    told = 0;
    set(id, 0, MILLISECOND, 0);
    while (!told) {
        usleep(1000);
    }
    CHECK(told_thread == gettid() && told_value == 10);
    stop = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(syscall(SYS_timer_delete, id) == 0);
    struct event event = {.signal = SIGUSR2, .notification = SIGEV_THREAD_ID, .thread = 0x3FFFFFFF};
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
}

static void nobody_is_told(void)
{
    int id = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
    told = 0;
    set(id, 0, MILLISECOND, 0);
    usleep(5000);
    CHECK(get(id).it_value.tv_nsec == 0);
    set(id, 0, 10 * MILLISECOND, 10 * MILLISECOND);
    usleep(15000);
    long left = get(id).it_value.tv_nsec;
    CHECK(left > 0 && left <= 10 * MILLISECOND && told == 0);
    CHECK(syscall(SYS_timer_delete, id) == 0);
}

static void refused(void)
{
    struct event event = {.signal = 65};
    struct itimerspec new = {.it_value.tv_nsec = 1000000000L};
    int id;
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.signal = 0;
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.signal = SIGUSR1;
    event.notification = 77;
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, NULL, &id), EOPNOTSUPP);
    FAILS(syscall(SYS_timer_create, 99, NULL, &id), EINVAL);
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &id), EFAULT);
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, 8), EFAULT);
    CHECK(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id) == 0);
    FAILS(syscall(SYS_timer_settime, id, 0, &new, NULL), EINVAL);
    new.it_value = (struct timespec){-1, 0};
    FAILS(syscall(SYS_timer_settime, id, 0, &new, NULL), EINVAL);
    FAILS(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    FAILS(syscall(SYS_timer_settime, id, 0, 8, NULL), EFAULT);
    FAILS(syscall(SYS_timer_settime, 0x7FFFFFFF, 0, &(struct itimerspec){0}, NULL), EINVAL);
    struct itimerspec old;
    new.it_value = (struct timespec){50, 0};
    new.it_interval = (struct timespec){5, 0};
    CHECK(syscall(SYS_timer_settime, id, 0, &new, NULL) == 0);
    CHECK(syscall(SYS_timer_settime, id, 0, &(struct itimerspec){0}, &old) == 0);
    CHECK(old.it_interval.tv_sec == 5 && old.it_value.tv_sec >= 49);
    CHECK(syscall(SYS_timer_delete, id) == 0);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGNAL_OF_TIMER, &action, NULL) == 0);
    once(CLOCK_MONOTONIC);
    once(CLOCK_REALTIME);
    once(CLOCK_BOOTTIME);
    missed(SIGNAL_OF_TIMER);
    missed(SIGALRM);
    two();
    threads();
    nobody_is_told();
    refused();
    puts("posix timers ok");
}
