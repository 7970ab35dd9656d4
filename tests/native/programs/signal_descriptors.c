/* Signals read from descriptors, and signals that carry a value: signalfd(2), sigqueue(3). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL_TIME (SIGRTMIN + 2)

/* struct signalfd_siginfo, as far as it is looked at. */
struct record {
    uint32_t signal;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t descriptor;
    uint32_t timer, band, overrun, trap;
    int32_t status, number;
    uint64_t pointer;
    char rest[72];
};
_Static_assert(sizeof(struct record) == 128, "struct signalfd_siginfo");

static long signalfd4(int fd, uint64_t mask, int flags)
{
    return syscall(SYS_signalfd4, fd, &mask, sizeof mask, flags);
}

static uint64_t bit(int signal)
{
    return 1ULL << (signal - 1);
}

static void block(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void *send_later(void *receiver)
{
    usleep(20000);
    CHECK(pthread_kill(*(pthread_t *)receiver, SIGUSR1) == 0);
    usleep(20000);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    return NULL;
}

static void reading(void)
{
    struct record records[4];
    int fd = (int)signalfd4(-1, bit(SIGUSR1) | bit(REAL_TIME) | bit(SIGKILL), O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    FAILS(read(fd, records, sizeof records), EAGAIN);
    FAILS(write(fd, records, 8), EINVAL);
    CHECK(raise(SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0);
    for (int value = 1; value <= 3; value++) {
        CHECK(sigqueue(getpid(), REAL_TIME, (union sigval){.sival_ptr = (void *)(value * 0x100000001L)}) == 0);
    }
    FAILS(read(fd, records, 127), EINVAL);
    struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLIN);
    CHECK(read(fd, records, sizeof records + 50) == sizeof records);
    CHECK(records[0].signal == SIGUSR1 && records[0].code == SI_TKILL && records[0].pid == (uint32_t)getpid());
    CHECK(records[0].uid == getuid() && records[0].pointer == 0);
    CHECK(records[1].signal == SIGUSR1 && records[1].code == SI_USER);
    CHECK(records[2].signal == (uint32_t)REAL_TIME && records[2].code == SI_QUEUE);
    CHECK(records[2].number == 1 && records[2].pointer == 0x100000001L && records[3].number == 2);
    CHECK(read(fd, records, 128) == 128 && records[0].number == 3);
    FAILS(read(fd, records, 128), EAGAIN);
    CHECK(poll(&ready, 1, 0) == 0);
    CHECK(raise(SIGUSR2) == 0 && poll(&ready, 1, 0) == 0);
    CHECK(signalfd4(fd, bit(SIGUSR2), 0) == fd && poll(&ready, 1, 0) == 1);
    CHECK(read(fd, records, 128) == 128 && records[0].signal == SIGUSR2);
    CHECK(close(fd) == 0);
    FAILS(signalfd4(-1, 0, 1), EINVAL);
    FAILS(signalfd4(0, 0, 0), EINVAL);
    FAILS(signalfd4(999, 0, 0), EBADF);
    FAILS(syscall(SYS_signalfd4, -1, &ready, 4, 0), EINVAL);
    FAILS(syscall(SYS_signalfd4, -1, 8, 8, 0), EFAULT);
}

static void waiting(void)
{
    struct record record;
    pthread_t sender, self = pthread_self();
    int fd = (int)signalfd4(-1, bit(SIGUSR1), 0), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 5};
    CHECK(fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    CHECK(pthread_create(&sender, NULL, send_later, &self) == 0);
    CHECK(epoll_wait(epoll, &event, 1, 10000) == 1 && event.data.u32 == 5);
    CHECK(read(fd, &record, sizeof record) == sizeof record && record.code == SI_TKILL);
    CHECK(read(fd, &record, sizeof record) == sizeof record && record.code == SI_USER);
    CHECK(pthread_join(sender, NULL) == 0);
    timer_t timer;
    struct sigevent tell = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
    CHECK(timer_create(CLOCK_MONOTONIC, &tell, &timer) == 0);
    CHECK(timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000}, NULL) == 0);
    usleep(20000);
    CHECK(read(fd, &record, sizeof record) == sizeof record);
    CHECK(record.code == SI_TIMER && record.number == 77 && record.overrun >= 5);
    CHECK(timer_delete(timer) == 0 && close(epoll) == 0 && close(fd) == 0);
}

static void values(void)
{
    sigset_t set;
    siginfo_t info, made = {.si_signo = SIGHUP, .si_code = SI_QUEUE, .si_value.sival_int = 42};
    sigemptyset(&set);
    sigaddset(&set, REAL_TIME);
    CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), REAL_TIME, &made) == 0);
    CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), REAL_TIME, &made) == 0);
    for (int round = 0; round < 2; round++) {
        CHECK(sigtimedwait(&set, &info, &(struct timespec){.tv_sec = 5}) == REAL_TIME);
        CHECK(info.si_signo == REAL_TIME && info.si_code == SI_QUEUE && info.si_value.sival_int == 42);
    }
    CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &made) == 0);
    FAILS(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &made), EINVAL);
    FAILS(syscall(SYS_rt_sigqueueinfo, 0x3FFFFFFF, REAL_TIME, &made), ESRCH);
    FAILS(syscall(SYS_rt_sigqueueinfo, getpid(), REAL_TIME, 8), EFAULT);
    FAILS(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, REAL_TIME, &made), EINVAL);
    FAILS(syscall(SYS_rt_tgsigqueueinfo, 0x3FFFFFFF, gettid(), REAL_TIME, &made), ESRCH);
    made.si_code = SI_USER; /* only to oneself */
    FAILS(syscall(SYS_rt_sigqueueinfo, 0x3FFFFFFF, REAL_TIME, &made), EPERM);
    FAILS(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0x3FFFFFFF, REAL_TIME, &made), EPERM);
}

int main(void)
{
    block(SIGUSR1);
    block(SIGUSR2);
    block(REAL_TIME);
    reading();
    waiting();
    values();
    puts("signal descriptors ok");
}
