/* What ECREATE, EADD, EINIT and EENTER refuse (SDM volume 3D), and the driver of Linux before them. */
#ifndef ENCLAVIZE_PAL_SIM_RULES_H
#define ENCLAVIZE_PAL_SIM_RULES_H

#include "crypto.h"
#include "enclave.h"

/* NULL, or what is wrong: #GP(0). `content`: a page. */
const char *sim_ecreate_flaw(const struct enclave *enclave);
const char *sim_eadd_flaw(uint64_t address, const uint8_t *content, uint64_t flags);

/* What EADD itself writes into a TCS, before it is measured. */
void sim_eadd_tcs(struct tcs *tcs);

/* NULL, or how EENTER faults, for die(): before it looks at SSA frames, and after. */
const char *sim_tcs_flaw(const struct tcs *tcs);
const char *sim_tcs_address_flaw(const struct tcs *tcs);

/* MRENCLAVE. */
void sim_measure_ecreate(struct sha256 *hash, const struct enclave *enclave);
void sim_measure_eadd(struct sha256 *hash, uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured);

/* 0, or a negative errno of the driver's, with the error code of EINIT told to fail(). Ends the measurement. */
int sim_einit(struct sha256 *hash, const struct enclave *enclave, const struct sigstruct *sigstruct);

#endif
