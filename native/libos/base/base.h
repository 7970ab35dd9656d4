/*
 * What every part of the LibOS needs: errno numbers, the allocator, locks and wait queues, user copies,
 * logging, time, randomness.
 */
#ifndef ENCLAVIZE_LIBOS_H
#define ENCLAVIZE_LIBOS_H

#include "abi.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE_UP(value) (((value) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1))
#define PAGE_DOWN(value) ((value) & ~(PAGE_SIZE - 1))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

/* Linux errno numbers (include/uapi/asm-generic/errno*.h). Functions of the LibOS return them negative. */
enum errno_number {
    EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, ENOEXEC = 8, EBADF = 9,
    ECHILD = 10, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, ENOTBLK = 15, EBUSY = 16, EEXIST = 17,
    EXDEV = 18, ENODEV = 19, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, ENFILE = 23, EMFILE = 24, ENOTTY = 25,
    ETXTBSY = 26, EFBIG = 27, ENOSPC = 28, ESPIPE = 29, EROFS = 30, EMLINK = 31, EPIPE = 32, EDOM = 33,
    ERANGE = 34, EDEADLK = 35, ENAMETOOLONG = 36, ENOLCK = 37, ENOSYS = 38, ENOTEMPTY = 39, ELOOP = 40,
    ENODATA = 61, ETIME = 62, EPROTO = 71, EBADMSG = 74, EOVERFLOW = 75, EILSEQ = 84, EUSERS = 87,
    ENOTSOCK = 88, EDESTADDRREQ = 89, EMSGSIZE = 90, EPROTOTYPE = 91, ENOPROTOOPT = 92, EPROTONOSUPPORT = 93,
    ESOCKTNOSUPPORT = 94, EOPNOTSUPP = 95, EAFNOSUPPORT = 97, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENOBUFS = 105, EISCONN = 106,
    ENOTCONN = 107, ETIMEDOUT = 110, ECONNREFUSED = 111, EALREADY = 114, EINPROGRESS = 115,
};

/* Strings (memcpy.c holds the four mem* functions that the compiler may call). */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *one, const void *other, size_t size);
void *memchr(const void *bytes, int byte, size_t size);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t size);
int strcmp(const char *one, const char *other);
int strncmp(const char *one, const char *other, size_t size);

/* One line on the host's standard error, or nothing when the level is above what this enclave may say.
 * Formats: %s %.*s %c %d %u %x %o %p, with l or z, a width, zero padding. The host reads it: never log data. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool log_enabled(enum log_level level);
/* The same formats into a buffer; always NUL-terminated; returns the length that the whole text would
 * have. */
size_t format_text(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_list(char *to, size_t size, const char *format, va_list arguments);
/* The whole process ends with status 127 and one error line, and the enclave with it, whether the host wants
 * it or not. For states in which going on would be unsafe. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory of the LibOS: dynamic enclave memory in [LIBOS_DYNAMIC_START, LIBOS_DYNAMIC_END). Committed pages
 * count against the measured memory limit together with the application's. Memory is zeroed. NULL means: out
 * of memory (ENOMEM). */
void *pages_allocate(size_t count);
void pages_release(void *first, size_t count);
/* 16-byte aligned, zeroed. release() takes the size given to allocate(); release(NULL, size) does nothing.
 * Sizes above 2 KiB are rounded up to pages. */
void *allocate(size_t size);
void release(void *object, size_t size);
/* A zeroed copy of another size; NULL leaves the old object alone. */
void *reallocate(void *object, size_t old_size, size_t new_size);

/* Short sections only: no OCALL, no user copy, no allocation of pages while it is held. */
struct spinlock {
    uint32_t held;
};
void spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);

struct task;
struct wait_queue;

/*
 * One place in one wait queue; usually on a task's stack. Without `notify`, a wake takes it out of the queue
 * and wakes the task: add it again before the next sleep (adding one that is still in does nothing). With
 * `notify`, it stays in the queue, every wake calls notify under the queue's lock, then wakes the task (if
 * not NULL); it does not count as the one of wake_one().
 */
struct waiter {
    struct waiter *next;
    struct waiter *previous;
    struct wait_queue *queue; /* NULL: in no queue */
    struct task *task;
    void (*notify)(struct waiter *waiter);
};

struct wait_queue {
    struct spinlock lock;
    struct waiter *first;
    struct waiter *last;
};

/* Sleeping lock; not recursive. User copies and OCALLs are allowed while it is held. All-zero is unlocked. */
struct mutex {
    uint32_t state; /* 0 free, 1 held, 2 held and perhaps waited for */
    struct wait_queue waiters;
};
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

#define NO_TIMEOUT UINT64_MAX

/*
 * Sleep on one queue, as on a condition variable: `lock` (may be NULL) is released while asleep and held
 * again on return. Spurious wakes happen: test the condition in a loop. timeout in ns or NO_TIMEOUT -> 0,
 * -ETIMEDOUT, or -EINTR when a signal is pending.
 */
int wait_queue_sleep(struct wait_queue *queue, struct mutex *lock, uint64_t timeout_ns);
void wake_one(struct wait_queue *queue);
void wake_all(struct wait_queue *queue);

/*
 * To wait on several queues, or for the host too: add a waiter to each, test the conditions, then sleep, then
 * remove the waiters.
 *     task_sleep(timeout)   sleeps by OCALL_WAIT
 *     task_sleep_begin() + host_poll(...) + task_sleep_end()   sleeps in any OCALL that OCALL_WAKE ends
 * task_sleep_begin() returns false when a wake or a signal has come since the last sleep: then do not sleep,
 * but still call task_sleep_end(). mutex_lock() between adding and sleeping is fine. task_sleep_end() returns
 * -EINTR when a signal is pending, else 0.
 */
void wait_queue_add(struct wait_queue *queue, struct waiter *waiter);
void wait_queue_remove(struct waiter *waiter);
int task_sleep(uint64_t timeout_ns);
bool task_sleep_begin(void);
int task_sleep_end(void);
void task_wake(struct task *task);

/* Addresses of the application as numbers: they are never dereferenced outside the copy functions. */
typedef uint64_t user_address;

/* True if [address, address + size) lies in the application's range. An empty range is fine anywhere. */
bool user_range_is_valid(user_address address, uint64_t size);
/* 0 or -EFAULT. A copy that fails half-way has changed the first part. */
int copy_from_user(void *to, user_address from, size_t size);
int copy_to_user(user_address to, const void *from, size_t size);
int clear_user(user_address to, size_t size);
/* The string's length without NUL; -EFAULT; -ENAMETOOLONG when there is no NUL in the first `size` bytes. */
int64_t strncpy_from_user(char *to, user_address from, size_t size);

#define IOV_MAX 1024U

struct iovec {
    user_address base;
    uint64_t length;
};
/* Copies and checks an array of at most IOV_MAX iovecs -> the sum of lengths (at most INT64_MAX), -EINVAL,
 * -EFAULT. */
int64_t iovec_import(struct iovec *to, user_address from, uint64_t count);

struct timespec {
    int64_t seconds;
    int64_t nanoseconds;
};
struct timeval {
    int64_t seconds;
    int64_t microseconds;
};

#define NS_PER_SECOND 1000000000ULL

enum clock_id {
    CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3,
    CLOCK_MONOTONIC_RAW = 4, CLOCK_REALTIME_COARSE = 5, CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7,
};
/* The host's clock; MONOTONIC and BOOTTIME never go back, whatever the host says. ns. */
uint64_t clock_now_ns(enum clock_id clock);
/* Reads a user timespec as a relative time. -EFAULT; -EINVAL when negative or not normalised; saturates below
 * NO_TIMEOUT. */
int timeout_from_user(uint64_t *timeout_ns, user_address timespec);

/* RDRAND with retries; ends the process when the CPU has none to give. */
void random_bytes(void *to, size_t size);

/* Signals, as far as other parts need them. */
enum signal_number {
    SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8,
    SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15,
    SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22,
    SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
    SIGPWR = 30, SIGSYS = 31, SIGNAL_COUNT = 64,
};
/* An unblocked signal waits for the calling task. */
bool signal_is_pending(void);
/* To the calling task, as the kernel does for SIGPIPE. */
void signal_send_current(int signal);
/* For ppoll, pselect6, epoll_pwait: the mask holds until this system call returns; a handler that runs at its
 * end returns to the old one. mask 0: nothing happens. -EINVAL (size is not 8), -EFAULT. */
int signal_set_temporary_mask(user_address mask, uint64_t size);

/* The one process. Identity comes from the measured configuration and never changes. */
#define GROUPS_MAX 64

struct process {
    uint32_t uid;
    uint32_t gid;
    uint32_t groups[GROUPS_MAX];
    uint32_t group_count;
    char name[16];             /* of the main thread, for /proc */
    char executable[4096];     /* canonical path, for /proc/self/exe */
    user_address arguments_start, arguments_end;     /* on the first stack, for /proc/self/cmdline */
    user_address environment_start, environment_end;
    uint64_t start_time_ns;    /* CLOCK_BOOTTIME */
};
extern struct process process;

#define PROCESS_ID 1

struct task *current_task(void);
/* The calling task's thread id; the main thread's is PROCESS_ID. */
int32_t task_id(const struct task *task);
/* Thread ids that exist, for /proc/self/task: fills at most `count`, returns how many there are. */
size_t task_ids(int32_t *ids, size_t count);

#endif
