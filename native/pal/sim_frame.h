#ifndef ENCLAVIZE_PAL_SIM_FRAME_H
#define ENCLAVIZE_PAL_SIM_FRAME_H

#include <stdint.h>
#include <ucontext.h>

#include "sgx.h"

/* XSAVE images in standard form: `image` is the signal frame's. Saving leaves the CPU with initial state, as an AEX does. */
void save_vectors(uint8_t *ssa, uint8_t *image);
void load_vectors(uint8_t *image, const uint8_t *ssa);

/* The general registers, RFLAGS and RIP. */
void save_registers(struct ssa_gpr *gpr, const greg_t *frame);
void load_registers(greg_t *frame, const struct ssa_gpr *gpr);
void clear_registers(greg_t *frame);

#endif
