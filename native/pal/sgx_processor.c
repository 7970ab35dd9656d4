#include <cpuid.h>

#include "sgx_machine.h"

#define LEAF_FEATURES 7U
#define LEAF_SGX 0x12U
#define FEATURES_EBX_SGX (1U << 2)
#define SGX_EAX_SGX1 (1U << 0)
#define SGX_EAX_SGX2 (1U << 1)

struct sgx_processor sgx_processor(void)
{
    struct sgx_processor found = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(LEAF_FEATURES, 0, &a, &b, &c, &d) || !(b & FEATURES_EBX_SGX) || !__get_cpuid_count(LEAF_SGX, 0, &a, &b, &c, &d)) {
        return found;
    }
    found.has_sgx1 = a & SGX_EAX_SGX1;
    found.has_sgx2 = a & SGX_EAX_SGX2;
    found.misc_select = b;
    found.size_bits = d >> 8 & 0xFF; /* MaxEnclaveSize_64 */
    if (__get_cpuid_count(LEAF_SGX, 1, &a, &b, &c, &d)) {
        found.allowed = (struct sgx_attributes){.flags = (uint64_t)b << 32 | a, .xfrm = (uint64_t)d << 32 | c};
    }
    return found;
}
