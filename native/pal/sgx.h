/*
 * SGX structures that the host makes. Source: Intel SDM volume 3D, chapters 38 to 40.
 */
#ifndef ENCLAVIZE_PAL_SGX_H
#define ENCLAVIZE_PAL_SGX_H

#include "sgx_arch.h"

struct secs {
    uint64_t size;
    uint64_t base;
    uint32_t ssa_frame_pages;
    uint32_t misc_select;
    uint8_t reserved1[24];
    struct sgx_attributes attributes;
    uint8_t rest[4032]; /* what EINIT fills in, and KSS */
};
_Static_assert(sizeof(struct secs) == 4096, "SECS");

/* TCS. The CPU keeps its state in the reserved part, where software cannot look: the simulator does, too. */
struct tcs {
    uint64_t state; /* 1: busy */
    uint64_t flags;
    uint64_t ossa;
    uint32_t cssa;
    uint32_t nssa;
    uint64_t oentry;
    uint64_t aep;
    uint64_t ofsbase;
    uint64_t ogsbase;
    uint32_t fslimit;
    uint32_t gslimit;
    uint64_t hidden_thread; /* struct host_thread that is inside */
    uint8_t reserved[4016];
};
_Static_assert(sizeof(struct tcs) == 4096, "TCS");

struct sigstruct {
    uint8_t header[12];
    uint32_t type;
    uint32_t vendor;
    uint32_t date;
    uint8_t header2[16];
    uint32_t sw_defined;
    uint8_t reserved1[84];
    uint8_t modulus[384];
    uint32_t exponent;
    uint8_t signature[384];
    uint32_t misc_select;
    uint32_t misc_mask;
    uint8_t reserved2[4];
    uint8_t isv_family_id[16];
    struct sgx_attributes attributes;
    struct sgx_attributes attributes_mask;
    uint8_t enclave_hash[32];
    uint8_t reserved3[16];
    uint8_t isvext_prod_id[16];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint8_t reserved4[12];
    uint8_t q1[384];
    uint8_t q2[384];
} __attribute__((packed));
_Static_assert(sizeof(struct sigstruct) == 1808, "SIGSTRUCT");

#endif
