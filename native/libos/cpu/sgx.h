/*
 * What the LibOS needs of SGX beside sgx_arch.h.
 */
#ifndef ENCLAVIZE_LIBOS_SGX_H
#define ENCLAVIZE_LIBOS_SGX_H

#include "sgx_arch.h"

#define ENCLU_SIZE 3U /* bytes of the instruction */

/* global_data_t of the Intel SDK 2.26, patched into g_global_data by the loader: what the enclave needs of it. Addresses are relative to the TCS. */
struct global_data {
    uint64_t sdk_version, enclave_size;
    uint64_t unused[8];
    struct {
        uint64_t self, last_sp, stack_base, stack_limit, first_ssa_gpr;
    } thread;
};

#endif
