#define _GNU_SOURCE
#include "host_thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "raw_syscall.h"
#include "sim.h"

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

void host_thread_interrupt(struct host_thread *thread)
{
    pid_t tid = __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE);
    if (tid != 0) {
        syscall(SYS_tgkill, getpid(), tid, sim_interrupt_signal());
    }
}
