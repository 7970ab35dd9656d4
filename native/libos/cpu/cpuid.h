/* What CPUID says inside the enclave. The instruction is illegal there (SDM volume 3D, "Illegal instructions"), so the LibOS answers in the CPU's place. */
#ifndef ENCLAVIZE_LIBOS_CPUID_H
#define ENCLAVIZE_LIBOS_CPUID_H

#include "cpu/cpu.h"

/* Replaces RAX, RBX, RCX and RDX as CPUID would. */
void cpuid_answer(struct context *context);

#endif
