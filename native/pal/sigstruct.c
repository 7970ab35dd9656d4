#include "sigstruct.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "log.h"

static const uint8_t HEADER[12] = {0x06, 0, 0, 0, 0xE1, 0, 0, 0, 0, 0, 0x01, 0};
static const uint8_t HEADER2[16] = {0x01, 0x01, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 0x01, 0, 0, 0};
#define EXPONENT 3U
#define VENDOR_INTEL 0x8086U

/* The signed bytes are two runs: from the start to the modulus, and from misc_select to isv_svn. */
#define SIGNED_HEAD offsetof(struct sigstruct, modulus)
#define SIGNED_BODY_START offsetof(struct sigstruct, misc_select)
#define SIGNED_BODY (offsetof(struct sigstruct, reserved4) - SIGNED_BODY_START)

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    uint8_t sum = 0;
    for (size_t index = 0; index < size; index++) {
        sum |= byte[index];
    }
    return sum == 0;
}

const char *sigstruct_flaw(const struct sigstruct *sigstruct, enum sgx_error *error)
{
    *error = SGX_INVALID_SIG_STRUCT;
    uint8_t message[SIGNED_HEAD + SIGNED_BODY];
    if (memcmp(sigstruct->header, HEADER, sizeof(HEADER)) != 0 || memcmp(sigstruct->header2, HEADER2, sizeof(HEADER2)) != 0) {
        return "its header is not that of a SIGSTRUCT";
    }
    if (!all_zero(sigstruct->reserved1, sizeof(sigstruct->reserved1)) || !all_zero(sigstruct->reserved2, sizeof(sigstruct->reserved2)) ||
        !all_zero(sigstruct->reserved3, sizeof(sigstruct->reserved3)) || !all_zero(sigstruct->reserved4, sizeof(sigstruct->reserved4))) {
        return "reserved bytes are not zero";
    }
    if (sigstruct->vendor != 0 && sigstruct->vendor != VENDOR_INTEL) {
        return "its vendor is neither 0 nor Intel";
    }
    if (all_zero(sigstruct->modulus, sizeof(sigstruct->modulus))) {
        return "it has no signature yet";
    }
    if (sigstruct->exponent != EXPONENT) {
        return "the key's exponent is not 3";
    }
    *error = SGX_INVALID_SIGNATURE;
    memcpy(message, sigstruct, SIGNED_HEAD);
    memcpy(message + SIGNED_HEAD, (const uint8_t *)sigstruct + SIGNED_BODY_START, SIGNED_BODY);
    if (!rsa3072_verify(sigstruct->modulus, sigstruct->signature, message, sizeof(message))) {
        return "its signature does not verify";
    }
    if (!rsa3072_quotients_match(sigstruct->modulus, sigstruct->signature, sigstruct->q1, sigstruct->q2)) {
        return "q1 or q2 does not belong to the signature";
    }
    return NULL;
}

int sigstruct_verify(const struct sigstruct *sigstruct)
{
    enum sgx_error error;
    const char *flaw = sigstruct_flaw(sigstruct, &error);
    return flaw ? fail(-ENOEXEC, "the SIGSTRUCT is refused: %s", flaw) : 0;
}

static void print_hex(char *to, const uint8_t *bytes, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        snprintf(to + 2 * index, 3, "%02x", bytes[index]);
    }
}

int sigstruct_match(const struct sigstruct *sigstruct, const uint8_t mrenclave[32], struct sgx_attributes attributes, uint32_t misc_select)
{
    if (memcmp(mrenclave, sigstruct->enclave_hash, 32) != 0) {
        char found[65], wanted[65];
        print_hex(found, mrenclave, 32);
        print_hex(wanted, sigstruct->enclave_hash, 32);
        return fail(-ENOEXEC,
                    "the enclave file differs from what was signed: its code, configuration or layout was changed "
                    "(MRENCLAVE %s, signed %s)",
                    found, wanted);
    }
    const struct sgx_attributes mask = sigstruct->attributes_mask;
    if ((attributes.flags & mask.flags) != (sigstruct->attributes.flags & mask.flags) ||
        (attributes.xfrm & mask.xfrm) != (sigstruct->attributes.xfrm & mask.xfrm)) {
        return fail(-ENOEXEC, "the SIGSTRUCT demands other attributes: flags 0x%llx, XFRM 0x%llx; this CPU and file give 0x%llx, 0x%llx",
                    (unsigned long long)(sigstruct->attributes.flags & mask.flags),
                    (unsigned long long)(sigstruct->attributes.xfrm & mask.xfrm), (unsigned long long)attributes.flags,
                    (unsigned long long)attributes.xfrm);
    }
    if ((misc_select & sigstruct->misc_mask) != (sigstruct->misc_select & sigstruct->misc_mask)) {
        return fail(-ENOEXEC, "the SIGSTRUCT is refused: it demands another MISCSELECT");
    }
    return 0;
}

bool sigstruct_allows_debug(const struct sigstruct *sigstruct)
{
    return !(sigstruct->attributes_mask.flags & ATTRIBUTE_DEBUG) || (sigstruct->attributes.flags & ATTRIBUTE_DEBUG);
}

void sigstruct_mrsigner(const struct sigstruct *sigstruct, uint8_t mrsigner[32])
{
    struct sha256 hash;
    sha256_start(&hash);
    sha256_update(&hash, sigstruct->modulus, sizeof(sigstruct->modulus));
    sha256_finish(&hash, mrsigner);
}
