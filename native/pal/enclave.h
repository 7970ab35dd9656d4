/*
 * The enclave as the simulated CPU keeps it: SECS, EPCM, and the pages themselves at their addresses in this process.
 */
#ifndef ENCLAVIZE_PAL_ENCLAVE_H
#define ENCLAVIZE_PAL_ENCLAVE_H

#include "abi.h"
#include "enclave_file.h"
#include "sgx.h"

#define TCS_MAX 4096U

struct enclave {
    struct attributes attributes;
    uint32_t misc_select;
    uint8_t mrenclave[32];
    uint8_t mrsigner[32];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint64_t ssa_frame_size;
    uint64_t image_start, image_end;
    uint64_t stub_address;
    uint32_t tcs_count;
    uint64_t tcs_addresses[TCS_MAX];
    uint64_t td_offset; /* OGSBASE minus TCS, the same for all */
};

/* Builds the enclave from a parsed file whose SIGSTRUCT verifies: reserves ELRANGE, adds and measures all pages, compares. Of the file nothing is
 * needed afterwards. 0, or a negative errno with the reason told to fail(). */
int enclave_build(struct enclave *enclave, const struct enclave_file *file);
void enclave_release(void);

/*
 * EPCM: one entry for each page of ELRANGE. Rights and states as in SECINFO.FLAGS; the page tables' rights are kept beside them, since what the
 * program can do is the intersection.
 */
#define EPCM_RIGHTS 0x7U
#define EPCM_PENDING 0x8U
#define EPCM_MODIFIED 0x10U
#define EPCM_PR 0x20U
#define EPCM_TCS 0x40U
#define EPCM_TRIM 0x80U
#define EPCM_VALID 0x100U
#define EPCM_TABLE_SHIFT 9
#define EPCM_TABLE_RIGHTS (EPCM_RIGHTS << EPCM_TABLE_SHIFT)
#define EPCM_EXPOSED 0x1000U /* pending, and no longer hidden: gate mode (sim_leaves.c) */

extern uint16_t *epcm;
static inline uint16_t *epcm_entry(uint64_t address)
{
    return epcm + address / PAGE_SIZE;
}

/* mmap's rights from SECINFO's. */
static inline int host_protection(uint32_t rights)
{
    return ((rights & SECINFO_R) ? 1 : 0) | ((rights & SECINFO_W) ? 2 : 0) | ((rights & SECINFO_X) ? 4 : 0);
}

/* A page that is pending cannot be touched. */
static inline uint32_t epcm_effective_rights(uint16_t entry)
{
    return (entry & (EPCM_PENDING | EPCM_EXPOSED)) == EPCM_PENDING ? 0 : entry & (entry >> EPCM_TABLE_SHIFT) & EPCM_RIGHTS;
}

/* Make the host's page tables follow the EPCM over a range. */
int enclave_apply_rights(uint64_t address, uint64_t length);

#endif
