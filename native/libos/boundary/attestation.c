/* What only this enclave can have the CPU say of it: reports, for another enclave on the same machine, and keys. Intel SDM volume 3D, EREPORT and EGETKEY. */
#include "boundary/boundary.h"

/* Of the attributes, all but what the CPU may enable for AMX, PKRU and AVX-512 on one start and not on the next: Gramine's default (sgx.seal_key.xfrm_mask). */
#define SEAL_XFRM_MASK 0xFFFFFFFFFFF9FF1BULL

static bool are_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t at = 0; at < size; at++) {
        any |= bytes[at];
    }
    return any == 0;
}

int enclave_report(const uint8_t target[TARGETINFO_SIZE], const uint8_t data[REPORTDATA_SIZE], struct report *report)
{
    struct target_info operand;
    uint8_t data_operand[REPORTDATA_SIZE] __attribute__((aligned(128)));
    memcpy(&operand, target, sizeof(operand));
    memcpy(data_operand, data, sizeof(data_operand));
    if (operand.reserved1 != 0 || !are_zero(operand.reserved2, sizeof(operand.reserved2)) || !are_zero(operand.reserved3, sizeof(operand.reserved3))) {
        return -EINVAL;
    }
    memset(report, 0, sizeof(*report));
    enclu(ENCLU_EREPORT, (uint64_t)&operand, (uint64_t)data_operand, (uint64_t)report);
    return 0;
}

void enclave_report_to_self(struct report *report)
{
    static const uint8_t zeros[TARGETINFO_SIZE];
    enclave_report(zeros, zeros, report);
}

void enclave_target_info(struct target_info *target)
{
    struct report report;
    enclave_report_to_self(&report);
    memset(target, 0, sizeof(*target));
    memcpy(target->mrenclave, report.mrenclave, sizeof(target->mrenclave));
    memcpy(target->config_id, report.config_id, sizeof(target->config_id));
    target->attributes = report.attributes;
    target->cet_attributes = report.cet_attributes;
    target->config_svn = report.config_svn;
    target->misc_select = report.misc_select;
}

int enclave_seal_key(enum key_policy policy, uint8_t key[KEY_SIZE])
{
    struct report report;
    uint8_t got[KEY_SIZE] __attribute__((aligned(16))) = {0};
    enclave_report_to_self(&report);
    struct key_request request = {
        .name = SEAL_KEY,
        .policy = (uint16_t)policy,
        .isv_svn = report.isv_svn,
        .config_svn = report.config_svn,
        .attributes_mask = {.flags = ~0ULL, .xfrm = SEAL_XFRM_MASK},
        .misc_mask = ~0U,
    };
    memcpy(request.cpu_svn, report.cpu_svn, sizeof(request.cpu_svn));
    uint64_t error = enclu(ENCLU_EGETKEY, (uint64_t)&request, (uint64_t)got, 0);
    memcpy(key, got, sizeof(got));
    memset(got, 0, sizeof(got));
    __asm__ volatile("" : : "r"(got) : "memory"); /* the copy is not to stay on the stack */
    return error == 0 ? 0 : -EACCES;
}
