/* System V semaphores and message queues: semop(2), semctl(2), msgop(2), msgctl(2), proc(5). */
#define _GNU_SOURCE
#include "check.h"

#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KEY 0x5EA1F00D
#define NOWHERE ((void *)8)

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static long operate(int id, struct sembuf *operations, size_t count)
{
    return semop(id, operations, count);
}

static int change(int id, int number, int by, int flags)
{
    struct sembuf operation = {.sem_num = (unsigned short)number, .sem_op = (short)by, .sem_flg = (short)flags};
    return semop(id, &operation, 1);
}

static int value(int id, int number)
{
    return semctl(id, number, GETVAL);
}

static void keys(void)
{
    int id = semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0600), other;
    CHECK(id >= 0);
    FAILS(semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK(semget(KEY, 0, 0) == id && semget(KEY, 3, IPC_CREAT | 0600) == id);
    FAILS(semget(KEY, 4, 0), EINVAL);
    FAILS(semget(KEY + 1, 1, 0), ENOENT);
    FAILS(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    FAILS(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
    FAILS(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    CHECK((other = semget(IPC_PRIVATE, 1, 0600)) >= 0 && other != id);
    CHECK(semctl(other, 0, IPC_RMID) == 0);
    FAILS(semctl(other, 0, IPC_RMID), EINVAL);
    FAILS(value(other, 0), EINVAL);
    int again = semget(IPC_PRIVATE, 1, 0600);
    CHECK(again >= 0 && again != other && semctl(again, 0, IPC_RMID) == 0);
    struct semid_ds status;
    union semun argument = {.buf = &status};
    CHECK(semctl(id, 0, IPC_STAT, argument) == 0 && status.sem_nsems == 3 && status.sem_otime == 0);
    CHECK((status.sem_perm.mode & 0777) == 0600 && status.sem_perm.cuid == geteuid());
    CHECK(status.sem_ctime > 0 && time(NULL) - status.sem_ctime < 100);
    status.sem_perm.mode = 0640;
    CHECK(semctl(id, 0, IPC_SET, argument) == 0 && semctl(id, 0, IPC_STAT, argument) == 0);
    CHECK((status.sem_perm.mode & 0777) == 0640);
    FAILS(semctl(id, 0, IPC_STAT, (union semun){.buf = NOWHERE}), EFAULT);
    FAILS(semctl(id, 0, 99, argument), EINVAL);
    FAILS(semctl(-1, 0, IPC_STAT, argument), EINVAL);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static void values(void)
{
    int id = semget(IPC_PRIVATE, 4, 0600);
    unsigned short all[4] = {1, 2, 3, 4};
    CHECK(id >= 0 && semctl(id, 0, SETALL, (union semun){.array = all}) == 0);
    memset(all, 0, sizeof all);
    CHECK(semctl(id, 0, GETALL, (union semun){.array = all}) == 0 && all[0] == 1 && all[3] == 4);
    CHECK(semctl(id, 1, SETVAL, (union semun){.val = 32767}) == 0 && value(id, 1) == 32767);
    CHECK(semctl(id, 1, GETPID) == getpid());
    FAILS(change(id, 1, 1, 0), ERANGE);
    FAILS(semctl(id, 1, SETVAL, (union semun){.val = 32768}), ERANGE);
    FAILS(semctl(id, 1, SETVAL, (union semun){.val = -1}), ERANGE);
    FAILS(semctl(id, 4, SETVAL, (union semun){.val = 1}), EINVAL);
    FAILS(semctl(id, 4, GETVAL), EINVAL);
    all[2] = 40000;
    FAILS(semctl(id, 0, SETALL, (union semun){.array = all}), ERANGE);
    FAILS(semctl(id, 0, SETALL, (union semun){.array = NOWHERE}), EFAULT);
    CHECK(value(id, 0) == 1);
    struct sembuf operations[3] = {{0, 5, 0}, {1, -7, 0}, {2, -4, IPC_NOWAIT}};
    FAILS(operate(id, operations, 3), EAGAIN); /* all or none */
    CHECK(value(id, 0) == 1 && value(id, 1) == 32767 && value(id, 2) == 3);
    operations[2].sem_op = -3;
    CHECK(operate(id, operations, 3) == 0 && value(id, 0) == 6 && value(id, 1) == 32760 && value(id, 2) == 0);
    CHECK(change(id, 2, 0, 0) == 0);
    FAILS(change(id, 3, 0, IPC_NOWAIT), EAGAIN);
    FAILS(change(id, 4, 1, 0), EFBIG);
    FAILS(operate(id, operations, 0), EINVAL);
    FAILS(operate(id, operations, 501), E2BIG);
    FAILS(operate(id, NOWHERE, 1), EFAULT);
    FAILS(operate(-1, operations, 1), EINVAL);
    FAILS(change(id, 0, 1, SEM_UNDO) == 0 ? change(id, 0, 32767, SEM_UNDO) : 0, ERANGE);
    struct semid_ds status;
    CHECK(semctl(id, 0, IPC_STAT, (union semun){.buf = &status}) == 0 && status.sem_otime > 0);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static int shared, received;

static void *take(void *wait_for_zero)
{
    if (change(shared, 0, wait_for_zero ? 0 : -2, 0) != 0) {
        return (void *)(long)errno;
    }
    __atomic_add_fetch(&received, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void wait_until(int command, int count)
{
    while (semctl(shared, 0, command) != count) {
        usleep(500);
    }
}

static void waiting(void)
{
    pthread_t threads[3];
    void *error;
    CHECK((shared = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_create(&threads[at], NULL, take, NULL) == 0);
    }
    wait_until(GETNCNT, 3);
    CHECK(semctl(shared, 0, GETZCNT) == 0);
    CHECK(change(shared, 0, 3, 0) == 0);
    wait_until(GETNCNT, 2);
    CHECK(change(shared, 0, 1, 0) == 0);
    wait_until(GETNCNT, 1);
    CHECK(semctl(shared, 0, SETVAL, (union semun){.val = 3}) == 0);
    wait_until(GETNCNT, 0);
    for (int at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], &error) == 0 && !error);
    }
    CHECK(received == 3 && value(shared, 0) == 1);
    CHECK(pthread_create(&threads[0], NULL, take, &shared) == 0);
    wait_until(GETZCNT, 1);
    CHECK(change(shared, 0, -1, 0) == 0 && pthread_join(threads[0], &error) == 0 && !error);
    CHECK(pthread_create(&threads[0], NULL, take, NULL) == 0);
    wait_until(GETNCNT, 1);
    CHECK(semctl(shared, 0, IPC_RMID) == 0);
    CHECK(pthread_join(threads[0], &error) == 0 && (long)error == EIDRM);
    CHECK((shared = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    struct sembuf down = {0, -1, 0};
    struct timespec start, end, limit = {.tv_nsec = 30000000}, bad = {.tv_nsec = -1};
    clock_gettime(CLOCK_MONOTONIC, &start);
    FAILS(semtimedop(shared, &down, 1, &limit), EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec >= 30000000);
    FAILS(semtimedop(shared, &down, 1, &bad), EINVAL);
    FAILS(syscall(SYS_semtimedop, shared, &down, 1, NOWHERE), EFAULT);
    CHECK(semctl(shared, 0, IPC_RMID) == 0);
}

/* What a change makes possible is done with it, not when the thread that waits for it runs: it does not learn that the set is gone. */
static void done_by_others(void)
{
    pthread_t threads[2];
    void *error;
    for (int at = 0; at < 50; at++) {
        CHECK((shared = semget(IPC_PRIVATE, 1, 0600)) >= 0 && change(shared, 0, 1, 0) == 0);
        CHECK(pthread_create(&threads[0], NULL, take, &shared) == 0);
        wait_until(GETZCNT, 1);
        CHECK(change(shared, 0, -1, 0) == 0 && semctl(shared, 0, GETZCNT) == 0 && semctl(shared, 0, IPC_RMID) == 0);
        CHECK(pthread_join(threads[0], &error) == 0 && !error);
    }
    CHECK((shared = semget(IPC_PRIVATE, 1, 0600)) >= 0 && change(shared, 0, 1, 0) == 0);
    CHECK(pthread_create(&threads[0], NULL, take, NULL) == 0);
    wait_until(GETNCNT, 1);
    CHECK(pthread_create(&threads[1], NULL, take, &shared) == 0);
    wait_until(GETZCNT, 1);
    CHECK(change(shared, 0, 1, 0) == 0 && value(shared, 0) == 0); /* one takes two, and lets the other go on */
    CHECK(semctl(shared, 0, GETNCNT) == 0 && semctl(shared, 0, GETZCNT) == 0);
    CHECK(semctl(shared, 0, IPC_RMID) == 0);
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_join(threads[at], &error) == 0 && !error);
    }
}

struct message {
    long type;
    char text[64];
};

static int queue;

static long send(long type, const char *text, int flags)
{
    struct message message = {.type = type};
    strcpy(message.text, text);
    return msgsnd(queue, &message, strlen(text), flags);
}

static void expect(long type, int flags, const char *text)
{
    struct message message = {0};
    long size = msgrcv(queue, &message, sizeof message.text, type, flags | IPC_NOWAIT);
    CHECK(size == (long)strlen(text) && memcmp(message.text, text, (size_t)size) == 0);
}

static void messages(void)
{
    struct message message;
    struct msqid_ds status;
    CHECK((queue = msgget(KEY, IPC_CREAT | IPC_EXCL | 0600)) >= 0);
    CHECK(msgget(KEY, 0) == queue);
    FAILS(msgget(KEY, IPC_CREAT | IPC_EXCL), EEXIST);
    FAILS(msgget(KEY + 1, 0), ENOENT);
    CHECK(send(3, "three", 0) == 0 && send(1, "one", 0) == 0 && send(2, "two", 0) == 0 && send(3, "3", 0) == 0);
    CHECK(msgctl(queue, IPC_STAT, &status) == 0 && status.msg_qnum == 4 && status.msg_qbytes == 16384);
    CHECK(status.msg_lspid == getpid() && status.msg_lrpid == 0 && status.msg_stime > 0 && status.msg_rtime == 0);
    expect(2, 0, "two");
    expect(-2, 0, "one");
    FAILS(msgrcv(queue, &message, 64, 3, 020000 | IPC_NOWAIT), ENOMSG); /* MSG_EXCEPT */
    FAILS(msgrcv(queue, &message, 64, 9, IPC_NOWAIT), ENOMSG);
    FAILS(msgrcv(queue, &message, 64, -2, IPC_NOWAIT), ENOMSG);
    FAILS(msgrcv(queue, &message, 2, 0, IPC_NOWAIT), E2BIG);
    CHECK(msgrcv(queue, &message, 2, 0, IPC_NOWAIT | MSG_NOERROR) == 2 && memcmp(message.text, "th", 2) == 0);
    CHECK(message.type == 3);
    expect(0, 0, "3");
    CHECK(send(5, "", 0) == 0);
    expect(LONG_MIN, 0, "");
    FAILS(send(0, "x", 0), EINVAL);
    FAILS(send(-1, "x", 0), EINVAL);
    FAILS(msgsnd(queue, NOWHERE, 1, 0), EFAULT);
    message.type = 1;
    FAILS(msgsnd(queue, &message, 8193, 0), EINVAL);
    FAILS(msgsnd(-1, &message, 1, 0), EINVAL);
    FAILS(msgrcv(queue, &message, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
    CHECK(send(1, "lost", 0) == 0);
    FAILS(msgrcv(queue, NOWHERE, 64, 0, IPC_NOWAIT), EFAULT);
    CHECK(msgctl(queue, IPC_STAT, &status) == 0 && status.msg_qnum == 0);
    status.msg_qbytes = 100;
    CHECK(msgctl(queue, IPC_SET, &status) == 0);
    static char large[112];
    *(long *)large = 1;
    CHECK(msgsnd(queue, large, 100, 0) == 0);
    FAILS(msgsnd(queue, large, 1, IPC_NOWAIT), EAGAIN);
    CHECK(msgctl(queue, IPC_STAT, &status) == 0 && status.msg_cbytes == 100);
    FAILS(msgctl(queue, IPC_STAT, NOWHERE), EFAULT);
    FAILS(msgctl(queue, 99, &status), EINVAL);
}

static void *send_one(void *unused)
{
    (void)unused;
    return (void *)(send(7, "late", 0) == 0 ? 0L : (long)errno);
}

static void *receive_one(void *unused)
{
    struct message message;
    (void)unused;
    return (void *)(msgrcv(queue, &message, 64, 0, 0) == 4 ? 0L : (long)errno);
}

static void waiting_for_messages(void)
{
    pthread_t thread;
    void *error;
    static char large[112];
    CHECK(pthread_create(&thread, NULL, send_one, NULL) == 0);
    usleep(20000);
    CHECK(msgrcv(queue, large, 100, 1, 0) == 100);
    CHECK(pthread_join(thread, &error) == 0 && !error);
    expect(7, 0, "late");
    CHECK(pthread_create(&thread, NULL, receive_one, NULL) == 0);
    usleep(20000);
    CHECK(send(1, "four", 0) == 0 && pthread_join(thread, &error) == 0 && !error);
    CHECK(pthread_create(&thread, NULL, receive_one, NULL) == 0);
    usleep(20000);
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0);
    CHECK(pthread_join(thread, &error) == 0 && (long)error == EIDRM);
    FAILS(send(1, "x", 0), EINVAL);
    for (int at = 0; at < 20; at++) { /* what is sent to one who waits is received, even if the queue goes at once */
        CHECK((queue = msgget(IPC_PRIVATE, 0600)) >= 0 && pthread_create(&thread, NULL, receive_one, NULL) == 0);
        usleep(5000);
        struct msqid_ds status;
        CHECK(send(1, "four", 0) == 0 && msgctl(queue, IPC_STAT, &status) == 0);
        CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && pthread_join(thread, &error) == 0);
        CHECK(status.msg_qnum != 0 || !error);
    }
}

/* As others with fewer rights see them. */
static void rights(void)
{
    int closed = semget(IPC_PRIVATE, 1, 0), mine;
    CHECK(closed >= 0 && setgid(65534) == 0 && setuid(65534) == 0);
    FAILS(value(closed, 0), EACCES);
    FAILS(change(closed, 0, 1, 0), EACCES);
    FAILS(semctl(closed, 0, IPC_RMID), EPERM);
    CHECK((mine = semget(IPC_PRIVATE, 1, 0400)) >= 0 && value(mine, 0) == 0);
    FAILS(change(mine, 0, 1, 0), EACCES);
    CHECK(change(mine, 0, 0, 0) == 0);
    FAILS(semctl(mine, 0, SETVAL, (union semun){.val = 1}), EACCES);
    CHECK(semctl(mine, 0, IPC_RMID) == 0);
}

static void listed(void)
{
    static char text[65536];
    int id = semget(IPC_PRIVATE, 2, 0600), found = 0, key, seen;
    FILE *file = fopen("/proc/sysvipc/sem", "r");
    if (!file) {
        CHECK(semctl(id, 0, IPC_RMID) == 0);
        return; /* a chroot without /proc */
    }
    CHECK(fgets(text, sizeof text, file) && strstr(text, "semid"));
    while (fgets(text, sizeof text, file)) {
        found += sscanf(text, "%d %d", &key, &seen) == 2 && seen == id;
    }
    CHECK(found == 1 && fclose(file) == 0);
    struct seminfo limits;
    CHECK(semctl(0, 0, IPC_INFO, (union semun){.info = &limits}) >= 0 && limits.semvmx == 32767);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

/* Where an index is wanted, an id stands for its own: ids are an index and a sequence (ipc_obtain_object_idr() of Linux). */
static void ids_as_indices(void)
{
    struct semid_ds set;
    struct msqid_ds queue;
    for (int round = 0; round < 2; round++) {
        int semaphores = semget(IPC_PRIVATE, 1, 0600), messages = msgget(IPC_PRIVATE, 0600);
        CHECK(semctl(semaphores, 0, SEM_STAT, (union semun){.buf = &set}) == semaphores);
        CHECK(semctl(semaphores, 0, SEM_STAT_ANY, (union semun){.buf = &set}) == semaphores);
        CHECK(msgctl(messages, MSG_STAT, &queue) == messages && msgctl(messages, MSG_STAT_ANY, &queue) == messages);
        CHECK(semctl(semaphores, 0, IPC_RMID) == 0 && msgctl(messages, IPC_RMID, NULL) == 0);
    }
}

int main(void)
{
    keys();
    ids_as_indices();
    values();
    waiting();
    done_by_others();
    messages();
    waiting_for_messages();
    listed();
    if (getuid() == 0) {
        rights();
    }
    puts("sysv ipc ok");
}
