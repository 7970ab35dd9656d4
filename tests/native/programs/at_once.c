/*
 * Two calls at the same time: whichever comes first, nothing is lost between them.
 *
 *     at_once ROUNDS
 */
#define _GNU_SOURCE
#include "check.h"
#include "futexes.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PAGE 4096
#define WAITERS 3

static int rounds;

static long private_futex(uint32_t *word, int operation, uint32_t value)
{
    return futex(word, operation | FUTEX_PRIVATE_FLAG, value);
}

/* Who waits for a value that does not stand there has never waited: no wake is lost on it. */
static uint32_t never_zero = 1, is_over;

static void *wake_again_and_again(void *unused)
{
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        CHECK(private_futex(&never_zero, FUTEX_WAKE, 1) == 0);
    }
    return unused;
}

static void late_waiters(void)
{
    pthread_t waker;
    CHECK(pthread_create(&waker, NULL, wake_again_and_again, NULL) == 0);
    for (int round = 0; round < 100 * rounds; round++) {
        FAILS(private_futex(&never_zero, FUTEX_WAIT, 0), EAGAIN);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(waker, NULL) == 0);
}

/* A condition variable of a counter, whose notifications wake one each: who comes too late to sleep takes none from another. */
static uint32_t *notified, *waited; /* the same word, through two views of it */
static uint32_t round_number, arrived;
static pthread_mutex_t items_lock = PTHREAD_MUTEX_INITIALIZER;
static int items;

static void *take_one_each_round(void *unused)
{
    for (uint32_t round = 1; round <= (uint32_t)rounds; round++) {
        while (__atomic_load_n(&round_number, __ATOMIC_ACQUIRE) != round) {
            private_futex(&round_number, FUTEX_WAIT, round - 1);
        }
        pthread_mutex_lock(&items_lock);
        while (items == 0) {
            uint32_t seen = __atomic_load_n(waited, __ATOMIC_ACQUIRE);
            pthread_mutex_unlock(&items_lock);
            futex(waited, FUTEX_WAIT, seen);
            pthread_mutex_lock(&items_lock);
        }
        items--;
        pthread_mutex_unlock(&items_lock);
        if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == WAITERS) {
            private_futex(&arrived, FUTEX_WAKE, 1);
        }
    }
    return unused;
}

static void notifications(void)
{
    pthread_t threads[WAITERS];
    int file = memfd_create("word", 0);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0);
    notified = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    waited = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(notified != MAP_FAILED && waited != MAP_FAILED);
    for (int at = 0; at < WAITERS; at++) {
        CHECK(pthread_create(&threads[at], NULL, take_one_each_round, NULL) == 0);
    }
    for (int round = 0; round < rounds; round++) {
        arrived = 0;
        __atomic_fetch_add(&round_number, 1, __ATOMIC_ACQ_REL);
        private_futex(&round_number, FUTEX_WAKE, WAITERS);
        for (int at = 0; at < WAITERS; at++) {
            pthread_mutex_lock(&items_lock);
            items++;
            pthread_mutex_unlock(&items_lock);
            __atomic_fetch_add(notified, 1, __ATOMIC_ACQ_REL);
            futex(notified, FUTEX_WAKE, 1);
        }
        for (uint32_t seen; (seen = __atomic_load_n(&arrived, __ATOMIC_ACQUIRE)) != WAITERS;) {
            private_futex(&arrived, FUTEX_WAIT, seen);
        }
    }
    for (int at = 0; at < WAITERS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
}

/* A lock of priority inheritance that is asked for while its owner ends: it comes to who waits, or there is no owner. */
static uint32_t lock_word, owner_lives;

static int end_with_lock(void *unused)
{
    (void)unused;
    __atomic_store_n(&lock_word, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    return 0;
}

static void owners_that_end(void)
{
    static char stack[4 * PAGE] __attribute__((aligned(16)));
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
    for (int round = 0; round < rounds; round++) {
        owner_lives = 1;
        CHECK(clone(end_with_lock, stack + sizeof stack, flags, NULL, NULL, NULL, &owner_lives) > 0);
        while (__atomic_load_n(&owner_lives, __ATOMIC_ACQUIRE)) {
            sched_yield();
        }
        FAILS(private_futex(&lock_word, FUTEX_LOCK_PI, 0), ESRCH);
    }
}

/* What the sender was told that it had sent comes before the end; nothing comes behind it. */
static pthread_barrier_t together;
static int ends[2];
static size_t sent;

static void *send_until_shut(void *unused)
{
    char some[8] = "some";
    pthread_barrier_wait(&together);
    for (ssize_t result; (result = send(ends[0], some, sizeof some, MSG_NOSIGNAL)) >= 0;) {
        sent += (size_t)result;
    }
    CHECK(errno == EPIPE);
    return unused;
}

static void shut_beside_sender(int type)
{
    for (int round = 0; round < rounds; round++) {
        char some[4096];
        size_t received = 0;
        pthread_t sender;
        sent = 0;
        CHECK(socketpair(AF_UNIX, type, 0, ends) == 0);
        CHECK(pthread_create(&sender, NULL, send_until_shut, NULL) == 0);
        pthread_barrier_wait(&together);
        for (volatile int spin = 0; spin < round % 64 * 64; spin++) { }
        CHECK(shutdown(ends[0], SHUT_WR) == 0);
        for (ssize_t result; (result = recv(ends[1], some, sizeof some, 0)) != 0;) {
            CHECK(result > 0);
            received += (size_t)result;
        }
        CHECK(pthread_join(sender, NULL) == 0);
        CHECK(recv(ends[1], some, sizeof some, MSG_DONTWAIT) == 0);
        CHECK(received == sent);
        close(ends[0]);
        close(ends[1]);
    }
}

/* A file is taken when it is sent, not when there is room for it: what its descriptor means later makes no difference. */
static int sent_file, sender_id;

static void *send_file(void *unused)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec vector = {.iov_base = "f", .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    memcpy(CMSG_DATA(&control.header), &sent_file, sizeof(int));
    __atomic_store_n(&sender_id, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    CHECK(sendmsg(ends[0], &message, 0) == 1);
    return unused;
}

static void await_sleep(const int *id)
{
    char path[64], state = 0;
    while (__atomic_load_n(id, __ATOMIC_ACQUIRE) == 0) { }
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", *id);
    while (state != 'S') {
        FILE *file = fopen(path, "r");
        CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
}

static void files_that_wait(int type)
{
    char some[4096] = {0};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = some, .iov_len = sizeof some};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    int pipe_ends[2], got = -1;
    pthread_t sender;
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0 && pipe(pipe_ends) == 0);
    while (send(ends[0], some, sizeof some, MSG_DONTWAIT) > 0) { }
    while (send(ends[0], some, 1, MSG_DONTWAIT) > 0) { }
    CHECK(errno == EAGAIN);
    sent_file = pipe_ends[1];
    sender_id = 0;
    CHECK(pthread_create(&sender, NULL, send_file, NULL) == 0);
    await_sleep(&sender_id);
    CHECK(close(pipe_ends[1]) == 0);
    do {
        message.msg_controllen = sizeof control.bytes;
        CHECK(recvmsg(ends[1], &message, 0) > 0);
    } while (message.msg_controllen == 0);
    memcpy(&got, CMSG_DATA(&control.header), sizeof got);
    CHECK(pthread_join(sender, NULL) == 0);
    CHECK(write(got, "w", 1) == 1 && read(pipe_ends[0], some, 1) == 1 && some[0] == 'w');
    CHECK(close(got) == 0 && read(pipe_ends[0], some, 1) == 0);
    CHECK(close(pipe_ends[0]) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* A signal to the process, of which a thread was told that blocks it now, is for another thread. */
static uint32_t signals_sent, signals_taken;
static int taker_id;

static void note_signal(int number)
{
    (void)number;
    __atomic_fetch_add(&signals_taken, 1, __ATOMIC_ACQ_REL);
}

static void await_signals(int number)
{
    (void)number;
    while (__atomic_load_n(&signals_taken, __ATOMIC_ACQUIRE) != __atomic_load_n(&signals_sent, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void mask_signal(int how, int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static void *take_signals(void *unused)
{
    mask_signal(SIG_BLOCK, SIGUSR1);
    mask_signal(SIG_UNBLOCK, SIGUSR2);
    __atomic_store_n(&taker_id, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        pause();
    }
    return unused;
}

static void *send_signals(void *unused)
{
    mask_signal(SIG_BLOCK, SIGUSR1);
    mask_signal(SIG_BLOCK, SIGUSR2);
    for (int round = 0; round < rounds; round++) {
        pthread_barrier_wait(&together);
        CHECK(kill(getpid(), SIGUSR2) == 0);
    }
    return unused;
}

static void signals_that_are_passed_on(void)
{
    struct sigaction note = {.sa_handler = note_signal}, await = {.sa_handler = await_signals};
    pthread_t taker, sender;
    sigaddset(&await.sa_mask, SIGUSR2);
    CHECK(sigaction(SIGUSR1, &await, NULL) == 0 && sigaction(SIGUSR2, &note, NULL) == 0);
    is_over = 0;
    signals_sent = 1;
    CHECK(pthread_create(&taker, NULL, take_signals, NULL) == 0);
    await_sleep(&taker_id);
    if (vfork() == 0) { /* both are there when the parent goes on: the handler of the first blocks the second */
        kill(getppid(), SIGUSR1);
        kill(getppid(), SIGUSR2);
        _exit(0);
    }
    CHECK(signals_taken == 1);
    CHECK(pthread_create(&sender, NULL, send_signals, NULL) == 0);
    for (int round = 0; round < rounds; round++) {
        mask_signal(SIG_UNBLOCK, SIGUSR2);
        await_sleep(&taker_id);
        signals_sent++;
        pthread_barrier_wait(&together);
        for (volatile int spin = 0; spin < round % 64 * 16; spin++) { }
        mask_signal(SIG_BLOCK, SIGUSR2);
        await_signals(0);
    }
    CHECK(pthread_join(sender, NULL) == 0);
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    CHECK(pthread_kill(taker, SIGUSR2) == 0 && pthread_join(taker, NULL) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    rounds = atoi(argv[1]);
    pthread_barrier_init(&together, NULL, 2);
    late_waiters();
    notifications();
    owners_that_end();
    shut_beside_sender(SOCK_STREAM);
    shut_beside_sender(SOCK_SEQPACKET);
    files_that_wait(SOCK_STREAM);
    files_that_wait(SOCK_DGRAM);
    files_that_wait(SOCK_SEQPACKET);
    signals_that_are_passed_on();
    puts("at once ok");
    return 0;
}
