/*
 * The base room: what all others stand on. Strings, formats, the log, memory of the LibOS itself, spinlocks,
 * copies between the LibOS and the application, randomness, SHA-256, and the numbers of Linux's interface that
 * more than one room speaks of. It calls no other room but through base_upcalls.
 */
#ifndef ENCLAVIZE_BASE_H
#define ENCLAVIZE_BASE_H

#include "abi.h"
#include "base/layout.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE_UP(value) (((value) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1))
#define PAGE_DOWN(value) ((value) & ~(PAGE_SIZE - 1))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define HIDDEN __attribute__((visibility("hidden")))

/* Functions of the LibOS return them negative. */
enum errno_number {
#define ERRNO(name, number) name = number,
#include "base/errno.def"
#undef ERRNO
};
/* "ENOENT" of ENOENT; NULL: none of these. */
const char *errno_name(int64_t number);
/* In place of EINTR, which is what programs see of them (include/linux/errno.h): the call starts again behind any handler, or
 * behind none. */
#define ERESTARTNOINTR 513
#define ERESTART_RESTARTBLOCK 516

/* Linux signal numbers (signal(7)). */
enum signal_number {
    SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8,
    SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15,
    SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22,
    SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
    SIGPWR = 30, SIGSYS = 31, SIGNAL_COUNT = 64,
};
#define SIGNAL_BIT(signal) (1ULL << ((signal)-1))

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

/* A growing list of NUL-terminated strings, one after the other: argument vectors and environments. */
struct strings {
    char *bytes;
    size_t size;     /* used, NULs included */
    size_t capacity; /* allocated */
    uint32_t count;
};
/* False: out of memory. */
bool strings_add(struct strings *strings, const char *text, size_t length);
bool strings_add_all(struct strings *strings, const struct strings *others, uint32_t first);
void strings_free(struct strings *strings);
/* for (const char *s = strings_first(&list); s; s = strings_next(&list, s)) */
const char *strings_first(const struct strings *strings);
const char *strings_next(const struct strings *strings, const char *text);

/* One line on the host's standard error, or nothing when the level is above what this enclave may say.
 * Formats: %s %.*s %c %d %u %x %o %p, with l or z, a width, zero padding. The host reads it: never log data. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool log_enabled(enum log_level level);
/* A line of --trace and --profile. Nothing leaves an enclave that is not a debug enclave. */
void log_report(const char *text, size_t length);
/* What the host wants, cut to what this enclave may say: errors alone, unless it is a debug enclave. */
void log_set_level(uint32_t wanted, bool is_debug);
/* The same formats into a buffer; always NUL-terminated; returns the length that the whole text would
 * have. */
size_t format_text(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_list(char *to, size_t size, const char *format, va_list arguments);
/* The whole process ends with FATAL_STATUS and one error line, and the enclave with it, whether the host wants
 * it or not. For states in which going on would be unsafe. */
#define FATAL_STATUS 127
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory of the LibOS: dynamic enclave memory in [LIBOS_STACKS_END, LIBOS_DYNAMIC_END). Memory is zeroed. NULL
 * means: out of memory (ENOMEM). */
void *pages_allocate(size_t count);
void pages_release(void *first, size_t count);
/* 16-byte aligned, zeroed. release() takes the size given to allocate(); release(NULL, size) does nothing.
 * Sizes above 2 KiB are rounded up to pages. */
void *allocate(size_t size);
void release(void *object, size_t size);
/* A zeroed copy of another size; NULL leaves the old object alone. */
void *reallocate(void *object, size_t old_size, size_t new_size);

/* Committed pages of the LibOS and of the application count together against one limit, the measured one. */
void pages_set_limit(uint64_t pages);
bool pages_charge(uint64_t pages); /* false: the limit is reached */
void pages_uncharge(uint64_t pages);
/* Pages that are only kept, for what may come, do not count: whoever lacks memory gets it at once, and they are given back then, while both
 * together are above the limit. These turn used pages into spare ones and back (false: the limit is reached), and forget spare ones that have been removed. */
void pages_spare(uint64_t pages);
bool pages_use_spare(uint64_t pages);
void pages_drop_spare(uint64_t pages);
bool pages_are_short(void);
/* While pages are moved they are there twice: the limit is so much higher (or lower again) meanwhile. */
void pages_lend(int64_t pages);
void pages_count(uint64_t *committed, uint64_t *limit);
/* The most that there ever were. */
uint64_t pages_peak(void);

/* Short sections only: no OCALL, no user copy, no allocation of pages while it is held. */
struct spinlock {
    uint32_t held;
};
void spin_lock_contended(struct spinlock *lock);

static inline void spin_lock(struct spinlock *lock)
{
    if (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE)) {
        spin_lock_contended(lock);
    }
}

static inline void spin_unlock(struct spinlock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

/* Addresses of the application as numbers: they are never dereferenced outside the copy functions. */
typedef uint64_t user_address;

/* access_ok() of Linux: a program could have it, though not here. */
static inline bool user_address_is_possible(user_address address)
{
    return address < 1ULL << 47;
}
static inline bool user_range_is_possible(user_address address, uint64_t size)
{
    return user_address_is_possible(address) && size <= (1ULL << 47) - address;
}
/* True if [address, address + size) lies in the application's range. An empty range is fine anywhere. */
bool user_range_is_valid(user_address address, uint64_t size);
/* 0 or -EFAULT. A copy that fails half-way has changed the first part. */
int copy_from_user(void *to, user_address from, size_t size);
int copy_to_user(user_address to, const void *from, size_t size);
/* The same as far as the memory reaches -> how many bytes that were; none if there cannot be so many. */
size_t copy_some_from_user(void *to, user_address from, size_t size);
size_t copy_some_to_user(user_address to, const void *from, size_t size);
int clear_user(user_address to, size_t size);
/* The string's length without NUL; -EFAULT; -ENAMETOOLONG when there is no NUL in the first `size` bytes. */
int64_t strncpy_from_user(char *to, user_address from, size_t size);
/* Atomic. 0: *expected stood there and was replaced. -EAGAIN: another value, now in *expected. -EFAULT. */
int user_compare_exchange(user_address address, uint32_t *expected, uint32_t desired);
/* Could a byte be written there at this moment? */
bool user_is_writable(user_address address);
/* The instruction at *rip faulted: if it is one of the copies above, it goes on behind it, as a short copy. False:
 * it is none. */
bool user_copy_fix_up(uint64_t *rip);

/* What the handler of a system call gets: the registers RDI, RSI, RDX, R10, R8, R9. Its result, or a negative errno, is
 * returned. Handlers are called sys_NAME; each room's calls.def has a row for each (syscall/syscall.h). */
struct arguments {
    uint64_t at[6];
};

#define IOV_MAX 1024U

struct iovec {
    user_address base;
    uint64_t length;
};
/* Copies and checks an array of at most IOV_MAX iovecs -> the sum of lengths (at most INT64_MAX), -EINVAL,
 * -EFAULT. */
int64_t iovec_import(struct iovec *to, user_address from, uint64_t count);

/* The memory of the application that a call is about, one piece behind the other. */
struct pieces {
    const struct iovec *vector;
    size_t count;
    uint64_t total; /* bytes: no more than they have together */
};
/* What lies `begin` bytes behind their beginning, as far as the memory reaches -> how many bytes that were. */
size_t copy_some_from_pieces(void *to, const struct pieces *pieces, uint64_t begin, size_t size);
/* How many of the first `most` bytes go to memory that can be written, looked at page by page only if the first or the last one of a piece cannot. */
uint64_t writable_length(const struct pieces *pieces, uint64_t most);
size_t copy_some_to_pieces(const struct pieces *pieces, uint64_t begin, const void *from, size_t size);

struct timespec {
    int64_t seconds;
    int64_t nanoseconds;
};
struct timeval {
    int64_t seconds;
    int64_t microseconds;
};
#define NS_PER_SECOND 1000000000ULL
#define NO_TIMEOUT UINT64_MAX
/* Reads a user timespec as a relative time. -EFAULT; -EINVAL when negative or not normalised; saturates below
 * NO_TIMEOUT. */
int timeout_from_user(uint64_t *timeout_ns, user_address timespec);

/* RDRAND; ends the process when the CPU has none to give. */
void random_bytes(void *to, size_t size);

/* SHA-256 by Zig's std.crypto (crypto/sha256.zig). The application's vector registers are kept, so these may be
 * called anywhere in the LibOS. */
#define SHA256_SIZE 32
/* A running hash. The content is private to crypto/sha256.zig, which checks the size at compile time. */
struct sha256 {
    uint8_t state[128] __attribute__((aligned(16)));
};
void sha256_start(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
void sha256_finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);
/* One shot. */
void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE]);
/* One shot for each of `count` pieces of `size` bytes; the digests lie one after the other. Saves the registers once. */
void sha256_each(const void *data, size_t size, size_t count, uint8_t *digests);

/* What the base needs of the rooms above. Each room sets its part when it starts, before there is a second thread. */
struct base_upcalls {
    /* cpu: runs `work` while the application's vector registers are put away. */
    void (*with_vector_registers)(void (*work)(void *argument), void *argument);
    bool (*has_sha_extensions)(void);
    bool (*has_wide_registers)(void); /* AVX-512: F, BW, VL */
    /* boundary */
    void (*write_line)(enum log_level level, const char *text, size_t length);
    void (*end)(uint32_t status, uint32_t signal, const char *text, size_t length); /* does not return */
    void (*yield)(void);
    int (*add_pages)(uint64_t address, uint64_t length); /* 0, or a negative errno */
    int (*remove_pages)(uint64_t address, uint64_t length);
    /* memory: application memory is about to be touched: what the calling thread's program has there is there from here on. */
    void (*reach_application)(void);
    /* wait: pages come and go by OCALLs, so who waits for them sleeps. */
    void (*lock_pages)(void);
    void (*unlock_pages)(void);
};
extern struct base_upcalls base_upcalls;

#endif
