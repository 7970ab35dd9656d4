/*
 * The SGX structures that the enclave itself reads and writes. Source: Intel SDM volume 3D, chapters 38 and 39; layouts as in
 * linux/arch/x86/include/asm/sgx.h.
 */
#ifndef ENCLAVIZE_LIBOS_SGX_H
#define ENCLAVIZE_LIBOS_SGX_H

#include <stdint.h>

enum enclu_leaf { ENCLU_EREPORT = 0, ENCLU_EGETKEY = 1, ENCLU_EACCEPT = 5, ENCLU_EMODPE = 6, ENCLU_EACCEPTCOPY = 7 };

#define ENCLU_SIZE 3U /* bytes of the instruction */

/* The last 184 bytes of an SSA frame. */
struct ssa_gpr {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip;
    uint64_t host_rsp, host_rbp;
    uint32_t exit_info;
    uint32_t reserved;
    uint64_t fs_base, gs_base;
};
_Static_assert(sizeof(struct ssa_gpr) == 184, "GPRSGX");

#define EXIT_INFO_VALID 0x80000000U
#define EXIT_INFO_VECTOR 0xFFU

/* The MISC region (MISCSELECT.EXINFO), directly before GPRSGX. */
struct ssa_exinfo {
    uint64_t address;
    uint32_t error_code;
    uint32_t reserved;
};

struct secinfo {
    uint64_t flags;
    uint64_t reserved[7];
} __attribute__((aligned(64)));

#define SECINFO_PENDING 0x08U
#define SECINFO_MODIFIED 0x10U
#define SECINFO_PR 0x20U
#define SECINFO_TYPE_REG 0x200U
#define SECINFO_TYPE_TRIM 0x400U

struct report {
    uint8_t cpu_svn[16];
    uint32_t misc_select;
    uint8_t reserved1[28];
    uint64_t attributes_flags;
    uint64_t attributes_xfrm;
    uint8_t rest[432 - 64];
} __attribute__((aligned(512)));
_Static_assert(sizeof(struct report) == 512, "432 bytes, padded to the alignment");

#define ATTRIBUTE_DEBUG 2U

/* global_data_t of the Intel SDK 2.26, patched into g_global_data by the loader: what the enclave needs of it. Addresses are relative to the TCS. */
struct global_data {
    uint64_t sdk_version, enclave_size;
    uint64_t unused[8];
    struct {
        uint64_t self, last_sp, stack_base, stack_limit, first_ssa_gpr;
    } thread;
};

#endif
