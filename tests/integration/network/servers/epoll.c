/* An HTTP server of one thread, in the least calls: epoll by levels, one read and one write for each request. Prints its port. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
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

int main(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0), events = epoll_create1(0);
    need(listener >= 0 && bind(listener, (void *)&name, size) == 0 && listen(listener, 128) == 0, "listen");
    need(events >= 0 && getsockname(listener, (void *)&name, &size) == 0, "epoll_create1");
    watch(events, listener);
    printf("%d\n", ntohs(name.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event found[64];
        int count = epoll_wait(events, found, 64, -1);
        for (int at = 0; at < count; at++) {
            if (found[at].data.fd == listener) {
                watch(events, accept(listener, NULL, NULL));
            } else {
                serve(found[at].data.fd);
            }
        }
    }
}
