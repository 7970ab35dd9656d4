#include "sim_rules.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "sigstruct.h"

#define ATTRIBUTES_KNOWN (ATTRIBUTE_INIT | ATTRIBUTE_DEBUG | ATTRIBUTE_MODE64 | ATTRIBUTE_PROVISION_KEY | ATTRIBUTE_EINITTOKEN_KEY | ATTRIBUTE_KSS)
#define ATTRIBUTES_PRIVILEGED (ATTRIBUTE_PROVISION_KEY | ATTRIBUTE_EINITTOKEN_KEY)
#define XFRM_AVX 0x4U
#define XFRM_AVX512 0xE0U
/* The standard form of XSAVE, by its last component. */
#define XSAVE_SIZE_SSE 576U
#define XSAVE_SIZE_AVX 832U
#define XSAVE_SIZE_AVX512 2688U
#define CANONICAL_BITS 47
#define TCS_DBGOPTIN 0x1U
#define TCS_RESERVED 72 /* the offset of what must be zero to the end */

static uint64_t xsave_size(uint64_t xfrm)
{
    return xfrm & XFRM_AVX512 ? XSAVE_SIZE_AVX512 : xfrm & XFRM_AVX ? XSAVE_SIZE_AVX : XSAVE_SIZE_SSE;
}

static const char *xfrm_flaw(uint64_t xfrm)
{
    uint64_t avx512 = xfrm & XFRM_AVX512;
    if ((xfrm & XFRM_LEGACY) != XFRM_LEGACY) {
        return "XFRM is without x87 or SSE";
    }
    if (xfrm & ~enclave_enabled_features()) {
        return "XFRM has what this CPU or system does not have";
    }
    return avx512 && (avx512 != XFRM_AVX512 || !(xfrm & XFRM_AVX)) ? "XFRM has a part of AVX-512" : NULL;
}

const char *sim_ecreate_flaw(const struct enclave *enclave)
{
    uint64_t size = enclave->elrange_size, flags = enclave->attributes.flags;
    if (size < 2 * PAGE_SIZE || (size & (size - 1)) || size > ELRANGE_SIZE) {
        return "the size is no power of 2, or not within bounds";
    }
    if (ELRANGE_START % size) {
        return "the base is not aligned to the size";
    }
    if (enclave->misc_select & ~MISC_EXINFO) {
        return "MISCSELECT has unknown bits";
    }
    if ((flags & ~(uint64_t)ATTRIBUTES_KNOWN) || (flags & ATTRIBUTE_INIT) || !(flags & ATTRIBUTE_MODE64)) {
        return "ATTRIBUTES has unknown bits, or INIT, or is not of a 64-bit enclave";
    }
    const char *flaw = xfrm_flaw(enclave->attributes.xfrm);
    if (flaw) {
        return flaw;
    }
    uint64_t needed = xsave_size(enclave->attributes.xfrm) + sizeof(struct ssa_exinfo) + sizeof(struct ssa_gpr);
    return enclave->ssa_frame_size % PAGE_SIZE || enclave->ssa_frame_size < needed ? "SSA frames have no room for the state" : NULL;
}

/* EADD looks at nothing else of a TCS. */
static const char *reserved_flaw(const uint8_t *tcs)
{
    for (size_t at = TCS_RESERVED; at < PAGE_SIZE; at++) {
        if (tcs[at]) {
            return "reserved bytes of the TCS are not zero";
        }
    }
    return NULL;
}

void sim_eadd_tcs(struct tcs *tcs)
{
    tcs->state = tcs->aep = 0;
    tcs->cssa = 0;
    tcs->flags &= ~(uint64_t)TCS_DBGOPTIN;
}

const char *sim_tcs_flaw(const struct tcs *tcs)
{
    if (tcs->ossa % PAGE_SIZE || tcs->ofsbase % PAGE_SIZE || tcs->ogsbase % PAGE_SIZE) {
        return "EENTER #GP(0): OSSA, OFSBASE or OGSBASE is not aligned, TCS ";
    }
    return tcs->flags ? "EENTER #GP(0): reserved flags are set, TCS " : NULL;
}

const char *sim_tcs_address_flaw(const struct tcs *tcs)
{
    if (tcs->oentry >> CANONICAL_BITS || tcs->ofsbase >> CANONICAL_BITS || tcs->ogsbase >> CANONICAL_BITS) {
        return "EENTER #GP(0): OENTRY, OFSBASE or OGSBASE is not canonical, TCS ";
    }
    return tcs->oentry < ELRANGE_SIZE ? NULL : "EENTER: what is at OENTRY, outside of the enclave, cannot be executed in it, TCS ";
}

const char *sim_eadd_flaw(uint64_t address, const uint8_t *content, uint64_t flags)
{
    uint64_t type = flags & SECINFO_TYPE, rights = flags & SECINFO_RIGHTS;
    if (address % PAGE_SIZE || address - ELRANGE_START >= ELRANGE_SIZE) {
        return "the address is not aligned, or not in the enclave";
    }
    if (flags & ~(uint64_t)(SECINFO_TYPE | SECINFO_RIGHTS)) {
        return "reserved bits of SECINFO are set";
    }
    if (type != SECINFO_REG && type != SECINFO_TCS) {
        return "the type is neither PT_REG nor PT_TCS";
    }
    if ((rights & (SECINFO_R | SECINFO_W)) == SECINFO_W) {
        return "the page is writable and not readable";
    }
    if (type == SECINFO_REG) {
        return NULL;
    }
    return rights ? "a TCS has rights" : reserved_flaw(content);
}

static void measure(struct sha256 *hash, const char *name, const void *fields, size_t size)
{
    uint8_t record[64] = {0};
    memcpy(record, name, strlen(name));
    memcpy(record + 8, fields, size);
    sha256_update(hash, record, sizeof(record));
}

void sim_measure_ecreate(struct sha256 *hash, const struct enclave *enclave)
{
    const struct {
        uint32_t ssa_frame_pages;
        uint64_t size;
    } __attribute__((packed)) fields = {(uint32_t)(enclave->ssa_frame_size / PAGE_SIZE), enclave->elrange_size};
    sha256_start(hash);
    measure(hash, "ECREATE", &fields, sizeof(fields));
}

#define EXTEND_CHUNK 256U

void sim_measure_eadd(struct sha256 *hash, uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured)
{
    const uint64_t fields[] = {address - ELRANGE_START, flags};
    measure(hash, "EADD", fields, sizeof(fields));
    for (uint64_t at = 0; is_measured && at < PAGE_SIZE; at += EXTEND_CHUNK) {
        const uint64_t offset = address - ELRANGE_START + at;
        measure(hash, "EEXTEND", &offset, sizeof(offset));
        sha256_update(hash, content + at, EXTEND_CHUNK);
    }
}

static int refuse(const char *name, enum sgx_error code, const char *why)
{
    return fail(-EPERM, "EINIT refuses the enclave: %s (%u): %s", name, code, why);
}

static bool has_family(const struct sigstruct *sigstruct)
{
    static const uint8_t none[sizeof(sigstruct->isv_family_id)];
    return memcmp(sigstruct->isv_family_id, none, sizeof(none)) != 0;
}

int sim_einit(struct sha256 *hash, const struct enclave *enclave, const struct sigstruct *sigstruct)
{
    uint8_t measured[32];
    enum sgx_error code;
    const struct sgx_attributes own = enclave->attributes, wanted = sigstruct->attributes, mask = sigstruct->attributes_mask;
    sha256_finish(hash, measured);
    if (own.flags & ATTRIBUTES_PRIVILEGED) {
        return fail(-EACCES, "EINIT: ATTRIBUTES has the provisioning or launch key, which the driver keeps for whom the administrator allows it");
    }
    if (wanted.flags & mask.flags & ~(uint64_t)(ATTRIBUTES_KNOWN & ~ATTRIBUTE_INIT) || wanted.xfrm & mask.xfrm & ~enclave_enabled_features() ||
        sigstruct->misc_select & sigstruct->misc_mask & ~MISC_EXINFO) {
        return fail(-EINVAL, "EINIT: the SIGSTRUCT demands attributes that this CPU does not have, which the driver refuses before");
    }
    const char *flaw = sigstruct_flaw(sigstruct, &code);
    if (flaw) {
        return refuse(code == SGX_INVALID_SIGNATURE ? "SGX_INVALID_SIGNATURE" : "SGX_INVALID_SIG_STRUCT", code, flaw);
    }
    if (has_family(sigstruct) && !(own.flags & ATTRIBUTE_KSS)) {
        return refuse("SGX_INVALID_SIG_STRUCT", SGX_INVALID_SIG_STRUCT, "ISVFAMILYID is that of an enclave with KSS");
    }
    if (memcmp(measured, sigstruct->enclave_hash, sizeof(measured)) != 0) {
        return refuse("SGX_INVALID_MEASUREMENT", SGX_INVALID_MEASUREMENT, "MRENCLAVE is not that of the SIGSTRUCT");
    }
    if (((own.flags ^ wanted.flags) & mask.flags) || ((own.xfrm ^ wanted.xfrm) & mask.xfrm) ||
        ((enclave->misc_select ^ sigstruct->misc_select) & sigstruct->misc_mask)) {
        return refuse("SGX_INVALID_ATTRIBUTE", SGX_INVALID_ATTRIBUTE, "ATTRIBUTES or MISCSELECT is not what the SIGSTRUCT demands");
    }
    return 0;
}
