/* EREPORT and EGETKEY of simulation (native/pal/sim_keys.c), for the same enclave as attest.c's. */
#include "sim.h"

uint64_t attest_sim(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);

static struct enclave enclave = {.misc_select = 1, .attributes = {.flags = 5, .xfrm = 0xE7}, .isv_prod_id = 3, .isv_svn = 2};
const struct enclave *sim_enclave = &enclave;

uint64_t attest_sim(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    for (unsigned index = 0; index < 32; index++) {
        enclave.mrenclave[index] = (uint8_t)(0x10 + index);
        enclave.mrsigner[index] = (uint8_t)(0x80 + index);
    }
    if (leaf == ENCLU_EREPORT) {
        sim_ereport((const struct target_info *)rbx, (const uint8_t *)rcx, (struct report *)rdx);
        return leaf;
    }
    return sim_egetkey((const struct key_request *)rbx, (uint8_t *)rcx);
}
