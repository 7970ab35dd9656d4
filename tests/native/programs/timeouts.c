/* What poll, select and recvmmsg leave behind: the time that is left, events and nothing else; sets that are larger than FD_SETSIZE. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int ends[2];

static void empty_pipe(void)
{
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
}

static void fill_pipe(void)
{
    CHECK(write(ends[1], "x", 1) == 1);
}

/* Libraries keep the rest of these to themselves. */
static long raw_select(fd_set *readable, struct timeval *time)
{
    return syscall(SYS_select, ends[0] + 1, readable, NULL, NULL, time);
}

static long raw_pselect(fd_set *readable, struct timespec *time)
{
    return syscall(SYS_pselect6, ends[0] + 1, readable, NULL, NULL, time, NULL);
}

static long raw_ppoll(struct pollfd *entry, struct timespec *time)
{
    return syscall(SYS_ppoll, entry, 1, time, NULL, 8);
}

static void what_is_left(void)
{
    fd_set readable;
    struct pollfd entry = {.fd = ends[0], .events = POLLIN};
    struct timeval value = {.tv_usec = 20000};
    struct timespec time = {.tv_nsec = 20000000};
    FD_ZERO(&readable);
    FD_SET(ends[0], &readable);
    CHECK(raw_select(&readable, &value) == 0 && value.tv_sec == 0 && value.tv_usec == 0);
    FD_SET(ends[0], &readable);
    CHECK(raw_pselect(&readable, &time) == 0 && time.tv_sec == 0 && time.tv_nsec == 0);
    time.tv_nsec = 20000000;
    CHECK(raw_ppoll(&entry, &time) == 0 && time.tv_sec == 0 && time.tv_nsec == 0);
    fill_pipe();
    value = (struct timeval){.tv_sec = 3600, .tv_usec = 2000000};
    FD_SET(ends[0], &readable);
    CHECK(raw_select(&readable, &value) == 1);
    CHECK(value.tv_sec <= 3601 && value.tv_sec > 3000 && value.tv_usec >= 0 && value.tv_usec < 1000000);
    time = (struct timespec){.tv_sec = 3600};
    CHECK(raw_pselect(&readable, &time) == 1 && time.tv_sec < 3600 && time.tv_sec > 3000);
    time = (struct timespec){.tv_sec = 3600};
    CHECK(raw_ppoll(&entry, &time) == 1 && time.tv_sec < 3600 && time.tv_sec > 3000);
    struct timespec *fixed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fixed != MAP_FAILED);
    fixed->tv_sec = 3600;
    CHECK(mprotect(fixed, 4096, PROT_READ) == 0);
    CHECK(raw_ppoll(&entry, fixed) == 1 && fixed->tv_sec == 3600 && munmap(fixed, 4096) == 0);
    empty_pipe();
}

static void what_is_refused(void)
{
    fd_set readable;
    FD_ZERO(&readable);
    struct timeval late = {.tv_sec = 0x7FFFFFFFFFFFFFFF, .tv_usec = 1000000}, negative = {.tv_usec = -1};
    struct timespec long_second = {.tv_nsec = 1000000000};
    FAILS(syscall(SYS_select, 0, NULL, NULL, NULL, &late), EINVAL);
    FAILS(syscall(SYS_select, 0, NULL, NULL, NULL, &negative), EINVAL);
    FAILS(syscall(SYS_select, -1, NULL, NULL, NULL, &negative), EINVAL);
    FAILS(syscall(SYS_select, 0, NULL, NULL, NULL, 8), EFAULT);
    FAILS(raw_pselect(&readable, &long_second), EINVAL);
    FAILS(syscall(SYS_pselect6, -1, NULL, NULL, NULL, NULL, 8), EFAULT);
    FAILS(syscall(SYS_ppoll, NULL, 0, &long_second, NULL, 8), EINVAL);
}

/* personality(2) */
static void sticky(void)
{
    struct timeval value = {.tv_usec = 10000};
    CHECK(personality(STICKY_TIMEOUTS) == 0);
    CHECK(raw_select(NULL, &value) == 0 && value.tv_usec == 10000);
    CHECK(personality(PER_LINUX) == STICKY_TIMEOUTS);
}

#define HIGH 2500

static void large_sets(void)
{
    static unsigned long readable[64], writable[64];
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = HIGH + 1;
    CHECK(limit.rlim_max > HIGH && setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(dup2(ends[0], HIGH) == HIGH && dup2(ends[1], HIGH - 1) == HIGH - 1);
    struct timeval time = {.tv_usec = 1000};
    readable[HIGH / 64] = 1UL << HIGH % 64;
    CHECK(syscall(SYS_select, HIGH + 1, readable, NULL, NULL, &time) == 0 && readable[HIGH / 64] == 0);
    fill_pipe();
    readable[HIGH / 64] = 1UL << HIGH % 64;
    writable[(HIGH - 1) / 64] = 1UL << (HIGH - 1) % 64;
    CHECK(syscall(SYS_select, HIGH + 1, readable, writable, NULL, NULL) == 2);
    CHECK(readable[HIGH / 64] == 1UL << HIGH % 64 && writable[(HIGH - 1) / 64] == 1UL << (HIGH - 1) % 64);
    empty_pipe();
    CHECK(close(HIGH) == 0);
    FAILS(syscall(SYS_select, HIGH + 1, readable, NULL, NULL, NULL), EBADF);
    CHECK(close(HIGH - 1) == 0);
}

static struct pollfd shared_entry;

/* It changes the entry that is being waited for, and only then lets the wait end. */
static void *change_entry(void *unused)
{
    shared_entry.fd = -7;
    shared_entry.events = 0x55;
    fill_pipe();
    return unused;
}

static void only_events_are_written(void)
{
    pthread_t thread;
    int entered[2];
    shared_entry = (struct pollfd){.fd = ends[0], .events = POLLIN};
    CHECK(pipe(entered) == 0);
    struct pollfd *entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(entries != MAP_FAILED);
    CHECK(poll(entries, 0, 0) == 0 && munmap(entries, 4096) == 0 && close(entered[0]) == 0 && close(entered[1]) == 0);
    CHECK(pthread_create(&thread, NULL, change_entry, NULL) == 0);
    (void)poll(&shared_entry, 1, 100); /* whoever was first */
    CHECK(pthread_join(thread, NULL) == 0 && shared_entry.fd == -7 && shared_entry.events == 0x55);
    empty_pipe();
}

static void several_messages(void)
{
    int pair[2];
    char bytes[2][8];
    struct iovec pieces[2] = {{bytes[0], 8}, {bytes[1], 8}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &pieces[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &pieces[1], .msg_iovlen = 1}}};
    struct timespec time = {.tv_sec = 3600};
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && send(pair[0], "one", 3, 0) == 3 && send(pair[0], "four", 4, 0) == 4);
    CHECK(recvmmsg(pair[1], messages, 2, 0, &time) == 2 && messages[0].msg_len == 3 && messages[1].msg_len == 4);
    CHECK(time.tv_sec < 3600 && time.tv_sec > 3000);
    time = (struct timespec){.tv_sec = 3600};
    FAILS(recvmmsg(pair[1], messages, 2, MSG_DONTWAIT, &time), EAGAIN);
    CHECK(time.tv_sec == 3600 && close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void do_nothing(int signal)
{
    (void)signal;
}

/* signal(7): where a socket has a timeout, no flag of a handler starts the call again. */
static void sockets_that_are_interrupted(void)
{
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct timeval long_time = {.tv_sec = 3600};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int pair[2], udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && listen(tcp, 1) == 0);
    CHECK(bind(udp, (struct sockaddr *)&any, sizeof any) == 0);
    int sockets[] = {pair[0], udp, tcp};
    for (int at = 0; at < 3; at++) {
        CHECK(setsockopt(sockets[at], SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof long_time) == 0);
    }
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    FAILS(recv(pair[0], &byte, 1, 0), EINTR);
    FAILS(read(pair[0], &byte, 1), EINTR);
    FAILS(recv(udp, &byte, 1, 0), EINTR);
    FAILS(accept(tcp, NULL, NULL), EINTR);
    CHECK(setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &long_time, sizeof long_time) == 0);
    while (send(pair[1], &byte, 1, 0) == 1) {
    }
    CHECK(errno == EINTR && setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0 && close(udp) == 0 && close(tcp) == 0);
}

int main(void)
{
    CHECK(pipe(ends) == 0);
    what_is_left();
    what_is_refused();
    sticky();
    large_sets();
    only_events_are_written();
    several_messages();
    sockets_that_are_interrupted();
    puts("timeouts ok");
    return 0;
}
