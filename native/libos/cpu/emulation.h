/* Instructions that an enclave may not execute, and that programs need all the same. */
#ifndef ENCLAVIZE_LIBOS_EMULATION_H
#define ENCLAVIZE_LIBOS_EMULATION_H

#include "cpu/context.h"

/*
 * CPUID (#UD); RDTSC and RDTSCP, which a CPU of SGX1 alone refuses (#UD) and any CPU where CR4.TSD is set (#GP): they count nanoseconds of the
 * monotonic clock then. True: done, and RIP is behind it. False: it is none of these.
 */
bool emulate_instruction(struct context *context, uint32_t vector);

#endif
