#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* epoll [IDLE]: nanoseconds to watch one of as many socket pairs, then to write to one of them, hear of it and read, in the best of some passes. */
enum { PASSES = 5, ROUNDS = 2000, IDLE = 4000 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int count, char **arguments) {
    int idle = count > 1 ? atoi(arguments[1]) : IDLE, epoll = epoll_create1(0);
    int(*pairs)[2] = calloc((size_t)idle, sizeof *pairs);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int at = 0; at < idle; at++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[at]) != 0) {
            perror("socketpair");
            return 1;
        }
    }
    double start = now(), best = 1e18;
    for (int at = 0; at < idle; at++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = pairs[at][0]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, pairs[at][0], &event) != 0) {
            perror("epoll_ctl");
            return 1;
        }
    }
    printf("%.0f\n", (now() - start) / idle);
    for (int pass = 0; pass < PASSES; pass++) {
        start = now();
        for (int round = 0; round < ROUNDS; round++) {
            struct epoll_event event;
            char byte = 'x';
            if (write(pairs[round * 31 % idle][1], &byte, 1) != 1 || epoll_wait(epoll, &event, 1, -1) != 1 || read(event.data.fd, &byte, 1) != 1) {
                perror("round");
                return 1;
            }
        }
        double cost = (now() - start) / ROUNDS;
        best = cost < best ? cost : best;
    }
    printf("%.0f\n", best);
    return 0;
}
