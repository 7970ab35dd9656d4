/*
 * SGX structures that both sides of the boundary read or write, with the alignment that a leaf of ENCLU wants of them. Source: Intel SDM volume 3D, chapters
 * 38 to 40.
 */
#ifndef ENCLAVIZE_SGX_ARCH_H
#define ENCLAVIZE_SGX_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum enclu_leaf {
    ENCLU_EREPORT = 0, ENCLU_EGETKEY = 1, ENCLU_EENTER = 2, ENCLU_ERESUME = 3, ENCLU_EEXIT = 4, ENCLU_EACCEPT = 5, ENCLU_EMODPE = 6,
    ENCLU_EACCEPTCOPY = 7,
};

/* SECINFO.FLAGS */
#define SECINFO_R 0x1U
#define SECINFO_W 0x2U
#define SECINFO_X 0x4U
#define SECINFO_RIGHTS 0x7U
#define SECINFO_PENDING 0x8U
#define SECINFO_MODIFIED 0x10U
#define SECINFO_PR 0x20U
#define SECINFO_TYPE 0xFF00U
#define SECINFO_TCS 0x100U
#define SECINFO_REG 0x200U
#define SECINFO_TRIM 0x400U

/* Error codes in RAX (SDM volume 3D, "Information and Error Codes"). */
enum sgx_error {
    SGX_INVALID_SIG_STRUCT = 1, SGX_INVALID_ATTRIBUTE = 2, SGX_INVALID_MEASUREMENT = 4, SGX_INVALID_SIGNATURE = 8, SGX_INVALID_EINITTOKEN = 16,
    SGX_PAGE_ATTRIBUTES_MISMATCH = 19, SGX_PAGE_NOT_MODIFIABLE = 20, SGX_INVALID_CPUSVN = 32, SGX_INVALID_ISVSVN = 64, SGX_INVALID_KEYNAME = 256,
};

#define ATTRIBUTE_INIT 0x1ULL
#define ATTRIBUTE_DEBUG 0x2ULL
#define ATTRIBUTE_MODE64 0x4ULL
#define ATTRIBUTE_PROVISION_KEY 0x10ULL
#define ATTRIBUTE_EINITTOKEN_KEY 0x20ULL
#define ATTRIBUTE_KSS 0x80ULL
#define MISC_EXINFO 0x1U
#define XFRM_LEGACY 0x3ULL

struct sgx_attributes {
    uint64_t flags;
    uint64_t xfrm;
};

struct secinfo {
    uint64_t flags;
    uint8_t reserved[56];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct secinfo) == 64, "SECINFO");

/* The last 184 bytes of an SSA frame. */
struct ssa_gpr {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip;
    uint64_t ursp, urbp;
    uint32_t exit_info;
    uint32_t reserved;
    uint64_t fs_base, gs_base;
};
_Static_assert(sizeof(struct ssa_gpr) == 184, "GPRSGX");

/* The MISC region (MISCSELECT.EXINFO), directly before GPRSGX. */
struct ssa_exinfo {
    uint64_t address;
    uint32_t error_code;
    uint32_t reserved;
};

#define EXIT_INFO_VALID 0x80000000U
#define EXIT_INFO_VECTOR 0xFFU
#define EXIT_TYPE_HARDWARE (3U << 8)
#define EXIT_TYPE_SOFTWARE (6U << 8)

/* Of which exceptions EXITINFO tells, with EXINFO: #DE, #DB, #BP, #BR, #UD, #GP, #PF, #MF, #AC, #XM, #CP. The others, #SS for one, come back for ever. */
static inline bool is_vector_reported(uint64_t vector)
{
    return vector < 32 && (0x2B606BU >> vector & 1);
}

#define TARGETINFO_SIZE 512
#define REPORT_SIZE 432
#define REPORTDATA_SIZE 64
#define KEY_SIZE 16

/* For whom a report is. */
struct target_info {
    uint8_t mrenclave[32];
    struct sgx_attributes attributes;
    uint8_t cet_attributes;
    uint8_t reserved1;
    uint16_t config_svn;
    uint32_t misc_select;
    uint8_t reserved2[8];
    uint8_t config_id[64];
    uint8_t reserved3[384];
} __attribute__((aligned(512)));
_Static_assert(sizeof(struct target_info) == TARGETINFO_SIZE, "TARGETINFO");

enum key_name { EINITTOKEN_KEY = 0, PROVISION_KEY = 1, PROVISION_SEAL_KEY = 2, REPORT_KEY = 3, SEAL_KEY = 4 };
enum key_policy { KEY_POLICY_MRENCLAVE = 1, KEY_POLICY_MRSIGNER = 2 };
struct key_request {
    uint16_t name;
    uint16_t policy;
    uint16_t isv_svn;
    uint16_t reserved1;
    uint8_t cpu_svn[16];
    struct sgx_attributes attributes_mask;
    uint8_t key_id[32];
    uint32_t misc_mask;
    uint16_t config_svn;
    uint8_t reserved2[434];
} __attribute__((aligned(512)));
_Static_assert(sizeof(struct key_request) == 512, "KEYREQUEST");

struct report {
    uint8_t cpu_svn[16];
    uint32_t misc_select;
    uint8_t cet_attributes;
    uint8_t reserved1[11];
    uint8_t isv_ext_prod_id[16];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t reserved4[42];
    uint8_t isv_family_id[16];
    uint8_t report_data[64];
    uint8_t key_id[32];
    uint8_t mac[16];
} __attribute__((aligned(512)));
_Static_assert(offsetof(struct report, mac) + 16 == REPORT_SIZE && sizeof(struct report) == 512, "REPORT, padded to its alignment");

#endif
