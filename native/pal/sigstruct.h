/* What EINIT checks of a SIGSTRUCT (SDM volume 3D, EINIT). Each returns 0, or -ENOEXEC with the reason told to fail(). */
#ifndef ENCLAVIZE_PAL_SIGSTRUCT_H
#define ENCLAVIZE_PAL_SIGSTRUCT_H

#include <stdbool.h>

#include "sgx.h"

/* Constants, exponent, signature, quotients. NULL; or what is wrong, and the error code of EINIT. */
const char *sigstruct_flaw(const struct sigstruct *sigstruct, enum sgx_error *error);
/* The same. */
int sigstruct_verify(const struct sigstruct *sigstruct);

/* Against the enclave that was built. */
int sigstruct_match(const struct sigstruct *sigstruct, const uint8_t mrenclave[32], struct sgx_attributes attributes, uint32_t misc_select);

/* May the host launch this enclave in debug mode? */
bool sigstruct_allows_debug(const struct sigstruct *sigstruct);

void sigstruct_mrsigner(const struct sigstruct *sigstruct, uint8_t mrsigner[32]);

#endif
