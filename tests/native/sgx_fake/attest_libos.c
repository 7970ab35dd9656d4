/* The LibOS's file as it is, and what its callers take of the structures' header. */
#include "boundary/attestation.c"

extern const int policy_mrenclave, policy_mrsigner;
const int policy_mrenclave = KEY_POLICY_MRENCLAVE, policy_mrsigner = KEY_POLICY_MRSIGNER;
