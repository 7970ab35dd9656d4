#define _GNU_SOURCE
#include "host_thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "machine.h"
#include "raw_syscall.h"

static uint8_t *blocks; /* aligned to BLOCK_SIZE */
static uint32_t block_count;

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

struct host_thread *host_thread_claim(void)
{
    for (uint32_t index = 0; index < block_count; index++) {
        struct host_thread *thread = host_thread_at(index);
        uint32_t expected = 0;
        if (__atomic_compare_exchange_n(&thread->in_use, &expected, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
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

void host_thread_free(struct host_thread *thread)
{
    __atomic_store_n(&thread->tid, 0, __ATOMIC_RELEASE);
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
