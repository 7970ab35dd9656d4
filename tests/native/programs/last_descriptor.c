/* When no descriptor is left, or one: nothing is created, cut or lost that nobody could have open. */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct rlimit before;

/* Only so many more descriptors can be had. */
static void leave(int count)
{
    int next = dup(0);
    CHECK(next >= 0 && close(next) == 0);
    struct rlimit limit = {.rlim_cur = (rlim_t)(next + count), .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void leave_as_before(void)
{
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void nothing_is_created_or_cut(void)
{
    struct stat found;
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
    char file[64], fresh[80], queue[64];
    sprintf(file, "/tmp/last_descriptor.%d", getpid());
    sprintf(fresh, "%s.new", file);
    sprintf(queue, "/last_descriptor.%d", getpid());
    int fd = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    CHECK(fd >= 0 && write(fd, "kept", 4) == 4 && close(fd) == 0);
    leave(0);
    FAILS(open(file, O_TRUNC | O_WRONLY), EMFILE);
    FAILS(open(fresh, O_CREAT | O_WRONLY, 0600), EMFILE);
    FAILS(open("/nowhere", O_RDONLY), EMFILE);
    FAILS(mq_open(queue, O_CREAT | O_RDWR, 0600, &attributes), EMFILE);
    leave_as_before();
    CHECK(stat(file, &found) == 0 && found.st_size == 4);
    FAILS(stat(fresh, &found), ENOENT);
    FAILS(mq_open(queue, O_RDWR), ENOENT);
    CHECK(unlink(file) == 0);
}

/* A connection that nobody has a descriptor for stays until there is one. */
static void nobody_accepts(int family)
{
    char byte;
    int listener = listening(family, 8), client = connected_to(family, port_of(listener));
    leave(0);
    FAILS(accept(listener, NULL, NULL), EMFILE);
    FAILS(accept(listener, NULL, NULL), EMFILE);
    leave_as_before();
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0 && write(server, "x", 1) == 1 && read(client, &byte, 1) == 1 && byte == 'x');
    CHECK(close(server) == 0 && close(client) == 0 && close(listener) == 0);
}

struct acceptance {
    int listener, accepted, error;
};
static sem_t done;

static void *accept_one(void *argument)
{
    struct acceptance *acceptance = argument;
    acceptance->accepted = accept(acceptance->listener, NULL, NULL);
    acceptance->error = errno;
    CHECK(sem_post(&done) == 0);
    return NULL;
}

/* It is kept for who waits: for nobody else, until the connection is there; but a child is nobody who waits. */
static void check_kept(int listener, int kept)
{
    FAILS(open("/dev/null", O_RDONLY), EMFILE);
    FAILS(dup(listener), EMFILE);
    FAILS(syscall(SYS_dup2, listener, kept), EBUSY); /* musl tries again for ever */
    FAILS(fcntl(kept, F_GETFD), EBADF);
    FAILS(close(kept), EBADF);
    int status;
    pid_t child = fork();
    if (child == 0) {
        _exit(dup(listener) != kept);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* Two accept, and there is one descriptor: one has it, the other hears so at once, and both connections are served. */
static void two_accept(int family)
{
    char byte;
    int listener = listening(family, 8), port = port_of(listener), clients[2], servers[2];
    union name name = loopback(family, port);
    struct acceptance acceptances[2] = {{.listener = listener}, {.listener = listener}};
    pthread_t threads[2];
    for (int at = 0; at < 2; at++) {
        CHECK((clients[at] = socket(family, SOCK_STREAM, 0)) >= 0);
    }
    leave(1);
    int kept = dup(0);
    CHECK(kept >= 0 && close(kept) == 0 && sem_init(&done, 0, 0) == 0);
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_create(&threads[at], NULL, accept_one, &acceptances[at]) == 0);
    }
    CHECK(sem_wait(&done) == 0);
    check_kept(listener, kept);
    for (int at = 0; at < 2; at++) {
        CHECK(connect(clients[at], &name.any, name_size(family)) == 0);
    }
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    int late = acceptances[0].accepted < 0 ? 0 : 1;
    servers[0] = acceptances[!late].accepted;
    CHECK(acceptances[late].accepted == -1 && acceptances[late].error == EMFILE && servers[0] == kept);
    leave_as_before();
    servers[1] = accept(listener, NULL, NULL);
    for (int at = 0; at < 2; at++) {
        CHECK(write(servers[at], "x", 1) == 1 && read(clients[at], &byte, 1) == 1 && byte == 'x');
        CHECK(close(servers[at]) == 0 && close(clients[at]) == 0);
    }
    CHECK(close(listener) == 0 && sem_destroy(&done) == 0);
}

/* What is kept is free again when nothing comes. */
static void nothing_comes(void)
{
    int listener = listening(AF_INET, 8);
    leave(1);
    CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
    for (int times = 0; times < 3; times++) {
        FAILS(accept(listener, NULL, NULL), EAGAIN);
        FAILS(open("/nowhere", O_RDONLY), ENOENT);
    }
    FAILS(accept(0, NULL, NULL), ENOTSOCK);
    int fd = dup(listener);
    CHECK(fd >= 0 && close(fd) == 0);
    leave_as_before();
    CHECK(close(listener) == 0);
}

int main(void)
{
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    nothing_is_created_or_cut();
    nobody_accepts(AF_INET);
    nobody_accepts(AF_INET6);
    two_accept(AF_INET);
    two_accept(AF_INET6);
    nothing_comes();
    puts("last descriptor ok");
}
