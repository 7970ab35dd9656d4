/*
 * What the LibOS keeps for each thread of the enclave, at the start of its TD page: GS base points here from the first instruction on
 * (TCS.OGSBASE). The page is measured as zeros.
 */
#ifndef ENCLAVIZE_THREAD_H
#define ENCLAVIZE_THREAD_H

/* Offsets for assembly; exception.c checks them. */
#define THREAD_SELF 0
#define THREAD_TCS 8
#define THREAD_STATE 16
#define THREAD_ATTENTION 20
#define THREAD_LIBOS_STACK 24
#define THREAD_EXCHANGE 32
#define THREAD_EXIT_ADDRESS 40
#define THREAD_HOST_RSP 48
#define THREAD_HOST_RBP 56
#define THREAD_OCALL_RSP 64
#define THREAD_RESUME_CONTEXT 72
#define THREAD_SCRATCH_RSP 80
#define THREAD_SCRATCH_RIP 88
#define THREAD_TASK 96
#define THREAD_AWAY 116

/* struct exchange (abi.h) */
#define EXCHANGE_SIGNALS 48

/* thread.state: which ECALL is legal. */
#define THREAD_UNUSED 0  /* ECALL_START or ECALL_THREAD */
#define THREAD_INSIDE 1  /* exception entries only */
#define THREAD_OUTSIDE 2 /* in an OCALL: ECALL_RETURN */

#ifndef __ASSEMBLER__

#include "abi.h"

#include <stdbool.h>
#include <stdint.h>

struct task;

struct thread {
    struct thread *self;
    uint64_t tcs;
    uint32_t state;
    uint32_t attention;   /* set it (and host_interrupt() the thread) to make it attend to signals soon */
    uint64_t libos_stack; /* top; kept when the thread ends, for the next one on this TCS */
    struct exchange *exchange; /* outside; checked */
    uint64_t exit_address;     /* where EEXIT goes; untrusted, used for nothing else */
    uint64_t host_rsp;
    uint64_t host_rbp;
    uint64_t ocall_rsp;              /* the LibOS stack while outside */
    struct context *resume_context;  /* what context_resume() is about to load */
    uint64_t scratch_rsp;
    uint64_t scratch_rip;
    struct task *task;     /* process/'s; cleared when a thread enters for the first time */
    uint64_t index;        /* 0, 1, .. in order of first entry; trusted, fixed for a TCS */
    uint32_t host_index;   /* what OCALL_WAKE and OCALL_INTERRUPT want; from the host */
    uint32_t away;         /* its program's memory may not be there: see to that first (memory/turns.h); the owner writes it */
    struct {
        uint64_t page, exceptions;
        uint32_t times;
    } same_fault;          /* of the application, at a page that is there (memory/fault.c) */
    uint64_t ocalls;       /* made, and exceptions taken, for --profile */
    uint64_t exceptions;
    struct {
        uint64_t rip, address;
        uint32_t tries;
    } own_fault; /* of the LibOS in its own memory, tried again (exception.c) */
};

static inline struct thread *current_thread(void)
{
    struct thread *thread;
    __asm__("mov %%gs:0, %0" : "=r"(thread));
    return thread;
}

/* The task that the calling thread runs as; NULL before there is one. */
static inline struct task *current_task(void)
{
    return current_thread()->task;
}

#endif
#endif
