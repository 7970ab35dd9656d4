/* epoll(7): one in the other only so deep, and never in itself. */
#include "check.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DEPTH 5

static int add(int outer, int inner)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event);
}

int main(void)
{
    int epolls[DEPTH + 2], ends[2], other = epoll_create1(0);
    struct epoll_event event;
    CHECK(pipe(ends) == 0);
    for (int at = 0; at < DEPTH + 2; at++) {
        epolls[at] = epoll_create1(0);
        CHECK(epolls[at] >= 0);
        if (at > 0 && at < DEPTH) {
            CHECK(add(epolls[at], epolls[at - 1]) == 0);
        }
    }
    CHECK(add(epolls[0], ends[0]) == 0);
    CHECK(epoll_wait(epolls[DEPTH - 1], &event, 1, 0) == 0 && write(ends[1], "x", 1) == 1);
    CHECK(epoll_wait(epolls[DEPTH - 1], &event, 1, 0) == 1);
    CHECK(add(epolls[DEPTH], epolls[DEPTH - 1]) == -1 && errno == ELOOP);
    CHECK(add(epolls[0], epolls[DEPTH - 1]) == -1 && errno == ELOOP);
    CHECK(add(epolls[0], epolls[0]) == -1 && errno == EINVAL);
    CHECK(add(epolls[0], other) == -1 && errno == ELOOP); /* it would lie too deep below the outermost */
    CHECK(add(epolls[1], other) == 0 && add(other, epolls[1]) == -1 && errno == ELOOP);
    CHECK(add(epolls[0], open("/", O_RDONLY)) == -1 && errno == EPERM);
    puts("epolls ok");
}
