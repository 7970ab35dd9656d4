/* Between the files of the machine that is SGX hardware. */
#ifndef ENCLAVIZE_PAL_SGX_MACHINE_H
#define ENCLAVIZE_PAL_SGX_MACHINE_H

#include "machine.h"
#include "sgx_leaving.h"

/* What CPUID says of SGX (SDM volume 3D, "Enumeration"). */
struct sgx_processor {
    bool has_sgx1, has_sgx2;
    uint32_t misc_select;      /* what MISCSELECT may have */
    uint32_t size_bits;        /* of the largest enclave, as a power of 2 */
    struct sgx_attributes allowed; /* what ATTRIBUTES may have */
};
struct sgx_processor sgx_processor(void);

/* __vdso_sgx_enter_enclave; NULL: the kernel has none. */
typedef void sgx_vdso_function(void);
sgx_vdso_function *sgx_find_vdso(const void *image);

/* Does the thread stand before an ENCLU of the vDSO? */
bool sgx_is_enclu(uint64_t rip);

/* struct machine, sgx_driver.c */
int sgx_probe_driver(void);
int sgx_create(const struct enclave *enclave);
int sgx_add_page(uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured);
int sgx_initialise(struct enclave *enclave, const struct sigstruct *sigstruct);
void sgx_release(void);
/* sgx_memory.c, on the device of sgx_driver.c */
extern int sgx_device;
void sgx_start_memory(void);
void sgx_stop_memory(void);
int sgx_add_memory(uint64_t address, uint64_t length);
int sgx_protect_memory(uint64_t address, uint64_t length, uint32_t rights);
int sgx_restrict_memory(uint64_t address, uint64_t length, uint32_t rights);
int sgx_trim_memory(uint64_t address, uint64_t length);
int sgx_remove_memory(uint64_t address, uint64_t length);
/* sgx_enter.c */
bool sgx_find_entry(void);
int sgx_start(const struct enclave *enclave, const struct options *options);
void sgx_stop(void);
int sgx_thread_begin(struct host_thread *thread);
void sgx_thread_end(struct host_thread *thread);
uint64_t sgx_enter(struct host_thread *thread, uint64_t ecall);
void sgx_abandon_all(void);

/* sgx_entry.S: calls the vDSO's function, which calls thread->sgx.run.user_handler at each exit; what the function returns, or SGX_ABANDONED. */
int sgx_call(uint64_t ecall, struct exchange *exchange, uint32_t leaf, sgx_vdso_function *function, struct sgx_enclave_run *run, uint64_t *stack);
extern const char sgx_abandoned[];
void sgx_exit_handler(void);

#endif
