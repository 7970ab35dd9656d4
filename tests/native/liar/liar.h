/*
 * The lying host: the PAL of the simulation with its OCALLs, its EENTER and its single steps replaced by ones that lie. It plays by the rules of
 * a CPU (it writes nothing into ELRANGE, and enters where EENTER would let it), and by no others.
 */
#ifndef LIAR_H
#define LIAR_H

/* struct hostile_registers and struct exit_registers, for entry.S; answers.c checks them. */
#define HOSTILE_RDI 0
#define HOSTILE_RSI 8
#define HOSTILE_RDX 16
#define HOSTILE_R8 24
#define HOSTILE_R9 32
#define HOSTILE_R10 40
#define HOSTILE_R11 48
#define HOSTILE_R12 56
#define HOSTILE_R13 64
#define HOSTILE_R14 72
#define HOSTILE_R15 80
#define HOSTILE_RBP 88
#define HOSTILE_RSP 96
#define HOSTILE_RFLAGS 104
#define HOSTILE_MXCSR 112
#define HOSTILE_FCW 116
#define EXIT_GENERAL 0
#define EXIT_VECTOR 128
#define EXIT_IN_USE 384

#define LEFT_BY_AEX 512 /* beside enum eexit and MACHINE_ABANDONED */

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host_thread.h"
#include "ocalls.h"
#include "process.h"

/* Everything at EENTER that is not the CPU's own word. */
struct hostile_registers {
    uint64_t rdi, rsi, rdx, r8, r9, r10, r11, r12, r13, r14, r15, rbp, rsp, rflags;
    uint32_t mxcsr;
    uint16_t fcw; /* x87 control word */
    uint16_t unused;
};

/* As the enclave left them: RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15; XMM0 to XMM15; XINUSE, or ~0 where the CPU does not say. */
struct exit_registers {
    uint64_t general[16];
    uint8_t vector[16][16];
    uint64_t in_use;
};
extern struct exit_registers left;

/* EENTER on a free TCS with these registers, and ERESUME, up to the next EEXIT (enum eexit) or an AEX that was asked for (LEFT_BY_AEX).
 * One thread at a time. */
uint64_t enter_with(struct host_thread *thread, const struct hostile_registers *registers);
uint64_t resume(struct host_thread *thread);
/* The same after taking the TCS, as EENTER does; EENTER_FAULTS: the CPU refuses. */
#define EENTER_FAULTS 1024U
uint64_t enter_hostile(struct host_thread *thread, const struct hostile_registers *registers);

#define INTERRUPTED 0U /* stepping.kind: an AEX without a valid EXITINFO */

/* Single steps inside the enclave, for one entry. */
struct stepping {
    bool on;
    struct host_thread *thread;
    uint64_t steps;          /* instructions that were reached */
    uint64_t free_steps;     /* so many may have the host's flags */
    uint64_t target;         /* an AEX before this one (1: the first) */
    uint32_t kind;           /* INTERRUPTED, or EXITINFO */
    uint64_t address;        /* EXINFO */
    volatile uint64_t *flip; /* changed at each step between two values, if not NULL */
    uint64_t values[2];
    /* What the AEX found. */
    uint64_t rip, rsp;
    uint32_t state;          /* thread.state */
    bool entered_twice;      /* the CPU let somebody enter while the thread was inside */
    uint64_t host_rsp;       /* what was given, to be recognised */
    bool is_hosts_rsp;       /* an instruction was reached with it while thread.state says inside */
    bool is_hosts_flags;     /* one of C was reached with AC or DF */
};
extern struct stepping stepping;

uint64_t random_number(void);
uint64_t random_below(uint64_t limit);
extern uint64_t random_state;

/* Addresses where a host would like the enclave to write. */
uint64_t target_address(const struct host_thread *thread);
struct hostile_registers random_registers(struct host_thread *thread, uint64_t ecall);

/* memory.c: a copy of all that is writable in the enclave, but for pages of the application. */
void memory_remember(void);
struct range {
    uint64_t start, end;
};
/* The first byte outside of the ranges that has changed; 0: none. */
uint64_t memory_changed(const struct range *allowed, size_t count);

/* What can be lied in, for each OCALL. */
enum field {
    FIELD_RESULT,
    FIELD_DATA,         /* what the OCALL gives */
    FIELD_BEYOND,       /* data behind that */
    FIELD_REQUEST,      /* the number and the arguments, which nobody should read again */
    FIELD_SIGNALS,
    FIELD_INDEX,
    FIELD_REPLAY,       /* an old answer, whole */
    FIELD_FLIP_RESULT,  /* changed at each instruction while it is read */
    FIELD_FLIP_DATA,
    FIELD_FLIP_REQUEST,
    FIELD_ENTRY,        /* other entries first */
    FIELD_TIME,         /* the clocks that OCALL_CLOCK leaves to be counted on from */
    FIELD_FLIP_TIME,
    FIELD_SWITCHLESS,   /* the state of calls that do not leave, changed at each instruction: what nobody has made is done, and what was made, twice */
    FIELD_INTERRUPT,    /* an AEX at some instruction of the way back */
    FIELD_COUNT
};

/* What must be reported. */
struct counts {
    uint64_t lies, entries, refused, steps, children, flips;
    uint64_t told[OCALL_COUNT][FIELD_COUNT];
    uint64_t made[OCALL_COUNT]; /* by the program, when nobody lies to it */
    bool took_memory; /* in this child the host has lied about memory: what is not there may fault */
};
extern struct counts *counts; /* shared with children */

/* lies.c: adds lies to an answer whose data are in place, and returns its result. */
struct request;
extern struct host_thread *victim; /* the thread whose OCALLs are answered with lies */
int64_t add_lies(struct request *call, uint32_t number, int64_t result);
void fill(uint8_t *data, size_t size);
/* Was there a lie for each field of each OCALL? */
bool all_was_lied_in(bool must_be);

/* answers.c: back into the enclave, up to its next OCALL or other end. */
uint64_t go_on(struct host_thread *thread);
int64_t honest_answer(struct request *call, uint32_t number);
enum next_step honest_serve(struct host_thread *thread);
/* real.c: OCALLs of the real LibOS. */
enum next_step real_serve(struct host_thread *thread);
/* True in the child; false in the parent when the child has ended well. `lies` is for messages. */
bool make_child(struct host_thread *thread, const char *lies);
_Noreturn void found(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_report(void);
bool wait_for(pid_t child, int *status);

extern bool is_real; /* the LibOS, and not the core of the tests */

/* attack.c: everything that can be tried on a thread that is outside. */
void attack_entries(struct host_thread *thread);
/* Where no exchange area may be. */
uint64_t hostile_exchange(const struct host_thread *thread);

/*
 * Settings, by the environment:
 *     LIAR_SEED      of what is drawn
 *     LIAR_LIES      to the core
 *     LIAR_ENTRIES   attacks of attack.c
 *     LIAR_REAL      the enclave is the LibOS, and not the core
 *     LIAR_CHILDREN  that are lied to, for each OCALL of the LibOS's program
 *     LIAR_STARTS    of the LibOS
 *     LIAR_BOOT_FLAGS  what an enclave is asked for, debug enclave or not
 *     LIAR_LOG       the PAL's log level
 */
uint64_t setting(const char *name, uint64_t otherwise);

#endif
#endif
