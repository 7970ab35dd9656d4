/*
 * Several threads share a connection that another one waits for in an epoll, so that what has come may be inside already, or not yet: what one of them
 * reads is one piece of the stream (tcp_recvmsg() of Linux holds the socket's lock), and who asks how much there is hears of all of it.
 *
 *     whole_reads RECORDS
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define READERS 3
#define SIZE 1500  /* no part of a page, of which pieces may be that are inside */
#define UNREAD_MAX 8 /* few enough for the sender to send each as a whole */

static int ends[2], epoll;
static int sent, taken, is_over;

static void *wait_only(void *unused)
{
    struct epoll_event event;
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        CHECK(epoll_wait(epoll, &event, 1, 1) >= 0);
    }
    return unused;
}

static void *read_records(void *unused)
{
    char record[SIZE];
    for (ssize_t got; (got = recv(ends[0], record, SIZE, 0)) != 0;) {
        CHECK(got == SIZE && memcmp(record, record + 1, SIZE - 1) == 0);
        __atomic_fetch_add(&taken, 1, __ATOMIC_ACQ_REL);
        char answer = 'a'; /* a transfer, with which more may be read ahead */
        CHECK(send(ends[0], &answer, 1, 0) == 1);
    }
    return unused;
}

static void *count_and_read(void *unused)
{
    char record[SIZE];
    for (;;) {
        struct pollfd entry = {.fd = ends[0], .events = POLLIN};
        int count = 0;
        CHECK(poll(&entry, 1, -1) == 1 && (entry.revents & POLLIN) != 0 && ioctl(ends[0], FIONREAD, &count) == 0);
        CHECK(count == 0 ? recv(ends[0], record, SIZE, 0) == 0 : 1); /* nothing, and readable, is the end */
        if (count == 0) {
            return unused;
        }
        CHECK(recv(ends[0], record, SIZE, MSG_WAITALL) == SIZE && memcmp(record, record + 1, SIZE - 1) == 0);
        __atomic_fetch_add(&taken, 1, __ATOMIC_ACQ_REL);
        char answer = 'a';
        CHECK(send(ends[0], &answer, 1, 0) == 1);
    }
}

static void run(int records, int readers, void *(*read_all)(void *))
{
    static const int at_once = 1;
    pthread_t threads[READERS], waiter;
    char record[SIZE], answers[64];
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    sent = taken = is_over = 0;
    epoll = epoll_create1(0);
    stream_pair(AF_INET, ends);
    CHECK(setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once)) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0 && pthread_create(&waiter, NULL, wait_only, NULL) == 0);
    for (int at = 0; at < readers; at++) {
        CHECK(pthread_create(&threads[at], NULL, read_all, NULL) == 0);
    }
    while (sent < records) {
        if (sent - __atomic_load_n(&taken, __ATOMIC_ACQUIRE) >= UNREAD_MAX) {
            sched_yield();
            continue;
        }
        memset(record, sent++, SIZE);
        CHECK(send(ends[1], record, SIZE, 0) == SIZE);
        while (recv(ends[1], answers, sizeof(answers), MSG_DONTWAIT) > 0) {
        }
    }
    while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) < records) {
        sched_yield();
    }
    CHECK(shutdown(ends[1], SHUT_WR) == 0);
    for (int at = 0; at < readers; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(waiter, NULL) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0 && close(epoll) == 0);
}

int main(int count, char **arguments)
{
    int records = count > 1 ? atoi(arguments[1]) : 10000;
    run(records, READERS, read_records);
    run(records, 1, count_and_read);
    puts("whole reads ok");
    return 0;
}
