/* Leases: F_SETLEASE of fcntl(2). */
#define _GNU_SOURCE
#include "check.h"
#include "docker_rights.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#ifndef F_SETLEASE
#define F_SETLEASE 1024
#define F_GETLEASE 1025
#endif
#ifndef F_SETSIG
#define F_SETSIG 10
#endif
#define NAME "/tmp/leases"

static volatile int told, told_of, is_open;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    told++;
    told_of = info->si_fd;
}

static int opened(int flags)
{
    int fd = open(NAME, flags);
    CHECK(fd >= 0);
    return fd;
}

static void arguments(void)
{
    int reads = opened(O_RDONLY), writes = opened(O_RDWR);
    FAILS(fcntl(reads, F_SETLEASE, 3), EINVAL);
    FAILS(fcntl(reads, F_SETLEASE, F_UNLCK), EAGAIN);
    CHECK(fcntl(reads, F_GETLEASE) == F_UNLCK);
    FAILS(fcntl(reads, F_SETLEASE, F_RDLCK), EAGAIN); /* somebody writes */
    FAILS(fcntl(writes, F_SETLEASE, F_RDLCK), EAGAIN);
    FAILS(fcntl(writes, F_SETLEASE, F_WRLCK), EAGAIN); /* somebody reads */
    CHECK(close(reads) == 0 && fcntl(writes, F_SETLEASE, F_WRLCK) == 0 && fcntl(writes, F_GETLEASE) == F_WRLCK);
    FAILS(fcntl(writes, F_SETLEASE, F_RDLCK), EAGAIN);
    CHECK(fcntl(writes, F_SETLEASE, F_UNLCK) == 0 && fcntl(writes, F_GETLEASE) == F_UNLCK && close(writes) == 0);
    int null = open("/dev/null", O_RDONLY), folder = open("/tmp", O_RDONLY);
    CHECK(fcntl(null, F_SETLEASE, F_RDLCK) == -1 && fcntl(folder, F_SETLEASE, F_RDLCK) == -1);
    close(null), close(folder);
    reads = opened(O_RDONLY);
    int again = opened(O_RDONLY);
    CHECK(fcntl(reads, F_SETLEASE, F_RDLCK) == 0 && fcntl(again, F_SETLEASE, F_RDLCK) == 0);
    FAILS(fcntl(again, F_SETLEASE, F_WRLCK), EAGAIN);
    CHECK(close(again) == 0 && fcntl(reads, F_SETLEASE, F_WRLCK) == 0 && fcntl(reads, F_GETLEASE) == F_WRLCK && close(reads) == 0);
    CHECK(chown(NAME, 65534, -1) == 0);
    reads = opened(O_RDONLY);
    FAILS(fcntl(reads, F_SETLEASE, F_RDLCK), EACCES);
    CHECK(close(reads) == 0 && chown(NAME, 0, -1) == 0);
}

static void breaks(void)
{
    int lease = opened(O_RDONLY);
    CHECK(fcntl(lease, F_SETSIG, SIGRTMIN) == 0 && fcntl(lease, F_SETLEASE, F_RDLCK) == 0);
    told = 0;
    int other = opened(O_RDONLY); /* readers go together */
    CHECK(told == 0 && close(other) == 0);
    FAILS(open(NAME, O_RDWR | O_NONBLOCK), EAGAIN);
    CHECK(told == 1 && told_of == lease && fcntl(lease, F_GETLEASE) == F_UNLCK);
    FAILS(open(NAME, O_WRONLY | O_NONBLOCK), EAGAIN);
    CHECK(told == 1); /* he knows */
    CHECK(fcntl(lease, F_SETLEASE, F_UNLCK) == 0 && (other = opened(O_RDWR | O_NONBLOCK)) >= 0 && close(other) == 0);
    CHECK(fcntl(lease, F_SETLEASE, F_WRLCK) == 0);
    told = 0;
    FAILS(open(NAME, O_RDONLY | O_NONBLOCK), EAGAIN);
    CHECK(told == 1 && fcntl(lease, F_GETLEASE) == F_RDLCK);
    CHECK((other = open(NAME, O_PATH)) >= 0 && close(other) == 0 && told == 1);
    CHECK(close(lease) == 0 && (other = opened(O_RDONLY)) >= 0 && close(other) == 0);
}

static void *open_it(void *flags)
{
    int fd = open(NAME, *(int *)flags);
    CHECK(fd >= 0);
    is_open = 1;
    close(fd);
    return NULL;
}

static void *cut_it(void *unused)
{
    CHECK(truncate(NAME, 3) == 0);
    is_open = 1;
    return unused;
}

static void waits(void)
{
    int lease, flags = O_RDWR;
    pthread_t thread;
    for (int round = 0; round < 2; round++) {
        is_open = told = 0;
        lease = opened(O_RDONLY);
        CHECK(fcntl(lease, F_SETSIG, SIGRTMIN) == 0 && fcntl(lease, F_SETLEASE, F_RDLCK) == 0);
        CHECK(pthread_create(&thread, NULL, round == 0 ? open_it : cut_it, &flags) == 0);
        while (!told) {
            usleep(1000);
        }
        usleep(20000);
        CHECK(!is_open && fcntl(lease, F_SETLEASE, F_UNLCK) == 0 && pthread_join(thread, NULL) == 0 && is_open);
        close(lease);
    }
    flags = O_RDONLY;
    is_open = told = 0;
    lease = opened(O_RDONLY);
    CHECK(fcntl(lease, F_SETSIG, SIGRTMIN) == 0 && fcntl(lease, F_SETLEASE, F_WRLCK) == 0);
    CHECK(pthread_create(&thread, NULL, open_it, &flags) == 0);
    while (!told) {
        usleep(1000);
    }
    CHECK(fcntl(lease, F_SETLEASE, F_RDLCK) == 0 && pthread_join(thread, NULL) == 0 && is_open); /* that is enough */
    CHECK(fcntl(lease, F_GETLEASE) == F_RDLCK && close(lease) == 0);
}

int main(void)
{
    keep_docker_rights();
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0 && sigaction(SIGIO, &action, NULL) == 0);
    CHECK(close(open(NAME, O_CREAT | O_EXCL | O_RDWR, 0600)) == 0);
    arguments();
    breaks();
    waits();
    return unlink(NAME);
}
