#ifndef ENCLAVIZE_PAL_SIM_EPCM_H
#define ENCLAVIZE_PAL_SIM_EPCM_H

#include <stdbool.h>

#include "abi.h"
#include "sgx.h"

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

/* A page that is pending cannot be touched. */
static inline uint32_t epcm_effective_rights(uint16_t entry)
{
    return (entry & (EPCM_PENDING | EPCM_EXPOSED)) == EPCM_PENDING ? 0 : entry & (entry >> EPCM_TABLE_SHIFT) & EPCM_RIGHTS;
}

/* May a leaf of ENCLU use the page so? */
static inline bool epcm_usable(uint16_t entry, uint32_t rights)
{
    return (entry & EPCM_VALID) && !(entry & (EPCM_PENDING | EPCM_MODIFIED | EPCM_TCS | EPCM_TRIM)) && (entry & rights) == rights;
}

/* Make the host's page tables follow the EPCM over a range. 0, or a negative errno. */
int sim_apply_rights(uint64_t address, uint64_t length);

#endif
