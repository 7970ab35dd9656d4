/*
 * An HTTP server of one thread, in the least calls: epoll by levels, one read and one write for each request. Prints its port. With a number it forks so
 * many workers first, which share the listener.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nhello from inside\n";

static void need(int done, const char *what)
{
    if (!done) {
        perror(what);
        exit(1);
    }
}

static void watch(int events, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    need(epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void serve(int fd)
{
    char request[4096];
    ssize_t got = read(fd, request, sizeof request);
    int is_whole = got > 4 && memcmp(request + got - 4, "\r\n\r\n", 4) == 0;
    if (!is_whole || write(fd, ANSWER, sizeof ANSWER - 1) != (ssize_t)sizeof ANSWER - 1) {
        close(fd);
    }
}

static void watch_next(int events, int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) { /* else another worker was faster */
        watch(events, fd);
    }
}

/* Returns in the workers; the first process waits for them. */
static void fork_workers(int count)
{
    for (int worker = 0; worker < count; worker++) {
        pid_t child = fork();
        need(child >= 0, "fork");
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            return;
        }
    }
    while (count && wait(NULL) > 0) {
    }
    if (count) {
        exit(0);
    }
}

int main(int count, char *arguments[])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    need(listener >= 0 && bind(listener, (void *)&name, size) == 0 && listen(listener, 128) == 0, "listen");
    need(getsockname(listener, (void *)&name, &size) == 0, "getsockname");
    printf("%d\n", ntohs(name.sin_port));
    fflush(stdout);
    fork_workers(count > 1 ? atoi(arguments[1]) : 0);
    int events = epoll_create1(0);
    need(events >= 0, "epoll_create1");
    watch(events, listener);
    for (;;) {
        struct epoll_event found[64];
        int ready = epoll_wait(events, found, 64, -1);
        for (int at = 0; at < ready; at++) {
            if (found[at].data.fd == listener) {
                watch_next(events, listener);
            } else {
                serve(found[at].data.fd);
            }
        }
    }
}
