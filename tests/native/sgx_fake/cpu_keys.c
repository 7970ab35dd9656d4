/* EREPORT and EGETKEY. */
#include <string.h>

#include "fake.h"

/* What a key depends on, in the order of the manual's KEYDEPENDENCIES; the judge has the CPU's secret, and does AES. */
struct dependencies {
    uint16_t key_name, isv_prod_id, isv_svn, config_svn;
    uint64_t flags, xfrm, flags_mask, xfrm_mask;
    uint8_t measurement[32], signer[32], key_id[32], cpu_svn[16], config_id[64];
    uint32_t misc, misc_mask;
    uint16_t policy, zero[3];
};

enum { NAME_EINITTOKEN, NAME_PROVISION, NAME_PROVISION_SEAL, NAME_REPORT, NAME_SEAL };
enum { POLICY_MRENCLAVE = 1, POLICY_MRSIGNER = 2 };
enum { BAD_ATTRIBUTE = 2, BAD_CPUSVN = 32, BAD_ISVSVN = 64, BAD_KEYNAME = 256 };
#define FLAG_INIT_DEBUG 3ULL
static const uint8_t CPU_SVN[16] = {7, 5}; /* compared as a number, the first byte the lowest */

static uint16_t field16(const uint8_t *structure, size_t offset)
{
    return (uint16_t)(structure[offset] | structure[offset + 1] << 8);
}

/* TARGETINFO: MEASUREMENT 0, ATTRIBUTES 32, CETATTRIBUTES 48, CONFIGSVN 50, MISCSELECT 52, CONFIGID 64; the rest must be zero. REPORT: CPUSVN 0, MISCSELECT
 * 16, ATTRIBUTES 48, MRENCLAVE 64, MRSIGNER 128, ISVPRODID 256, ISVSVN 258, REPORTDATA 320, KEYID 384, MAC 416. */
struct exception cpu_ereport(greg_t *registers)
{
    uint64_t target_info = (uint64_t)registers[REG_RBX], data = (uint64_t)registers[REG_RCX], report = (uint64_t)registers[REG_RDX];
    struct exception exception = cpu_operand(target_info, 512, P_R);
    const uint8_t *from = store + target_info;
    if (exception.vector < 0 && (from[49] || !all_zero(from + 56, 8) || !all_zero(from + 128, 384))) {
        return GENERAL_PROTECTION;
    }
    exception = exception.vector < 0 ? cpu_operand(data, 128, P_R) : exception;
    exception = exception.vector < 0 ? cpu_operand(report, 512, P_W) : exception;
    if (exception.vector >= 0) {
        return exception;
    }
    struct dependencies wanted = {.key_name = NAME_REPORT, .config_svn = field16(from, 50)};
    uint8_t made[432] = {0};
    memcpy(wanted.measurement, from, 32);
    memcpy(&wanted.flags, from + 32, 8);
    memcpy(&wanted.xfrm, from + 40, 8);
    memcpy(&wanted.misc, from + 52, 4);
    memcpy(wanted.config_id, from + 64, 64);
    memcpy(wanted.cpu_svn, CPU_SVN, 16);
    memset(wanted.key_id, 0x4B, 32);
    memcpy(made, CPU_SVN, 16);
    memcpy(made + 16, &secs.misc, 4);
    memcpy(made + 48, &secs.flags, 8);
    memcpy(made + 56, &secs.xfrm, 8);
    memcpy(made + 64, measurement, 32);
    memcpy(made + 128, signer, 32);
    memcpy(made + 256, &product, 4);
    memcpy(made + 320, store + data, 64);
    memcpy(made + 384, wanted.key_id, 32);
    judge_mac(&wanted, sizeof(wanted), made, 384, made + 416);
    memcpy(store + report, made, sizeof(made));
    return exception;
}

static bool is_newer(const uint8_t *wanted)
{
    for (int index = 15; index >= 0; index--) {
        if (wanted[index] != CPU_SVN[index]) {
            return wanted[index] > CPU_SVN[index];
        }
    }
    return false;
}

/* KEYREQUEST: KEYNAME 0, KEYPOLICY 2, ISVSVN 4, CPUSVN 8, ATTRIBUTEMASK 24, KEYID 40, MISCMASK 72, CONFIGSVN 76; the rest must be zero. */
static uint64_t depend(const uint8_t *request, struct dependencies *wanted)
{
    *wanted = (struct dependencies){.key_name = field16(request, 0), .flags = secs.flags, .xfrm = secs.xfrm, .misc = secs.misc};
    memcpy(wanted->key_id, request + 40, 32);
    switch (wanted->key_name) {
    case NAME_REPORT:
        memcpy(wanted->measurement, measurement, 32);
        memcpy(wanted->cpu_svn, CPU_SVN, 16);
        return 0;
    case NAME_SEAL:
        break;
    case NAME_EINITTOKEN:
    case NAME_PROVISION:
    case NAME_PROVISION_SEAL:
        return BAD_ATTRIBUTE;
    default:
        return BAD_KEYNAME;
    }
    if (is_newer(request + 8)) {
        return BAD_CPUSVN;
    }
    if (field16(request, 4) > product[1]) {
        return BAD_ISVSVN;
    }
    wanted->policy = field16(request, 2);
    wanted->isv_prod_id = product[0];
    wanted->isv_svn = field16(request, 4);
    memcpy(wanted->cpu_svn, request + 8, 16);
    memcpy(&wanted->flags_mask, request + 24, 8);
    memcpy(&wanted->xfrm_mask, request + 32, 8);
    memcpy(&wanted->misc_mask, request + 72, 4);
    wanted->flags &= wanted->flags_mask | FLAG_INIT_DEBUG;
    wanted->xfrm &= wanted->xfrm_mask;
    wanted->misc &= wanted->misc_mask;
    wanted->misc_mask = ~wanted->misc_mask;
    if (wanted->policy & POLICY_MRENCLAVE) {
        memcpy(wanted->measurement, measurement, 32);
    }
    if (wanted->policy & POLICY_MRSIGNER) {
        memcpy(wanted->signer, signer, 32);
    }
    return 0;
}

struct exception cpu_egetkey(greg_t *registers)
{
    uint64_t request = (uint64_t)registers[REG_RBX], to = (uint64_t)registers[REG_RCX];
    struct exception exception = cpu_operand(request, 512, P_R);
    exception = exception.vector < 0 ? cpu_operand(to, 16, P_W) : exception;
    if (exception.vector >= 0) {
        return exception;
    }
    const uint8_t *from = store + request;
    bool is_of_kss = field16(from, 2) & ~3U || field16(from, 76); /* KEYPOLICY, CONFIGSVN: and KSS is off */
    if (is_of_kss || field16(from, 6) || !all_zero(from + 78, 434)) {
        return GENERAL_PROTECTION;
    }
    struct dependencies wanted;
    uint64_t error = depend(from, &wanted);
    if (!error) {
        judge_key(&wanted, sizeof(wanted), store + to);
    }
    cpu_tell_error(registers, error);
    return exception;
}
