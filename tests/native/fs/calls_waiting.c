/* poll, select, epoll and eventfd; with the host's standard input among them. */
#include "calls.h"

struct event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

void test_waiting(void)
{
    struct {
        int32_t descriptor;
        uint16_t events, revents;
    } entries[3];
    struct event event = {.events = 1, .data = 42}, events[4];
    uint64_t value = 5;
    make_pipe(0);
    int64_t counter = CALL_LIBOS(eventfd2, 0, O_NONBLOCK);
    CHECK(CALL_LIBOS(read, (uint64_t)counter, USER(&value), 8), -EAGAIN);
    entries[0].descriptor = (int32_t)pipe_ends[0];
    entries[0].events = 1;
    entries[1].descriptor = (int32_t)counter;
    entries[1].events = 5;
    entries[2].descriptor = 999;
    CHECK(CALL_LIBOS(poll, USER(entries), 1, 0), 0);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, 20), 0);
    CHECK(CALL_LIBOS(poll, USER(entries), 2, (uint64_t)-1), 1);
    CHECK(entries[1].revents, 4);
    CHECK(CALL_LIBOS(poll, USER(entries), 3, (uint64_t)-1), 2);
    CHECK(entries[2].revents, 0x20);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, (uint64_t)-1), 1);
    CHECK(entries[0].revents, 1);
    shim_thread_join(thread);
    uint64_t sets[3][16] = {{1ULL << pipe_ends[0]}, {1ULL << counter}, {0}};
    uint64_t limit[2] = {1, 0};
    CHECK(CALL_LIBOS(select, 64, USER(sets[0]), USER(sets[1]), 0, USER(limit)), 2);
    signal_waits = true;
    char bytes[8];
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 8), 4);
    CHECK(CALL_LIBOS(read, (uint64_t)pipe_ends[0], USER(bytes), 8), -EINTR);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, (uint64_t)-1), -EINTR);
    signal_waits = false;

    int64_t epoll = CALL_LIBOS(epoll_create1, 0);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)pipe_ends[0], USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)pipe_ends[0], USER(&event)), -EEXIST);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)open_file("/etc", 0, 0), USER(&event)), -EPERM);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)epoll, USER(&event)), -EINVAL);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 0);
    thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, (uint64_t)-1), 1);
    CHECK(events[0].data, 42);
    CHECK(events[0].events, 1);
    shim_thread_join(thread);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1); /* level: again */
    event.events = 1 | 1U << 31;
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 3, (uint64_t)pipe_ends[0], USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 0); /* edge: once */
    write_file(pipe_ends[1], "more");
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1);
    event.events = 1 | 1U << 30;
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 3, (uint64_t)pipe_ends[0], USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 1);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)epoll, USER(events), 4, 0), 0); /* one shot */
    int64_t outer = CALL_LIBOS(epoll_create1, 0);
    event.events = 1;
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)outer, 1, (uint64_t)epoll, USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)outer, USER(&event)), -ELOOP);
    CHECK(CALL_LIBOS(epoll_ctl, (uint64_t)epoll, 1, (uint64_t)counter, USER(&event)), 0);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)outer, USER(events), 4, 0), 0);
    value = 7;
    CHECK(CALL_LIBOS(write, (uint64_t)counter, USER(&value), 8), 8);
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)outer, USER(events), 4, 0), 1);
    CHECK(CALL_LIBOS(read, (uint64_t)counter, USER(&value), 8), 8);
    CHECK(value, 7);
    close_file(counter); /* leaves the epoll by itself */
    CHECK(CALL_LIBOS(epoll_wait, (uint64_t)outer, USER(events), 4, 0), 0);
    close_file(epoll);
    close_file(outer);

    int64_t timer = CALL_LIBOS(timerfd_create, 1, 0);
    int64_t setting[4] = {0, 0, 0, 20000000};
    CHECK(CALL_LIBOS(timerfd_settime, (uint64_t)timer, 0, USER(setting), 0), 0);
    entries[0].descriptor = (int32_t)timer;
    CHECK(CALL_LIBOS(poll, USER(entries), 1, 0), 0);
    CHECK(CALL_LIBOS(poll, USER(entries), 1, (uint64_t)-1), 1);
    CHECK(CALL_LIBOS(read, (uint64_t)timer, USER(&value), 8), 8);
    CHECK(value, 1);
    close_file(timer);
    close_file(pipe_ends[0]);
    close_file(pipe_ends[1]);
}

/* A pipe from outside at descriptor 0, waited for together with one inside. */
void test_standard_input(int host_writer)
{
    long write(int fd, const void *from, size_t size);
    struct {
        int32_t descriptor;
        uint16_t events, revents;
    } entries[2] = {{0, 1, 0}, {0, 1, 0}};
    char bytes[16];
    make_pipe(0);
    entries[1].descriptor = (int32_t)pipe_ends[0];
    CHECK(CALL_LIBOS(poll, USER(entries), 2, 10), 0);
    struct shim_thread *thread = shim_thread_start(write_later, NULL);
    CHECK(CALL_LIBOS(poll, USER(entries), 2, (uint64_t)-1), 1);
    CHECK(entries[1].revents, 1);
    shim_thread_join(thread);
    write(host_writer, "outside", 7);
    CHECK(CALL_LIBOS(poll, USER(entries), 2, (uint64_t)-1), 2);
    CHECK(CALL_LIBOS(read, 0, USER(bytes), 16), 7);
    CHECK(CALL_LIBOS(fstat, 0, USER(&status)), 0);
    CHECK(status.mode & 0170000, 0010000);
    CHECK(CALL_LIBOS(fcntl, 0, 4, O_NONBLOCK), 0);
    CHECK(CALL_LIBOS(read, 0, USER(bytes), 16), -EAGAIN);
    CHECK(CALL_LIBOS(fcntl, 0, 4, 0), 0);
    CHECK(CALL_LIBOS(ioctl, 0, 0x5401, USER(bytes)), -ENOTTY);
    int64_t again = open_file("/dev/stdin", O_RDONLY, 0);
    write(host_writer, "more", 4);
    CHECK(CALL_LIBOS(read, (uint64_t)again, USER(bytes), 16), 4);
    close_file(again);
    close_file(pipe_ends[0]);
    close_file(pipe_ends[1]);
}
