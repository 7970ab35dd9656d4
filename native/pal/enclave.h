/*
 * The enclave: what becomes its SECS, what is measured, where its threads are.
 */
#ifndef ENCLAVIZE_PAL_ENCLAVE_H
#define ENCLAVIZE_PAL_ENCLAVE_H

#include "abi.h"
#include "enclave_file.h"
#include "sgx.h"

#define TCS_MAX 4096U

struct enclave {
    struct sgx_attributes attributes;
    uint32_t misc_select;
    uint8_t mrenclave[32];
    uint8_t mrsigner[32];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint64_t elrange_size;
    uint64_t ssa_frame_size;
    uint64_t image_start, image_end;
    uint64_t stub_address;
    uint32_t tcs_count;
    uint64_t tcs_addresses[TCS_MAX];
};

/* XCR0: what of XFRM the system has switched on. */
uint64_t enclave_enabled_features(void);

/* Builds the enclave on the machine from a parsed file whose SIGSTRUCT verifies: adds and measures all pages, compares, initialises. Of the file nothing
 * is needed afterwards; machine->release() undoes it. 0, or a negative errno with the reason told to fail(). */
int enclave_build(struct enclave *enclave, const struct enclave_file *file);

#endif
