/* What CPUID says inside the enclave. The instruction is illegal there (SDM volume 3D, "Illegal instructions"), so the LibOS answers in the CPU's place. */
#ifndef ENCLAVIZE_LIBOS_CPUID_H
#define ENCLAVIZE_LIBOS_CPUID_H

#include "abi.h"
#include "cpu/context.h"

/* CPUID.01H:EDX of every x86-64 CPU that has SGX; also AT_HWCAP, as Linux has it. */
#define CPUID_BASELINE_EDX 0x078BFBFFU

/* From struct boot, once, before the first program: an answer never changes. */
void cpuid_start(const uint32_t words[CPUID_WORD_COUNT]);

/* Replaces RAX, RBX, RCX and RDX as CPUID would. */
void cpuid_answer(struct context *context);

#endif
