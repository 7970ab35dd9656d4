/*
 * The CPU room: the ways into and out of the enclave, registers, exceptions, instructions that must be answered or
 * patched, and the SGX structures. Nothing here knows what an OCALL or a system call means.
 */
#ifndef ENCLAVIZE_CPU_H
#define ENCLAVIZE_CPU_H

#include "base/base.h"
#include "cpu/context.h"
#include "cpu/instruction.h"
#include "cpu/sgx.h"
#include "cpu/thread.h"

/* For --profile, if this is not NULL. Entries: at CSSA 1, to look at what an asynchronous exit was. */
struct exit_counts {
    uint64_t entries, exceptions;
};
extern struct exit_counts *exit_counts;

/* What the CPU room needs of the rooms above. Each room sets its part when it starts, before there is a second thread. */
struct cpu_upcalls {
    /* syscall: serve one system call; on return the context is resumed. Replacing the whole context (rt_sigreturn) is
     * fine. The first entry: entry.S calls it. */
    void (*system_call)(struct context *context);
    /* signal: phase 2 of an exception that is no system call, on the LibOS stack, for application and LibOS contexts
     * alike (a fault in a user copy). True: resume the context. False: nobody can handle it, and the process ends. */
    bool (*exception)(struct context *context, const struct exception_info *info);
    /* boundary: on the way back to the application, when thread->attention or thread->away is set or the host says that signals wait. */
    void (*attention)(struct context *context);
};
extern struct cpu_upcalls cpu_upcalls HIDDEN;

/* The first entry of a thread, in boundary/. Called by name: before the first thread has relocated the enclave, no
 * table can hold its address. Returns only to refuse. */
void enclave_first_entry(uint64_t ecall, struct exchange *exchange);

/* Contexts. */

/* Does the context belong to the application (and not to the LibOS)? Only such a context may be given a signal frame. */
bool context_is_application(const struct context *context);

/* Give up the current stack and go on with the context: first the attention upcall if there is something to attend to
 * and the context is the application's, then all registers, RFLAGS (without TF, IF, IOPL and the like), RSP, RIP. The
 * context may lie on the current stack. */
_Noreturn void context_resume(struct context *context);

/* The vector state that is live now, as XSAVE in standard form; room of VECTOR_STATE_SIZE, 64-byte aligned.
 * vector_restore takes an image from anywhere in the application's memory after copying: it sanitises the header and
 * MXCSR first. */
void vector_save(void *image) HIDDEN;
void vector_restore(void *image);
void vector_clear(void) HIDDEN; /* the initial state */
/* The components that may be enabled: XFRM, capped at x87, SSE, AVX, AVX-512. */
uint64_t vector_mask(void);
/* Once, when XFRM is known. */
void vector_start(uint64_t xfrm);

/* The hints of struct boot (enum cpu_feature): a false one can only fault. */
extern uint32_t cpu_features;

/* The measured data of the image (sgx_metadata.S). The content of g_global_data comes from the signer; volatile, lest
 * the compiler believe the zeros of the unsigned file. */
extern const volatile uint8_t g_global_data[];
#define GLOBAL_DATA ((const volatile struct global_data *)g_global_data)
/* 64 KiB of measured configuration: zero in the unsigned file. */
extern const uint8_t measured_configuration[CONFIGURATION_SIZE];

/* Ways out, for the boundary alone. */

/* Leave for the OCALL that stands in the exchange area; back when the host has answered. */
void ocall(void) HIDDEN;
/* The last OCALL of a thread. */
_Noreturn void leave_for_good(void) HIDDEN;
/* The enclave has ended. */
_Noreturn void leave_ended(void) HIDDEN;
/* From now on every entry is refused and no thread goes back to the application. False: it had ended already. */
bool enclave_set_end(enum eexit why);
/* ENCLU with its operands -> RAX; ENCLU_NO_PAGE: the page of EACCEPT or EACCEPTCOPY does not come. */
#define ENCLU_NO_PAGE ~0ULL
uint64_t enclu(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx) HIDDEN;
_Noreturn void switch_stack(uint64_t top, void (*function)(uint64_t, uint64_t), uint64_t argument1, uint64_t argument2)
    HIDDEN;

/* Instructions. */

/* What CPUID says inside. From struct boot, once, before the first program: an answer never changes. */
void cpuid_start(const uint32_t words[CPUID_WORD_COUNT]);
struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};
struct cpuid cpuid_of(uint32_t leaf, uint32_t subleaf);
/* CPUID.01H:EDX of every x86-64 CPU that has SGX; also AT_HWCAP, as Linux has it. */
#define CPUID_BASELINE_EDX 0x078BFBFFU

/*
 * Instructions that an enclave may not execute, and that programs need all the same: CPUID (#UD); RDTSC and RDTSCP,
 * which a CPU of SGX1 alone refuses (#UD) and any CPU where CR4.TSD is set (#GP): they count the nanoseconds of `now`
 * then. True: done, and RIP is behind it. False: it is none of these.
 */
bool emulate_instruction(struct context *context, uint32_t vector, uint64_t (*now)(void));

/*
 * Load-time patching of `syscall` sites: how and why it is safe is told in patch.c. A trapped `syscall` costs an
 * exception; a patched site jumps to the LibOS.
 */
struct patch_site { /* offsets in the text: the block is [start, end), the `syscall` is at `end` */
    uint32_t start;
    uint32_t end;
};
/* An upper bound of the sites; 0 when patching is off. */
size_t patch_candidates(const uint8_t *text, size_t size);
/* Fills `sites`, which has room for all candidates, in ascending order -> how many there are. size < 2 GiB. */
size_t patch_find(const uint8_t *text, size_t size, struct patch_site *sites);
size_t patch_trampoline_pages(size_t count);
/* Text and trampolines are writable and lie within 2 GiB of each other. What is left of the trampolines traps (int3). */
void patch_apply(uint8_t *text, const struct patch_site *sites, size_t count, uint8_t *trampolines);
void patch_disable(void);

/* `syscall` replacement at a patched site: jump here with RCX = the address to go on at; everything else as at the
 * `syscall` instruction. Does not touch the application's stack. */
void syscall_entry(void) HIDDEN;

#endif
