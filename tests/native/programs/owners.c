/* Signal-driven I/O: F_SETOWN, F_SETSIG and O_ASYNC of fcntl(2). */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_SETSIG
#define F_SETSIG 10
#define F_GETSIG 11
#define F_SETOWN_EX 15
#define F_GETOWN_EX 16
#endif
struct owner {
    int type;
    pid_t id;
};
enum { OWNER_TID, OWNER_PID, OWNER_PGRP };

static volatile int count, number, code, descriptor;
static volatile long band;
static volatile pid_t who;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    number = signal;
    code = info->si_code;
    band = info->si_band;
    descriptor = info->si_fd;
    who = (pid_t)syscall(SYS_gettid);
    count++; /* the last: another thread may wait for it */
}

static void set_flags(int fd, int add, int remove)
{
    int flags = fcntl(fd, F_GETFL);
    CHECK(fcntl(fd, F_SETFL, (flags | add) & ~remove) == 0);
}

static void owners(void)
{
    int ends[2];
    struct owner owner = {9, 9};
    CHECK(pipe(ends) == 0);
    CHECK(fcntl(ends[0], F_GETOWN) == 0 && fcntl(ends[0], F_GETOWN_EX, &owner) == 0 && owner.type == OWNER_TID && owner.id == 0);
    CHECK(fcntl(ends[0], F_SETOWN, getpid()) == 0 && fcntl(ends[0], F_GETOWN) == getpid());
    CHECK(fcntl(ends[0], F_GETOWN_EX, &owner) == 0 && owner.type == OWNER_PID && owner.id == getpid());
    CHECK(fcntl(ends[0], F_SETOWN, -getpgrp()) == 0 || getpgrp() == 0);
    CHECK(fcntl(ends[0], F_GETOWN_EX, &owner) == 0 && owner.type == OWNER_PGRP && owner.id == getpgrp());
    owner = (struct owner){OWNER_TID, (pid_t)syscall(SYS_gettid)};
    CHECK(fcntl(ends[0], F_SETOWN_EX, &owner) == 0 && fcntl(ends[0], F_GETOWN) == owner.id);
    FAILS(fcntl(ends[0], F_SETOWN, 0x3FFFFFF), ESRCH);
    FAILS(fcntl(ends[0], F_SETOWN, -0x3FFFFFF), ESRCH);
    owner.type = 3;
    FAILS(fcntl(ends[0], F_SETOWN_EX, &owner), EINVAL);
    FAILS(fcntl(ends[0], F_SETOWN_EX, (void *)8), EFAULT);
    FAILS(fcntl(ends[0], F_SETSIG, 65), EINVAL);
    CHECK(fcntl(ends[0], F_SETSIG, SIGRTMIN) == 0 && fcntl(ends[0], F_GETSIG) == SIGRTMIN);
    close(ends[0]), close(ends[1]);
}

static void pipes(void)
{
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    count = 0;
    set_flags(ends[0], O_ASYNC, 0);
    CHECK(fcntl(ends[0], F_GETFL) & O_ASYNC);
    CHECK(write(ends[1], "x", 1) == 1 && count == 0); /* nobody owns it */
    CHECK(fcntl(ends[0], F_SETOWN, getpid()) == 0);
    CHECK(write(ends[1], "x", 1) == 1 && count == 1 && number == SIGIO);
    CHECK(fcntl(ends[0], F_SETSIG, SIGRTMIN + 1) == 0);
    CHECK(write(ends[1], "x", 1) == 1 && count == 2 && number == SIGRTMIN + 1 && code == POLL_IN && descriptor == ends[0]);
    CHECK(band == 0x41); /* POLLIN | POLLRDNORM */
    CHECK(read(ends[0], &byte, 1) == 1 && count == 2);
    CHECK(fcntl(ends[0], F_SETSIG, SIGIO) == 0 && write(ends[1], "x", 1) == 1 && count == 3);
    CHECK(number == SIGIO && code == POLL_IN && descriptor == ends[0]); /* with F_SETSIG it says more */
    set_flags(ends[0], 0, O_ASYNC);
    CHECK(!(fcntl(ends[0], F_GETFL) & O_ASYNC) && write(ends[1], "x", 1) == 1 && count == 3);
    int on = 1;
    CHECK(ioctl(ends[0], FIOASYNC, &on) == 0 && (fcntl(ends[0], F_GETFL) & O_ASYNC));
    CHECK(write(ends[1], "x", 1) == 1 && count == 4);
    CHECK(close(ends[1]) == 0 && count == 5); /* nothing comes any more */
    close(ends[0]);

    CHECK(pipe(ends) == 0 && fcntl(ends[1], F_SETOWN, getpid()) == 0 && fcntl(ends[1], F_SETSIG, SIGRTMIN) == 0);
    set_flags(ends[1], O_ASYNC, 0);
    count = 0;
    CHECK(write(ends[1], "xy", 2) == 2 && count == 0);
    CHECK(read(ends[0], &byte, 1) == 1 && count == 1 && code == POLL_OUT && descriptor == ends[1]);
    CHECK(close(ends[0]) == 0 && count == 2 && close(ends[1]) == 0);
}

static volatile int phase;
static volatile pid_t thread_id;

static void *be_owner(void *unused)
{
    thread_id = (pid_t)syscall(SYS_gettid);
    while (phase < 1) {
        usleep(1000);
    }
    return unused;
}

static void threads(void)
{
    int ends[2];
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, be_owner, NULL) == 0);
    while (!thread_id) {
        usleep(1000);
    }
    struct owner owner = {OWNER_TID, thread_id};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && fcntl(ends[0], F_SETOWN_EX, &owner) == 0);
    set_flags(ends[0], O_ASYNC, 0);
    count = 0;
    CHECK(write(ends[1], "x", 1) == 1);
    for (int wait = 0; wait < 2000 && !count; wait++) {
        usleep(1000);
    }
    CHECK(count == 1 && who == thread_id);
    phase = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    close(ends[0]), close(ends[1]);
}

static void sockets(void)
{
    int ends[2];
    char byte;
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        CHECK(socketpair(AF_UNIX, type, 0, ends) == 0 && fcntl(ends[0], F_SETOWN, getpid()) == 0);
        set_flags(ends[0], O_ASYNC | O_NONBLOCK, 0);
        count = 0;
        CHECK(write(ends[1], "x", 1) == 1 && count == 1 && number == SIGIO);
        CHECK(read(ends[0], &byte, 1) == 1 && count == 1);
        CHECK(write(ends[1], "x", 1) == 1 && count == 2);
        close(ends[0]), close(ends[1]);
    }
}

static void others(void)
{
    int fd = inotify_init1(0), file = open("/tmp/owners", O_CREAT | O_RDWR, 0600), on = 1;
    CHECK(inotify_add_watch(fd, "/tmp/owners", IN_MODIFY) > 0 && fcntl(fd, F_SETOWN, getpid()) == 0);
    set_flags(fd, O_ASYNC, 0);
    count = 0;
    CHECK(write(file, "x", 1) == 1 && count == 1);
    set_flags(file, O_ASYNC, 0); /* there is nothing to be told of */
    CHECK(!(fcntl(file, F_GETFL) & O_ASYNC));
    FAILS(ioctl(file, FIOASYNC, &on), ENOTTY);
    CHECK(unlink("/tmp/owners") == 0 && close(fd) == 0 && close(file) == 0);
}

#ifndef F_NOTIFY
#define F_NOTIFY 1026
#define DN_MODIFY 2
#define DN_CREATE 4
#define DN_DELETE 8
#define DN_RENAME 16
#define DN_ATTRIB 32
#define DN_MULTISHOT 0x80000000
#endif

/* What inotify replaced. */
static void directories(void)
{
    CHECK(mkdir("/tmp/owned", 0700) == 0);
    int folder = open("/tmp/owned", O_RDONLY | O_DIRECTORY), file = open("/tmp/owned/a", O_CREAT | O_RDWR, 0600);
    CHECK(folder >= 0 && file >= 0 && fcntl(folder, F_SETSIG, SIGRTMIN) == 0);
    FAILS(fcntl(file, F_NOTIFY, DN_MODIFY), ENOTDIR);
    CHECK(fcntl(folder, F_NOTIFY, DN_MODIFY) == 0);
    count = 0;
    CHECK(fchmod(file, 0644) == 0 && count == 0);
    CHECK(write(file, "x", 1) == 1 && count == 1 && number == SIGRTMIN && descriptor == folder);
    CHECK(write(file, "x", 1) == 1 && count == 1); /* told once */
    CHECK(fcntl(folder, F_NOTIFY, DN_CREATE | DN_DELETE | DN_MULTISHOT) == 0 && fcntl(folder, F_NOTIFY, DN_ATTRIB) == 0);
    count = 0;
    CHECK(close(creat("/tmp/owned/b", 0600)) == 0 && count == 1);
    CHECK(fchmod(file, 0600) == 0 && count == 2 && write(file, "x", 1) == 1 && count == 2);
    CHECK(unlink("/tmp/owned/b") == 0 && count == 3);
    CHECK(fcntl(folder, F_NOTIFY, 0) == 0 && fcntl(folder, F_NOTIFY, DN_RENAME | DN_MULTISHOT) == 0);
    CHECK(rename("/tmp/owned/a", "/tmp/owned/d") == 0 && count == 4 && rename("/tmp/owned/d", "/tmp/owned-a") == 0 && count == 4);
    CHECK(rename("/tmp/owned-a", "/tmp/owned/a") == 0 && count == 4); /* in one directory alone */
    CHECK(fcntl(folder, F_NOTIFY, 0) == 0 && fcntl(folder, F_NOTIFY, DN_ATTRIB) == 0 && chmod("/tmp/owned", 0755) == 0 && count == 5);
    count = 3;
    CHECK(fcntl(folder, F_NOTIFY, 0) == 0 && unlink("/tmp/owned/a") == 0 && count == 3);
    CHECK(fcntl(folder, F_NOTIFY, DN_CREATE | DN_MULTISHOT) == 0 && close(folder) == 0);
    CHECK(close(creat("/tmp/owned/c", 0600)) == 0 && count == 3); /* closed */
    CHECK(unlink("/tmp/owned/c") == 0 && rmdir("/tmp/owned") == 0 && close(file) == 0);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(sigaction(SIGIO, &action, NULL) == 0 && sigaction(SIGRTMIN, &action, NULL) == 0 && sigaction(SIGRTMIN + 1, &action, NULL) == 0);
    owners();
    pipes();
    threads();
    sockets();
    others();
    directories();
    return 0;
}
