/* Between the files of the boundary only. */
#ifndef ENCLAVIZE_BOUNDARY_PRIVATE_H
#define ENCLAVIZE_BOUNDARY_PRIVATE_H

#include "cpu/context.h"
#include "cpu/sgx.h"
#include "cpu/thread.h"

#define HIDDEN __attribute__((visibility("hidden")))

/* Its content comes from the signer; volatile, lest the compiler believe the zeros of the unsigned file. */
extern const volatile uint8_t g_global_data[];
#define GLOBAL_DATA ((const volatile struct global_data *)g_global_data)

/* entry.S */
void ocall(void);
_Noreturn void leave_for_good(void);
_Noreturn void leave_ended(void);
extern uint32_t enclave_end;
uint64_t enclu(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
_Noreturn void switch_stack(uint64_t top, void (*function)(uint64_t, uint64_t), uint64_t argument1, uint64_t argument2);
void vector_clear(void);
void vector_load(const void *image);
extern uint32_t vector_components;
extern const uint8_t initial_vector_state[];

/* boundary.c */
uint64_t vector_mask_of(uint64_t xfrm);
/* From now on every entry is refused and no thread goes back to the application. False: it had ended already. */
bool enclave_set_end(enum eexit why);

/* Called by entry.S. */
void enclave_first_entry(uint64_t ecall, struct exchange *exchange);
uint64_t exception_phase_1(uint64_t tcs, const struct thread *thread);
void vector_trim(uint8_t *image);
void resume_attention(struct context *context);

#endif
