/*
 * One host thread that can be inside the enclave. Records lie in blocks of a fixed size and alignment, together with the thread's alternate
 * signal stack: a signal handler, which runs on the enclave's FS base and may use no thread-local storage, finds its record by masking RSP.
 */
#ifndef ENCLAVIZE_PAL_HOST_THREAD_H
#define ENCLAVIZE_PAL_HOST_THREAD_H

/* Offsets for assembly; sim.c checks them. */
#define HOST_THREAD_TCS 0
#define HOST_THREAD_RSP 8
#define HOST_THREAD_FS 16
#define HOST_THREAD_GS 24
#define HOST_THREAD_ENTRY_FS 32
#define HOST_THREAD_ENTRY_GS 40
#define HOST_THREAD_OENTRY 48
#define HOST_THREAD_CSSA 56
#define HOST_THREAD_SSA 64
#define HOST_THREAD_SSA_GPR 72
#define TCS_STATE 0
#define TCS_HIDDEN_THREAD 72

#ifndef __ASSEMBLER__

#include <asm/sgx.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi.h"
#include "sgx.h"

/* host_thread.events */
#define EVENT_INTERRUPT 1U
#define EVENT_WAKE 2U

/* A thread that has left the enclave for good may wait for the next one that is to be made, since making one costs more. */
enum parking { PARKING_NONE, PARKING_WAITS, PARKING_CALLED, PARKING_RETIRED };

/* Processor time in ns, and how much of it the host's kernel spent. */
struct thread_time {
    int64_t total, system;
};

struct host_thread {
    struct tcs *tcs;
    uint64_t host_rsp, host_fs, host_gs; /* while inside */
    uint64_t entry_fs, entry_gs, oentry, cssa; /* for the EENTER that is about to happen */
    uint64_t ssa;                        /* for the ERESUME that is about to happen */
    struct ssa_gpr *ssa_gpr;
    uint32_t events;      /* futex word; set by others and by the signal handler */
    uint32_t events_that_interrupt; /* directly after it: read by interruptible_syscall */
    uint32_t polling;     /* inside a system call that a wake must end by a signal */
    uint32_t index;
    uint32_t in_use;
    uint32_t parking;     /* futex word: enum parking; in_use while it is not PARKING_NONE */
    bool takes_signals;   /* host signals may be given to it */
    pid_t tid;
    struct thread_time before; /* what it had used when it was called for the thread that is inside now; written while it is not */
    struct exchange *exchange;
    struct sgx_thread {
        struct sgx_enclave_run run;
        uint64_t code;    /* of the last EEXIT that ended an entry */
        bool is_handling; /* entered at CSSA 1, to handle an exception or an interrupt */
    } sgx; /* on hardware */
};

#define BLOCK_SIZE 0x80000UL
#define BLOCK_EXCHANGE 0x1000UL
#define BLOCK_ALTERNATE_STACK 0x60000UL
#define ALTERNATE_STACK_SIZE (BLOCK_SIZE - BLOCK_ALTERNATE_STACK)
_Static_assert(BLOCK_EXCHANGE + sizeof(struct exchange) <= BLOCK_ALTERNATE_STACK, "thread block");

/* Room for one record per TCS. 0 or -ENOMEM. */
int host_threads_allocate(const uint64_t *tcs_addresses, uint32_t count);
void host_threads_release(void);

/* The record at an index; NULL if there is none. */
struct host_thread *host_thread_at(uint64_t index);
/* Records from this index on have never been used. */
uint32_t host_threads_used(void);
/* The record whose alternate stack holds this address; NULL if none does. For signal handlers. */
struct host_thread *host_thread_of_stack(uint64_t stack_pointer);
/* Marks a record as used; NULL when all are. */
struct host_thread *host_thread_claim(void);
/* The first thread that takes host signals (the main thread while it lives); NULL: none. */
struct host_thread *host_thread_for_signals(void);
void host_thread_free(struct host_thread *thread);
/* Waits until host_thread_call() or until `is_over`; true: it was called. Only a few wait. */
bool host_thread_park(struct host_thread *thread, bool (*is_over)(void));
/* Lets a thread that waits go on as a new one. False: none waits. */
bool host_thread_call(void);
/* One that waits gives its record back. */
void host_thread_retire(void);
/* Those that wait look whether it is over. */
void host_threads_end_parking(void);

/* What the calling host thread has used for the thread that is inside. 0, or -EINVAL: the kernel does not tell. */
int host_thread_time(const struct host_thread *thread, struct thread_time *time);
/* The same of any one, in all: ns, or -ESRCH. */
int64_t host_thread_time_of(const struct host_thread *thread);

/* Sends the directed internal signal, so that it leaves the enclave or a blocking system call. */
void host_thread_interrupt(struct host_thread *thread);

#endif
#endif
