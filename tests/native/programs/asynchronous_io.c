/* io_setup(2), io_submit(2), io_getevents(2) and their kin, without a library. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* <linux/aio_abi.h>, which not every C library has */
typedef unsigned long aio_context_t;
enum { IOCB_CMD_PREAD = 0, IOCB_CMD_PWRITE = 1, IOCB_CMD_FSYNC = 2, IOCB_CMD_PREADV = 7, IOCB_FLAG_RESFD = 1 };
struct iocb {
    uint64_t aio_data;
    uint32_t aio_key, aio_rw_flags;
    uint16_t aio_lio_opcode;
    int16_t aio_reqprio;
    uint32_t aio_fildes;
    uint64_t aio_buf, aio_nbytes;
    int64_t aio_offset;
    uint64_t aio_reserved2;
    uint32_t aio_flags, aio_resfd;
};
struct io_event {
    uint64_t data, obj;
    int64_t res, res2;
};

#define ADDRESS(pointer) ((uint64_t)(uintptr_t)(pointer))

static long setup(unsigned count, aio_context_t *context)
{
    return syscall(SYS_io_setup, count, context);
}

static long submit(aio_context_t context, long count, struct iocb **requests)
{
    return syscall(SYS_io_submit, context, count, requests);
}

static long events_of(aio_context_t context, long least, long most, struct io_event *events, struct timespec *timeout)
{
    return syscall(SYS_io_getevents, context, least, most, events, timeout);
}

static struct iocb request_of(int opcode, int fd, void *buffer, unsigned long length, long offset)
{
    static uint64_t data = 1000;
    return (struct iocb){.aio_data = data++, .aio_lio_opcode = (uint16_t)opcode, .aio_fildes = (uint32_t)fd,
        .aio_buf = ADDRESS(buffer), .aio_nbytes = length, .aio_offset = offset};
}

static void contexts(void)
{
    aio_context_t context = 0, other = 1;
    struct io_event event;
    FAILS(setup(1, NULL), EFAULT);
    FAILS(setup(0, &context), EINVAL);
    FAILS(setup(1, &other), EINVAL);
    FAILS(setup(0x7FFFFFFF, &context), EINVAL);
    FAILS(setup(1000000, &context), EAGAIN);
    CHECK(setup(4, &context) == 0 && context != 0 && (other = 0, setup(1, &other) == 0) && other != context);
    CHECK(*(volatile char *)context == *(volatile char *)context); /* libraries look there */
    FAILS(events_of(context + 4096 * 1000, 0, 1, &event, NULL), EINVAL);
    FAILS(events_of(context, 2, 1, &event, NULL), EINVAL);
    FAILS(events_of(context, -1, 1, &event, NULL), EINVAL);
    FAILS(events_of(context, 0, 1, &event, (void *)8), EFAULT);
    CHECK(events_of(context, 0, 1, &event, NULL) == 0);
    CHECK(events_of(context, 1, 1, &event, &(struct timespec){.tv_nsec = 1000000}) == 0);
    FAILS(syscall(SYS_io_destroy, 0), EINVAL); /* and both are there */
    CHECK(syscall(SYS_io_destroy, context) == 0 && syscall(SYS_io_destroy, other) == 0);
    FAILS(syscall(SYS_io_destroy, context), EINVAL);
    FAILS(syscall(SYS_io_destroy, 0), EINVAL);
    FAILS(events_of(context, 0, 1, &event, NULL), EINVAL);
    FAILS(submit(context, 0, NULL), EINVAL);
}

static void transfers(aio_context_t context, int fd)
{
    char text[] = "asynchronous", found[16] = "", first[4], second[16] = "";
    struct iovec vector[2] = {{first, 4}, {second, sizeof second}};
    struct iocb requests[5] = {
        request_of(IOCB_CMD_PWRITE, fd, text, 12, 4),
        request_of(IOCB_CMD_PREAD, fd, found, sizeof found, 6),
        request_of(IOCB_CMD_PREADV, fd, vector, 2, 4),
        request_of(IOCB_CMD_FSYNC, fd, NULL, 0, 0),
        request_of(IOCB_CMD_PREAD, fd, found, sizeof found, 100),
    };
    struct iocb *list[5];
    struct io_event events[8];
    int event = eventfd(0, EFD_NONBLOCK);
    uint64_t told;
    CHECK(event >= 0);
    for (int at = 0; at < 5; at++) {
        requests[at].aio_flags = IOCB_FLAG_RESFD;
        requests[at].aio_resfd = (uint32_t)event;
        list[at] = &requests[at];
    }
    for (int at = 0; at < 5; at++) { /* one after the other: several may be done in any order */
        long result[] = {12, 10, 12, 0, 0};
        requests[at].aio_key = 77;
        CHECK(submit(context, 1, &list[at]) == 1 && requests[at].aio_key == 0);
        CHECK(events_of(context, 1, 8, events, NULL) == 1 && events[0].data == requests[at].aio_data);
        CHECK(events[0].obj == ADDRESS(&requests[at]) && events[0].res == result[at] && events[0].res2 == 0);
    }
    CHECK(memcmp(found, "ynchronous", 10) == 0 && memcmp(first, "asyn", 4) == 0 && memcmp(second, "chronous", 8) == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 0 && read(event, &told, sizeof told) == 8 && told == 5 && close(event) == 0);
    CHECK(submit(context, 5, list) == -1 && errno == EBADF); /* the event is closed */
    for (int at = 0; at < 5; at++) {
        requests[at].aio_flags = 0;
    }
    CHECK(submit(context, 5, list) == 5 && events_of(context, 5, 8, events, NULL) == 5);
    FAILS(syscall(SYS_io_cancel, context, &requests[0], events), EINVAL);
    FAILS(syscall(SYS_io_cancel, context, NULL, events), EFAULT);
}

static void refusals(aio_context_t context, int fd)
{
    char byte = 0;
    int reader = open("/proc/self/exe", O_RDONLY);
    struct iocb good = request_of(IOCB_CMD_PREAD, fd, &byte, 1, 0), bad = good, *list[2] = {&good, &bad};
    struct io_event event;
    FAILS(submit(context, -1, list), EINVAL);
    FAILS(submit(context, 1, NULL), EFAULT);
    CHECK(submit(context, 0, list) == 0);
    list[1] = NULL;
    CHECK(submit(context, 2, list) == 1 && events_of(context, 1, 1, &event, NULL) == 1); /* up to the first that is refused */
    list[1] = &bad;
#define REFUSED(field, value, error)                \
    do {                                            \
        bad = good;                                 \
        bad.field = (value);                        \
        FAILS(submit(context, 1, &list[1]), error); \
    } while (0)
    REFUSED(aio_fildes, 999, EBADF);
    REFUSED(aio_reserved2, 1, EINVAL);
    REFUSED(aio_nbytes, -1ULL, EINVAL);
    REFUSED(aio_lio_opcode, 99, EINVAL);
    REFUSED(aio_offset, -1, EINVAL);
    REFUSED(aio_rw_flags, 0x40000000, EOPNOTSUPP);
    bad = good;
    bad.aio_flags = IOCB_FLAG_RESFD;
    bad.aio_resfd = (uint32_t)fd;
    FAILS(submit(context, 1, &list[1]), EINVAL);
    bad = request_of(IOCB_CMD_PWRITE, reader, &byte, 1, 0);
    FAILS(submit(context, 1, &list[1]), EBADF);
    bad = request_of(IOCB_CMD_FSYNC, fd, NULL, 1, 0);
    FAILS(submit(context, 1, &list[1]), EINVAL);
    CHECK(events_of(context, 0, 1, &event, NULL) == 0 && close(reader) == 0); /* no event came of any */
}

/* The counter of an event goes one further than write(2) can make it. */
static void overflow(aio_context_t context, int fd)
{
    char byte;
    uint64_t count = UINT64_MAX - 1;
    int event = eventfd(0, EFD_NONBLOCK);
    struct pollfd entry = {.fd = event, .events = POLLIN | POLLOUT};
    struct iocb request = request_of(IOCB_CMD_PREAD, fd, &byte, 1, 0), *list[1] = {&request};
    struct io_event done[2];
    request.aio_flags = IOCB_FLAG_RESFD;
    request.aio_resfd = (uint32_t)event;
    CHECK(write(event, &count, 8) == 8 && poll(&entry, 1, 0) == 1 && entry.revents == POLLIN);
    CHECK(submit(context, 1, list) == 1 && submit(context, 1, list) == 1 && events_of(context, 2, 2, done, NULL) == 2);
    CHECK(poll(&entry, 1, 0) == 1 && entry.revents == (POLLIN | POLLERR) && (count = 1, write(event, &count, 8)) == -1 && errno == EAGAIN);
    CHECK(read(event, &count, 8) == 8 && count == UINT64_MAX && close(event) == 0);
}

/* What is not fetched takes room. */
static void room(int fd)
{
    char byte;
    aio_context_t context = 0;
    struct iocb request = request_of(IOCB_CMD_PREAD, fd, &byte, 1, 0), *list[1] = {&request};
    static struct io_event events[8192];
    long taken = 0;
    CHECK(setup(2, &context) == 0);
    while (taken < 8192 && submit(context, 1, list) == 1) {
        taken++;
    }
    CHECK(taken >= 2 && taken < 8192 && errno == EAGAIN);
    CHECK(events_of(context, taken, 8192, events, NULL) == taken && submit(context, 1, list) == 1);
    CHECK(syscall(SYS_io_destroy, context) == 0);
}

static volatile int signalled;

static void note(int number)
{
    signalled = number;
}

static aio_context_t shared;

static void *submit_later(void *argument)
{
    struct iocb *list[1] = {argument};
    usleep(20000);
    CHECK(submit(shared, 1, list) == 1);
    return NULL;
}

static void waiting(int fd)
{
    char byte;
    pthread_t thread;
    struct io_event event;
    struct iocb request = request_of(IOCB_CMD_PREAD, fd, &byte, 1, 0);
    struct sigaction action = {.sa_handler = note};
    CHECK(setup(4, &shared) == 0 && pthread_create(&thread, NULL, submit_later, &request) == 0);
    CHECK(events_of(shared, 1, 1, &event, NULL) == 1 && event.res == 1 && pthread_join(thread, NULL) == 0);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval soon = {.it_value = {.tv_usec = 20000}, .it_interval = {.tv_usec = 20000}};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    FAILS(events_of(shared, 1, 1, &event, NULL), EINTR);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL) == 0 && signalled == SIGALRM);
}

/* A child has no contexts, though it has the memory. */
static void children(aio_context_t context)
{
    struct io_event event;
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        FAILS(events_of(context, 0, 1, &event, NULL), EINVAL);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0 && events_of(context, 0, 1, &event, NULL) == 0);
}

int main(void)
{
    aio_context_t context = 0;
    int fd = memfd_create("aio", 0);
    contexts();
    CHECK(fd >= 0 && setup(8, &context) == 0);
    transfers(context, fd);
    refusals(context, fd);
    overflow(context, fd);
    room(fd);
    waiting(fd);
    children(context);
    puts("asynchronous I/O ok");
    return 0; /* the process takes its contexts with it */
}
