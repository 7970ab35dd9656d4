#ifndef ENCLAVIZE_PAL_SIM_INSTRUCTIONS_H
#define ENCLAVIZE_PAL_SIM_INSTRUCTIONS_H

#include <stddef.h>
#include <stdint.h>

/* The name of an instruction that is #UD in an enclave, though legal elsewhere; NULL: it is none. `size`: of what can be fetched. */
const char *sim_illegal_instruction(const uint8_t *code, size_t size);

#endif
