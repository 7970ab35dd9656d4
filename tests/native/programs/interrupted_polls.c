/* What is ready is told, however many signals come: by poll, select and epoll, without a timeout and with one, and to who does not want to block. */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#define ENOUGH 500 /* signals, for each way to ask */

static atomic_int handled, is_over;
static int ends[2], epoll;

static void handle(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled, 1);
}

static void *disturb(void *target)
{
    while (!atomic_load(&is_over)) {
        CHECK(pthread_kill(*(pthread_t *)target, SIGUSR1) == 0);
        usleep(20);
    }
    return NULL;
}

static void by_poll(int timeout)
{
    struct pollfd asked[] = {{.fd = ends[0], .events = POLLIN | POLLOUT}, {.fd = STDOUT_FILENO, .events = POLLOUT}};
    CHECK(poll(asked, 2, timeout) == 2);
    CHECK(asked[0].revents == (POLLIN | POLLOUT) && asked[1].revents == POLLOUT);
}

static void by_select(int timeout)
{
    fd_set readable;
    struct timeval time = {.tv_usec = timeout * 1000};
    FD_ZERO(&readable);
    FD_SET(ends[0], &readable);
    CHECK(select(ends[0] + 1, &readable, NULL, NULL, &time) == 1);
}

static void by_epoll(int timeout)
{
    struct epoll_event event;
    CHECK(epoll_wait(epoll, &event, 1, timeout) == 1 && event.events == EPOLLIN);
}

static void by_read(int timeout)
{
    char byte;
    (void)timeout;
    CHECK(recv(ends[0], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
}

int main(void)
{
    static void (*const ways[])(int) = {by_poll, by_select, by_epoll, by_read};
    pthread_t self = pthread_self(), other;
    struct sigaction action = {.sa_handler = handle};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    stream_pair(AF_INET, ends);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    struct pollfd arrives = {.fd = ends[0], .events = POLLIN};
    CHECK(poll(&arrives, 1, -1) == 1);
    CHECK(pthread_create(&other, NULL, disturb, &self) == 0);
    for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
        for (int timeout = 0; timeout <= 1000; timeout += 1000) {
            for (int until = atomic_load(&handled) + ENOUGH; atomic_load(&handled) < until;) {
                ways[way](timeout);
            }
        }
    }
    atomic_store(&is_over, 1);
    CHECK(pthread_join(other, NULL) == 0);
    puts("ready");
    return 0;
}
