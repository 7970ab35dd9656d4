/* What ECREATE, EADD and EINIT refuse (SDM volume 3D), and the driver of Linux before them. */
#ifndef ENCLAVIZE_PAL_SIM_RULES_H
#define ENCLAVIZE_PAL_SIM_RULES_H

#include "crypto.h"
#include "enclave.h"

/* NULL, or what is wrong: #GP(0). `content`: a page. */
const char *sim_ecreate_flaw(const struct enclave *enclave);
const char *sim_eadd_flaw(uint64_t address, const uint8_t *content, uint64_t flags);

/* MRENCLAVE. */
void sim_measure_ecreate(struct sha256 *hash, const struct enclave *enclave);
void sim_measure_eadd(struct sha256 *hash, uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured);

/* 0, or a negative errno of the driver's, with the error code of EINIT told to fail(). Ends the measurement. */
int sim_einit(struct sha256 *hash, const struct enclave *enclave, const struct sigstruct *sigstruct);

#endif
