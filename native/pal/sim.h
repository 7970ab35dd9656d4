/*
 * Simulation of an SGX CPU for one enclave in this process. It protects nothing.
 */
#ifndef ENCLAVIZE_PAL_SIM_H
#define ENCLAVIZE_PAL_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "enclave.h"
#include "host_thread.h"
#include "options.h"

/* Once per process, after enclave_build(): handlers, the gate, the way to trap `syscall`. 0, or a negative errno told to fail(). */
int sim_start(const struct enclave *enclave, const struct options *options);
void sim_stop(void);

/* For each host thread, before its first entry and after its last. `reason` gets what failed. */
int sim_thread_begin(struct host_thread *thread);
void sim_thread_end(struct host_thread *thread);

/* EENTER, run to the EEXIT that ends it: enum eexit, or SIM_ABANDONED after sim_abandon_all(). */
#define SIM_ABANDONED 256U
uint64_t sim_enter(struct host_thread *thread, uint64_t ecall);

/* From now on, threads that are interrupted inside come back with SIM_ABANDONED. */
void sim_abandon_all(void);

/* A fake report of this enclave. */
void sim_report(const void *target, const uint8_t data[64], struct report *report);

/* The signal that host_thread_interrupt() sends. */
int sim_interrupt_signal(void);

/*
 * Between the files of the simulation.
 */
extern const struct enclave *sim_enclave;
extern uint8_t sim_traps_enclu;
extern uint64_t sim_td_offset;
extern uint32_t sim_xfrm;

uint64_t sim_eenter(struct host_thread *thread, uint64_t ecall, struct exchange *exchange);
void sim_begin_eresume(struct host_thread *thread);
uint64_t sim_leaf(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
/* Takes the TCS for an entry and fills in entry_*. False: EENTER faults. */
bool sim_prepare_entry(struct host_thread *thread);
bool sim_install_handlers(void);
void sim_remove_handlers(void);
extern bool sim_abandoning;

/* Ends the process at once: the enclave did something that a CPU would answer with a fault nobody can handle. */
_Noreturn void sim_die(const char *reason, uint64_t value);

long interruptible_syscall(const uint32_t events[2], long number, long a, long b, long c, long d, long e);

#endif
