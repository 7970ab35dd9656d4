#define _GNU_SOURCE
#include "host_thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "machine.h"
#include "raw_syscall.h"

static uint8_t *blocks; /* aligned to BLOCK_SIZE */
static uint32_t block_count;
static uint32_t used_count;

int host_threads_allocate(const uint64_t *tcs_addresses, uint32_t count)
{
    /* One block more than needed, for the alignment. Untouched memory costs nothing. */
    size_t size = (size_t)(count + 1) * BLOCK_SIZE;
    uint8_t *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) {
        return fail(-ENOMEM, "there is no address space for %u threads", count);
    }
    size_t before = -(size_t)got % BLOCK_SIZE;
    if (before > 0) {
        munmap(got, before);
    }
    munmap(got + before + (size_t)count * BLOCK_SIZE, BLOCK_SIZE - before);
    blocks = got + before;
    block_count = count;
    for (uint32_t index = 0; index < count; index++) {
        struct host_thread *thread = host_thread_at(index);
        thread->tcs = (struct tcs *)tcs_addresses[index];
        thread->index = index;
        thread->exchange = (struct exchange *)((uint8_t *)thread + BLOCK_EXCHANGE);
    }
    return 0;
}

void host_threads_release(void)
{
    if (blocks) {
        munmap(blocks, (size_t)block_count * BLOCK_SIZE);
    }
    blocks = NULL;
    block_count = 0;
    used_count = 0;
}

struct host_thread *host_thread_at(uint64_t index)
{
    return index < block_count ? (struct host_thread *)(blocks + index * BLOCK_SIZE) : NULL;
}

struct host_thread *host_thread_of_stack(uint64_t stack_pointer)
{
    uint64_t offset = stack_pointer - (uint64_t)blocks;
    return offset < (uint64_t)block_count * BLOCK_SIZE ? host_thread_at(offset / BLOCK_SIZE) : NULL;
}

uint32_t host_threads_used(void)
{
    return __atomic_load_n(&used_count, __ATOMIC_RELAXED);
}

static void note_used(uint32_t count)
{
    uint32_t seen = host_threads_used();
    while (seen < count && !__atomic_compare_exchange_n(&used_count, &seen, count, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

struct host_thread *host_thread_claim(void)
{
    for (uint32_t index = 0; index < block_count; index++) {
        struct host_thread *thread = host_thread_at(index);
        uint32_t expected = 0;
        if (__atomic_compare_exchange_n(&thread->in_use, &expected, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            note_used(index + 1);
            return thread;
        }
    }
    return NULL;
}

struct host_thread *host_thread_for_signals(void)
{
    for (uint32_t index = 0; index < block_count; index++) {
        struct host_thread *thread = host_thread_at(index);
        if (thread->takes_signals) {
            return thread;
        }
    }
    return NULL;
}

static int64_t ns_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* What the calling host thread has used since it was made. */
static int own_time(struct thread_time *time)
{
    struct timespec total;
    struct rusage usage;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &total) != 0 || getrusage(RUSAGE_THREAD, &usage) != 0) {
        return -EINVAL;
    }
    *time = (struct thread_time){ns_of(&total), (int64_t)usage.ru_stime.tv_sec * 1000000000 + (int64_t)usage.ru_stime.tv_usec * 1000};
    return 0;
}

int host_thread_time(const struct host_thread *thread, struct thread_time *time)
{
    int error = own_time(time);
    time->total -= thread->before.total;
    time->system -= thread->before.system;
    return error;
}

#define THREAD_CPU_CLOCK(tid) ((clockid_t)(~(unsigned)(tid) << 3 | 6)) /* CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK of Linux */

int64_t host_thread_time_of(const struct host_thread *thread)
{
    struct timespec now;
    pid_t tid = __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE);
    int64_t before = __atomic_load_n(&thread->before.total, __ATOMIC_RELAXED);
    if (tid == 0 || clock_gettime(THREAD_CPU_CLOCK(tid), &now) != 0) {
        return -ESRCH;
    }
    return ns_of(&now) > before ? ns_of(&now) - before : 0;
}

void host_thread_free(struct host_thread *thread)
{
    __atomic_store_n(&thread->tid, 0, __ATOMIC_RELEASE);
    thread->before = (struct thread_time){0};
    thread->events = 0;
    thread->polling = 0;
    madvise(thread->exchange, sizeof(*thread->exchange) / PAGE_SIZE * PAGE_SIZE, MADV_DONTNEED);
    __atomic_store_n(&thread->in_use, 0, __ATOMIC_RELEASE);
}

#define PARKED_MAX 8U
static uint32_t parked;

static bool take_place(void)
{
    if (__atomic_add_fetch(&parked, 1, __ATOMIC_ACQ_REL) <= PARKED_MAX) {
        return true;
    }
    __atomic_fetch_sub(&parked, 1, __ATOMIC_ACQ_REL);
    return false;
}

bool host_thread_park(struct host_thread *thread, bool (*is_over)(void))
{
    if (!take_place()) {
        return false;
    }
    thread->events = 0;
    thread->polling = 0;
    __atomic_store_n(&thread->parking, PARKING_WAITS, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&thread->parking, __ATOMIC_SEQ_CST) == PARKING_WAITS && !is_over()) {
        syscall(SYS_futex, &thread->parking, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, PARKING_WAITS, NULL, NULL, 0);
    }
    bool is_called = __atomic_exchange_n(&thread->parking, PARKING_NONE, __ATOMIC_SEQ_CST) == PARKING_CALLED;
    __atomic_fetch_sub(&parked, 1, __ATOMIC_ACQ_REL);
    (void)own_time(&thread->before); /* no error: both were told when the thread was made */
    return is_called;
}

static bool end_parking_of_one(enum parking how)
{
    for (uint32_t index = 0; index < block_count; index++) {
        struct host_thread *thread = host_thread_at(index);
        uint32_t expected = PARKING_WAITS;
        if (__atomic_compare_exchange_n(&thread->parking, &expected, how, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            syscall(SYS_futex, &thread->parking, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
            return true;
        }
    }
    return false;
}

bool host_thread_call(void)
{
    return end_parking_of_one(PARKING_CALLED);
}

void host_thread_retire(void)
{
    end_parking_of_one(PARKING_RETIRED);
}

void host_threads_end_parking(void)
{
    for (uint32_t index = 0; index < block_count; index++) {
        syscall(SYS_futex, &host_thread_at(index)->parking, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    }
}

void host_thread_interrupt(struct host_thread *thread)
{
    pid_t tid = __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE);
    if (tid != 0) {
        syscall(SYS_tgkill, getpid(), tid, machine_interrupt_signal());
    }
}
