/* Locks of open file descriptions meet in one process: flock(2), and F_OFD_SETLK of fcntl_locking(2). Arguments are looked at. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH "/tmp/locks"

static int one, other, reader;

static void whole_files(void)
{
    CHECK(flock(one, LOCK_EX) == 0);
    CHECK(flock(other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(one, LOCK_SH) == 0 && flock(other, LOCK_SH | LOCK_NB) == 0);
    CHECK(flock(one, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(other, LOCK_UN) == 0);
    int twin = dup(one);
    CHECK(flock(twin, LOCK_EX | LOCK_NB) == 0);
    CHECK(close(one) == 0 && flock(other, LOCK_SH | LOCK_NB) == -1);
    CHECK(close(twin) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0 && flock(other, LOCK_UN) == 0);
    one = open(PATH, O_RDWR);
    CHECK(flock(one, 0) == -1 && errno == EINVAL);
    CHECK(flock(one, LOCK_SH | LOCK_EX) == -1 && errno == EINVAL);
    CHECK(flock(99, LOCK_SH) == -1 && errno == EBADF);
}

static int lock_of(int fd, int command, short type, off_t start, off_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &lock);
}

static void records(void)
{
    struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    CHECK(lock_of(one, F_OFD_SETLK, F_WRLCK, 10, 20) == 0);
    CHECK(lock_of(other, F_OFD_SETLK, F_RDLCK, 0, 11) == -1 && errno == EAGAIN);
    CHECK(lock_of(other, F_OFD_SETLK, F_RDLCK, 0, 10) == 0);
    CHECK(lock_of(other, F_SETLK, F_WRLCK, 29, 1) == -1 && errno == EAGAIN);
    CHECK(fcntl(reader, F_OFD_GETLK, &found) == 0 && found.l_type != F_UNLCK && found.l_pid == -1);
    CHECK(lock_of(one, F_OFD_SETLK, F_UNLCK, 15, 5) == 0); /* leaves 10..14 and 20..29 */
    CHECK(lock_of(other, F_OFD_SETLK, F_WRLCK, 15, 5) == 0);
    CHECK(lock_of(other, F_OFD_SETLK, F_WRLCK, 14, 1) == -1 && lock_of(other, F_OFD_SETLK, F_WRLCK, 20, 1) == -1);
    CHECK(lock_of(one, F_OFD_SETLK, F_UNLCK, 0, 0) == 0 && lock_of(other, F_OFD_SETLK, F_UNLCK, 0, 0) == 0);
    CHECK(lock_of(one, F_SETLK, F_WRLCK, 0, 0) == 0 && lock_of(other, F_SETLK, F_WRLCK, 0, 0) == 0);
    CHECK(lock_of(other, F_OFD_SETLK, F_WRLCK, 0, 1) == -1);
    found = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET};
    CHECK(fcntl(other, F_OFD_GETLK, &found) == 0 && found.l_type == F_WRLCK && found.l_pid == getpid());
    CHECK(close(open(PATH, O_RDONLY)) == 0); /* any close ends the process's locks */
    CHECK(lock_of(other, F_OFD_SETLK, F_WRLCK, 0, 1) == 0 && lock_of(other, F_OFD_SETLK, F_UNLCK, 0, 1) == 0);
}

/* The lines of /proc/locks about this file: what holds a lock and who waits for it, without number, process and device. */
static void expect_listed(const char *expected)
{
    char line[256], kind[16], type[8], range[64], all[512] = "";
    struct stat status;
    unsigned long inode;
    FILE *file = fopen("/proc/locks", "r");
    CHECK(file != NULL && stat(PATH, &status) == 0);
    while (fgets(line, sizeof line, file) != NULL) {
        int waits = strstr(line, ": -> ") != NULL, pid;
        const char *from = strchr(line, ':') + (waits ? 4 : 1);
        CHECK(sscanf(from, " %15s ADVISORY %7s %d %*x:%*x:%lu %63[^\n]", kind, type, &pid, &inode, range) == 5);
        if (inode == status.st_ino) {
            CHECK(pid == (strcmp(kind, "OFDLCK") == 0 ? -1 : getpid()));
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s %s %s;", waits ? "-> " : "", kind, type, range);
        }
    }
    CHECK(fclose(file) == 0);
    if (strcmp(all, expected) != 0) {
        fprintf(stderr, "%s, not %s\n", all, expected);
        exit(1);
    }
}

static void *wait_for_lock(void *argument)
{
    CHECK(flock(*(int *)argument, LOCK_SH) == 0 && flock(*(int *)argument, LOCK_UN) == 0);
    return argument;
}

static void listed(void)
{
    pthread_t thread;
    expect_listed("");
    CHECK(lock_of(one, F_OFD_SETLK, F_WRLCK, 10, 20) == 0);
    expect_listed("OFDLCK WRITE 10 29;");
    CHECK(lock_of(one, F_OFD_SETLK, F_UNLCK, 0, 0) == 0 && lock_of(one, F_SETLK, F_RDLCK, 5, 0) == 0);
    expect_listed("POSIX READ 5 EOF;");
    CHECK(lock_of(one, F_SETLK, F_UNLCK, 0, 0) == 0 && flock(one, LOCK_EX) == 0);
    expect_listed("FLOCK WRITE 0 EOF;");
    CHECK(pthread_create(&thread, NULL, wait_for_lock, &other) == 0);
    char line[256];
    for (int waits = 0; !waits;) {
        FILE *file = fopen("/proc/locks", "r");
        CHECK(file != NULL);
        while (fgets(line, sizeof line, file) != NULL) {
            waits |= strstr(line, "-> FLOCK") != NULL;
        }
        CHECK(fclose(file) == 0);
        sched_yield();
    }
    expect_listed("FLOCK WRITE 0 EOF;-> FLOCK READ 0 EOF;");
    CHECK(flock(one, LOCK_UN) == 0 && pthread_join(thread, NULL) == 0);
    expect_listed("");
}

static void arguments(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = 9};
    CHECK(fcntl(one, F_SETLK, &lock) == -1 && errno == EINVAL);
    lock = (struct flock){.l_type = 9, .l_whence = SEEK_SET};
    CHECK(fcntl(one, F_SETLK, &lock) == -1 && errno == EINVAL);
    lock = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
    CHECK(fcntl(one, F_GETLK, &lock) == -1 && errno == EINVAL);
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_pid = 7};
    CHECK(fcntl(one, F_OFD_SETLK, &lock) == -1 && errno == EINVAL);
    CHECK(lock_of(one, F_SETLK, F_WRLCK, -1, 1) == -1 && errno == EINVAL);
    CHECK(lock_of(reader, F_SETLK, F_WRLCK, 0, 1) == -1 && errno == EBADF);
    CHECK(fcntl(one, F_SETLK, (void *)1) == -1 && errno == EFAULT);
}

static void *take_it(void *argument)
{
    CHECK(flock(other, LOCK_EX) == 0);
    return argument;
}

static void waiters_wake(void)
{
    pthread_t thread;
    CHECK(flock(one, LOCK_EX) == 0);
    CHECK(pthread_create(&thread, NULL, take_it, NULL) == 0);
    usleep(10000);
    CHECK(flock(one, LOCK_UN) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(flock(one, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
}

static struct flock found_by(int fd)
{
    struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK(fcntl(fd, F_OFD_GETLK, &found) == 0);
    return found;
}

/* Locks side by side are one, and the first one in the file is told. */
static void regions(void)
{
    CHECK(lock_of(one, F_OFD_SETLK, F_WRLCK, 40, 5) == 0 && lock_of(one, F_OFD_SETLK, F_WRLCK, 13, 5) == 0);
    CHECK(lock_of(one, F_OFD_SETLK, F_WRLCK, 10, 3) == 0);
    struct flock found = found_by(other);
    CHECK(found.l_start == 10 && found.l_len == 8);
    CHECK(lock_of(one, F_OFD_SETLK, F_RDLCK, 12, 2) == 0);
    found = found_by(other);
    CHECK(found.l_start == 10 && found.l_len == 2 && found.l_type == F_WRLCK);
    CHECK(lock_of(one, F_OFD_SETLK, F_WRLCK, 12, 2) == 0 && lock_of(one, F_OFD_SETLK, F_WRLCK, 18, 22) == 0);
    found = found_by(other);
    CHECK(found.l_start == 10 && found.l_len == 35);
    CHECK(lock_of(one, F_OFD_SETLK, F_WRLCK, 45, 0) == 0);
    found = found_by(other);
    CHECK(found.l_start == 10 && found.l_len == 0 && lock_of(one, F_OFD_SETLK, F_UNLCK, 0, 0) == 0);
}

/* Two processes, each of which wants what the other has. */
static void deadlock(void)
{
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0 && lock_of(one, F_SETLK, F_WRLCK, 0, 1) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int failed = lock_of(one, F_SETLK, F_WRLCK, 1, 1) != 0 || write(ready[1], "x", 1) != 1;
        _exit(failed || lock_of(one, F_SETLKW, F_WRLCK, 0, 1) != 0);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    usleep(100000);
    FAILS(lock_of(one, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    CHECK(lock_of(one, F_SETLK, F_UNLCK, 0, 1) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(ready[0]), close(ready[1]);
}

int main(void)
{
    one = open(PATH, O_CREAT | O_RDWR, 0600);
    other = open(PATH, O_RDWR);
    reader = open(PATH, O_RDONLY);
    CHECK(one >= 0 && other >= 0 && reader >= 0);
    whole_files();
    records();
    listed();
    regions();
    deadlock();
    arguments();
    waiters_wake();
    CHECK(unlink(PATH) == 0);
    puts("locks ok");
}
