/*
 * What an enclave runs on: SGX hardware, by the driver of Linux (sgx_*.c), or its simulation in this process (sim*.c). The rest of the PAL knows no
 * difference. docs/hardware.md tells what the one does by itself and the other does not.
 */
#ifndef ENCLAVIZE_PAL_MACHINE_H
#define ENCLAVIZE_PAL_MACHINE_H

#include "enclave.h"
#include "host_thread.h"
#include "options.h"

/* Beside enum eexit: the thread was taken out for good after abandon_all(). */
#define MACHINE_ABANDONED 256U

/* Where pages may come and go. */
#define DYNAMIC_START APPLICATION_START
#define DYNAMIC_END LIBOS_DYNAMIC_END

/* Functions that return int: 0, or a negative errno, which those up to start() have told to fail(). */
struct machine {
    /* Can enclaves run here at all, as is wanted? The first of all calls. */
    int (*find)(const struct options *options);
    /* What of XFRM its enclaves may have, if the system has enabled it. */
    uint64_t (*features)(void);
    /* Reserves ELRANGE; ECREATE. */
    int (*create)(const struct enclave *enclave);
    /* EADD, and EEXTEND if it is measured. `content`: a page; NULL: zeros. -EEXIST: the page is there already. */
    int (*add_page)(uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured);
    /* EINIT; afterwards the pages can be used with their rights. */
    int (*initialise)(struct enclave *enclave, const struct sigstruct *sigstruct);
    /* Undoes all of it, at any time. */
    void (*release)(void);

    /* Once per process, when the enclave is there: signal handlers and what else it takes to enter it. */
    int (*start)(const struct enclave *enclave, const struct options *options);
    void (*stop)(void);
    /* For each host thread, before its first entry and after its last. */
    int (*thread_begin)(struct host_thread *thread);
    void (*thread_end)(struct host_thread *thread);
    /* EENTER; exceptions and interrupts are given to the enclave; up to the EEXIT that ends it: enum eexit, or MACHINE_ABANDONED. */
    uint64_t (*enter)(struct host_thread *thread, uint64_t ecall);
    /* From now on, threads that are interrupted inside come back with MACHINE_ABANDONED. */
    void (*abandon_all)(void);

    /* Dynamic memory, page-aligned and within its range (ocall_memory.c): what the enclave cannot do itself of EAUG, page tables, EMODPR, EMODT to
     * PT_TRIM and EREMOVE. Rights are SECINFO's. */
    int (*add_memory)(uint64_t address, uint64_t length);
    int (*protect_memory)(uint64_t address, uint64_t length, uint32_t rights);  /* the page tables alone */
    int (*restrict_memory)(uint64_t address, uint64_t length, uint32_t rights); /* EMODPR, then the page tables */
    int (*trim_memory)(uint64_t address, uint64_t length);
    int (*remove_memory)(uint64_t address, uint64_t length);
};
extern const struct machine simulated_machine, sgx_machine;
extern const struct machine *machine; /* the one that was chosen */

/* The node of the driver that is in Linux since 5.11. */
#define SGX_DEVICE "/dev/sgx_enclave"

/* The signal that host_thread_interrupt() sends. */
int machine_interrupt_signal(void);

/* mmap's rights from SECINFO's. */
static inline int host_protection(uint32_t rights)
{
    return ((rights & SECINFO_R) ? 1 : 0) | ((rights & SECINFO_W) ? 2 : 0) | ((rights & SECINFO_X) ? 4 : 0);
}

/* A system call that does not begin when one of the events that interrupt has come, and that the interrupt signal ends (interruptible.S). -EINTR. */
long interruptible_syscall(const uint32_t events[2], long number, long a, long b, long c, long d, long e);
/* For the signal's handler: where a thread that was interrupted at this address goes on. */
uint64_t interruptible_continuation(uint64_t rip);

#endif
