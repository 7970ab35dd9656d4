/*
 * Simulation of an SGX CPU for one enclave in this process. It protects nothing.
 */
#ifndef ENCLAVIZE_PAL_SIM_H
#define ENCLAVIZE_PAL_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "enclave.h"
#include "host_thread.h"
#include "machine.h"
#include "options.h"
#include "sim_epcm.h"

/* struct machine (machine.h). */
int sim_create(const struct enclave *enclave);
int sim_add_page(uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured);
int sim_initialise(struct enclave *enclave, const struct sigstruct *sigstruct);
void sim_release(void);
int sim_start(const struct enclave *enclave, const struct options *options);
void sim_stop(void);
int sim_thread_begin(struct host_thread *thread);
void sim_thread_end(struct host_thread *thread);
uint64_t sim_enter(struct host_thread *thread, uint64_t ecall);
void sim_abandon_all(void);
int sim_add_memory(uint64_t address, uint64_t length);
int sim_protect_memory(uint64_t address, uint64_t length, uint32_t rights);
int sim_restrict_memory(uint64_t address, uint64_t length, uint32_t rights);
int sim_trim_memory(uint64_t address, uint64_t length);
int sim_remove_memory(uint64_t address, uint64_t length);

/*
 * Between the files of the simulation.
 */
extern const struct enclave *sim_enclave;
extern bool sim_is_initialised;
extern uint8_t sim_traps_enclu;
extern bool sim_steps; /* one instruction after the other */
extern uint64_t sim_td_offset; /* OGSBASE minus TCS, the same for all */
extern uint32_t sim_xfrm;

uint64_t sim_eenter(struct host_thread *thread, uint64_t ecall, struct exchange *exchange);
/* Before a TCS is used: its own pages can be touched from then on. */
int sim_show_thread(const struct tcs *tcs);
void sim_begin_eresume(struct host_thread *thread);
/* An exception that a CPU makes of an instruction. */
struct refusal {
    const char *why; /* NULL: it is done */
    uint64_t address;
    uint32_t vector, error_code;
};
enum { VECTOR_DEBUG = 1, VECTOR_BREAKPOINT = 3, VECTOR_INVALID_OPCODE = 6, VECTOR_GENERAL_PROTECTION = 13, VECTOR_PAGE_FAULT = 14 };
/* The error code of #PF (SDM volume 3A, "Page-Fault Exceptions"); SGX: it is the EPCM that forbids. */
enum { PAGE_FAULT_PRESENT = 0x1, PAGE_FAULT_WRITE = 0x2, PAGE_FAULT_USER = 0x4, PAGE_FAULT_FETCH = 0x10, PAGE_FAULT_SGX = 0x8000 };

/* A leaf of ENCLU inside: what is in RAX afterwards. */
uint64_t sim_leaf(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx, struct refusal *refusal);
uint64_t sim_gate_leaf(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
/* EREPORT, and EGETKEY with its error code (sim_keys.c), on operands that have been checked. */
void sim_ereport(const struct target_info *target, const uint8_t data[64], struct report *report);
uint64_t sim_egetkey(const struct key_request *request, uint8_t key[16]);
/* Takes the TCS for an entry and fills in entry_*. NULL; or how EENTER faults, for die(). */
const char *sim_prepare_entry(struct host_thread *thread);
bool sim_install_handlers(void);
void sim_remove_handlers(void);
extern bool sim_abandoning;

#endif
