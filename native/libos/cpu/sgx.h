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

struct enclave_attributes {
    uint64_t flags, xfrm;
};
#define ATTRIBUTE_DEBUG 2U

/* For whom a report is. */
struct target_info {
    uint8_t mrenclave[32];
    struct enclave_attributes attributes;
    uint8_t cet_attributes;
    uint8_t reserved1;
    uint16_t config_svn;
    uint32_t misc_select;
    uint8_t reserved2[8];
    uint8_t config_id[64];
    uint8_t reserved3[384];
} __attribute__((aligned(512)));
#define TARGET_INFO_SIZE 512U
_Static_assert(sizeof(struct target_info) == TARGET_INFO_SIZE, "TARGETINFO");

struct report {
    uint8_t cpu_svn[16];
    uint32_t misc_select;
    uint8_t cet_attributes;
    uint8_t reserved1[11];
    uint8_t isv_ext_prod_id[16];
    struct enclave_attributes attributes;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id, isv_svn, config_svn;
    uint8_t reserved4[42];
    uint8_t isv_family_id[16];
    uint8_t report_data[64];
    uint8_t key_id[32];
    uint8_t mac[16];
} __attribute__((aligned(512)));
#define REPORT_SIZE 432U
#define REPORT_DATA_SIZE 64U
_Static_assert(sizeof(struct report) == 512, "REPORT, padded to its alignment");

enum key_name { KEY_NAME_REPORT = 3, KEY_NAME_SEAL = 4 };
enum key_policy { KEY_POLICY_MRENCLAVE = 1, KEY_POLICY_MRSIGNER = 2 };
struct key_request {
    uint16_t name, policy, isv_svn, reserved1;
    uint8_t cpu_svn[16];
    struct enclave_attributes attributes_mask;
    uint8_t key_id[32];
    uint32_t misc_mask;
    uint16_t config_svn;
    uint8_t reserved2[434];
} __attribute__((aligned(512)));
_Static_assert(sizeof(struct key_request) == 512, "KEYREQUEST");
#define ENCLAVE_KEY_SIZE 16U

/* global_data_t of the Intel SDK 2.26, patched into g_global_data by the loader: what the enclave needs of it. Addresses are relative to the TCS. */
struct global_data {
    uint64_t sdk_version, enclave_size;
    uint64_t unused[8];
    struct {
        uint64_t self, last_sp, stack_base, stack_limit, first_ssa_gpr;
    } thread;
};

#endif
