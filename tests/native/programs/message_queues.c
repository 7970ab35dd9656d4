/* POSIX message queues: mq_overview(7). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME "/enclave-queue"

static mqd_t queue;

static mqd_t create(const char *name, int flags, long messages, long size)
{
    struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = size};
    return mq_open(name, flags | O_CREAT, 0600, &attributes);
}

static void put(const char *text, unsigned priority)
{
    CHECK(mq_send(queue, text, strlen(text), priority) == 0);
}

static void expect(const char *text, unsigned priority)
{
    char found[64];
    unsigned seen = 99;
    ssize_t size = mq_receive(queue, found, sizeof found, &seen);
    CHECK(size == (ssize_t)strlen(text) && memcmp(found, text, (size_t)size) == 0 && seen == priority);
}

static void names(void)
{
    char longest[300];
    mq_unlink(NAME);
    FAILS(mq_open(NAME, O_RDONLY), ENOENT);
    FAILS(create(NAME, O_RDWR, 0, 10), EINVAL);
    FAILS(create(NAME, O_RDWR, 10, 0), EINVAL);
    FAILS(create(NAME, O_RDWR, -1, 10), EINVAL);
    FAILS(create("/a/b", O_RDWR, 5, 10), EACCES);
    FAILS(syscall(SYS_mq_open, "", O_RDONLY, 0, NULL), ENOENT);
    memset(longest, 'a', sizeof longest);
    longest[256] = 0;
    FAILS(syscall(SYS_mq_open, longest, O_RDONLY, 0, NULL), ENAMETOOLONG);
    FAILS(syscall(SYS_mq_open, 8, O_RDONLY, 0, NULL), EFAULT);
    CHECK((queue = create(NAME, O_RDWR | O_EXCL, 4, 64)) >= 0);
    FAILS(create(NAME, O_RDWR | O_EXCL, 4, 64), EEXIST);
    CHECK(fcntl(queue, F_GETFD) == FD_CLOEXEC);
    struct mq_attr attributes;
    CHECK(mq_getattr(queue, &attributes) == 0 && attributes.mq_maxmsg == 4 && attributes.mq_msgsize == 64);
    CHECK(attributes.mq_curmsgs == 0 && attributes.mq_flags == 0);
    struct stat status;
    CHECK(fstat(queue, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0777) == 0600);
}

static void order(void)
{
    char found[64];
    put("low", 1);
    put("high", 9);
    put("low again", 1);
    put("", 5);
    expect("high", 9);
    expect("", 5);
    expect("low", 1);
    expect("low again", 1);
    FAILS(mq_send(queue, found, 65, 0), EMSGSIZE);
    FAILS(mq_send(queue, found, 1, 32768), EINVAL);
    CHECK(mq_send(queue, found, 1, 32767) == 0);
    FAILS(mq_receive(queue, found, 63, NULL), EMSGSIZE);
    CHECK(mq_receive(queue, found, 64, NULL) == 1);
    FAILS(mq_send(queue, (char *)8, 1, 0), EFAULT);
    FAILS(mq_send(0, found, 1, 0), EBADF);
    FAILS(mq_send(-1, found, 1, 0), EBADF);
    mqd_t reader = mq_open(NAME, O_RDONLY), writer = mq_open(NAME, O_WRONLY);
    CHECK(reader >= 0 && writer >= 0);
    FAILS(mq_send(reader, found, 1, 0), EBADF);
    FAILS(mq_receive(writer, found, 64, NULL), EBADF);
    CHECK(mq_send(writer, "x", 1, 3) == 0 && mq_receive(reader, found, 64, NULL) == 1);
    CHECK(mq_close(reader) == 0 && mq_close(writer) == 0);
}

static void limits(void)
{
    char found[64];
    struct timespec soon;
    struct mq_attr attributes = {.mq_flags = O_NONBLOCK}, old;
    CHECK(clock_gettime(CLOCK_REALTIME, &soon) == 0);
    FAILS(mq_timedreceive(queue, found, 64, NULL, &soon), ETIMEDOUT);
    soon.tv_nsec = -1;
    FAILS(mq_timedreceive(queue, found, 64, NULL, &soon), EINVAL);
    CHECK(mq_setattr(queue, &attributes, &old) == 0 && old.mq_flags == 0);
    FAILS(mq_receive(queue, found, 64, NULL), EAGAIN);
    for (int at = 0; at < 4; at++) {
        put("full", 0);
    }
    FAILS(mq_send(queue, "x", 1, 0), EAGAIN);
    struct pollfd ready = {.fd = queue, .events = POLLIN | POLLOUT};
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLIN);
    for (int at = 0; at < 4; at++) {
        expect("full", 0);
    }
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT);
    attributes.mq_flags = O_APPEND;
    FAILS(mq_setattr(queue, &attributes, NULL), EINVAL);
    attributes.mq_flags = 0;
    CHECK(mq_setattr(queue, &attributes, &old) == 0 && old.mq_flags == O_NONBLOCK);
    struct rlimit bytes = {500, 819200};
    mqd_t other = -1;
    CHECK(setrlimit(RLIMIT_MSGQUEUE, &bytes) == 0);
    FAILS(other = create("/enclave-other", O_RDWR, 10, 1000), EMFILE);
    bytes.rlim_cur = 819200;
    CHECK(setrlimit(RLIMIT_MSGQUEUE, &bytes) == 0);
}

static void *send_late(void *text)
{
    usleep(20000);
    put(text, 2);
    return NULL;
}

static void waiting(void)
{
    pthread_t thread;
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(pthread_create(&thread, NULL, send_late, "late") == 0);
    expect("late", 2);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event) == 0);
    CHECK(pthread_create(&thread, NULL, send_late, "later") == 0);
    CHECK(epoll_wait(epoll, &event, 1, 10000) == 1);
    expect("later", 2);
    CHECK(pthread_join(thread, NULL) == 0 && close(epoll) == 0);
    for (int at = 0; at < 4; at++) {
        put("full", 0);
    }
    CHECK(pthread_create(&thread, NULL, send_late, "last") == 0);
    usleep(40000);
    expect("full", 0);
    CHECK(pthread_join(thread, NULL) == 0);
    expect("last", 2);
    for (int at = 0; at < 3; at++) {
        expect("full", 0);
    }
}

static volatile int told;
static volatile int told_code, told_value;

static void tell(int signal, siginfo_t *info, void *context)
{
    (void)context;
    told = signal;
    told_code = info->si_code;
    told_value = info->si_value.sival_int;
}

static void notifications(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 55};
    CHECK(sigaction(SIGUSR1, &(struct sigaction){.sa_sigaction = tell, .sa_flags = SA_SIGINFO}, NULL) == 0);
    CHECK(mq_notify(queue, &event) == 0);
    FAILS(mq_notify(queue, &event), EBUSY);
    put("first", 0);
    while (!told) {
        usleep(1000);
    }
    CHECK(told == SIGUSR1 && told_code == SI_MESGQ && told_value == 55);
    told = 0;
    put("second", 0); /* told once, and only if there was none */
    CHECK(mq_notify(queue, &event) == 0);
    put("third", 0);
    CHECK(told == 0);
    CHECK(mq_notify(queue, NULL) == 0 && mq_notify(queue, NULL) == 0);
    expect("first", 0);
    expect("second", 0);
    expect("third", 0);
    event.sigev_notify = SIGEV_NONE;
    CHECK(mq_notify(queue, &event) == 0 && mq_notify(queue, NULL) == 0);
    event.sigev_notify = 9;
    FAILS(syscall(SYS_mq_notify, queue, &event), EINVAL);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 65;
    FAILS(syscall(SYS_mq_notify, queue, &event), EINVAL);
    FAILS(mq_notify(0, NULL), EBADF);
}

/* Who closes one descriptor of the queue, or ends, is not told any more, though others have it open. */
static void notifications_end(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    int status, copy = dup(queue);
    CHECK(copy >= 0 && mq_notify(queue, &event) == 0 && close(copy) == 0);
    CHECK(mq_notify(queue, &event) == 0 && mq_notify(queue, NULL) == 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(mq_notify(queue, &event) != 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(mq_notify(queue, &event) == 0 && mq_notify(queue, NULL) == 0);
    CHECK(mq_notify(queue, &event) == 0);
    child = fork();
    if (child == 0) { /* it closes what is registered for its parent */
        _exit(mq_close(queue) != 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    FAILS(mq_notify(queue, &event), EBUSY);
    CHECK(mq_notify(queue, NULL) == 0);
}

static volatile int thread_told;

static void on_message(union sigval value)
{
    thread_told = value.sival_int;
}

/* A C library makes this of a netlink socket and a thread that reads from it. */
static void notifications_by_thread(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_message, .sigev_value.sival_int = 77};
    for (int round = 1; round <= 2; round++) {
        thread_told = 0;
        event.sigev_value.sival_int = round;
        CHECK(mq_notify(queue, &event) == 0);
        put("hello", 0);
        for (int wait = 0; wait < 5000 && !thread_told; wait++) {
            usleep(1000);
        }
        CHECK(thread_told == round);
        expect("hello", 0);
    }
    char cookie[32] = "cookie", got[64];
    int netlink = socket(AF_NETLINK, SOCK_RAW, 0);
    event.sigev_value.sival_ptr = cookie;
    event.sigev_signo = netlink;
    CHECK(netlink >= 0 && syscall(SYS_mq_notify, queue, &event) == 0);
    FAILS(syscall(SYS_mq_notify, queue, &event), EBUSY);
    put("hello", 0);
    CHECK(recv(netlink, got, sizeof got, 0) == 32 && strcmp(got, "cookie") == 0 && got[31] == 1);
    expect("hello", 0);
    CHECK(syscall(SYS_mq_notify, queue, &event) == 0 && mq_notify(queue, NULL) == 0);
    CHECK(recv(netlink, got, sizeof got, 0) == 32 && got[31] == 2);
    CHECK(close(netlink) == 0);
    FAILS(syscall(SYS_mq_notify, queue, &event), EBADF);
    event.sigev_signo = 0;
    CHECK(syscall(SYS_mq_notify, queue, &event) == -1 && (errno == ENOTSOCK || errno == EINVAL));
    event.sigev_value.sival_ptr = (void *)8;
    FAILS(syscall(SYS_mq_notify, queue, &event), EFAULT);
}

int main(void)
{
    names();
    order();
    limits();
    waiting();
    notifications();
    notifications_end();
    notifications_by_thread();
    put("kept", 7);
    CHECK(mq_close(queue) == 0 && (queue = mq_open(NAME, O_RDWR)) >= 0);
    CHECK(mq_unlink(NAME) == 0);
    FAILS(mq_unlink(NAME), ENOENT);
    FAILS(mq_open(NAME, O_RDWR), ENOENT);
    expect("kept", 7); /* without a name it lives on */
    CHECK(mq_close(queue) == 0);
    puts("message queues ok");
}
