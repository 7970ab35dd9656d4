/*
 * EREPORT and EGETKEY: derived as the CPU derives (SDM volume 3D, "KEYDEPENDENCIES"), from a secret that everybody can read here. So one enclave verifies
 * the report of another one, and gets each time the key that it sealed with, as on hardware; and each report and each key says that it is none.
 *
 * This code runs on the enclave's stack with the application's FS base and live vector registers.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/syscall.h>

#include "crypto.h"
#include "raw_syscall.h"
#include "sim.h"

#define NO_VECTORS __attribute__((target("general-regs-only"), noinline))

static const uint8_t SECRET[16] __attribute__((nonstring)) = "SIMULATION KEY!!";
static const char KEY_ID[32] __attribute__((nonstring)) = "SIMULATED REPORT, NO PROTECTION!";
static const char KEY_PREFIX[] = "SIMULATED "; /* of each key; what follows is derived */

struct dependencies {
    uint16_t name, policy, isv_prod_id, isv_svn, config_svn;
    uint16_t padding[3];
    struct sgx_attributes attributes, attributes_mask;
    uint32_t misc_select, misc_mask;
    uint8_t mrenclave[32], mrsigner[32], key_id[32], cpu_svn[16], config_id[64];
};

NO_VECTORS static void copy(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

NO_VECTORS static void zero(void *to, size_t size)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

/* AES takes 16 KiB of stack, and the enclave's may have 8: it is done on one of our own, by one thread at a time. */
static struct {
    uint32_t is_taken;
    uint8_t live[512] __attribute__((aligned(16))); /* XMM registers and the like (FXSAVE) */
    uint8_t stack[0x10000] __attribute__((aligned(16)));
} aes;

NO_VECTORS static void cmac(const uint8_t key[16], const void *message, size_t size, uint8_t mac[16])
{
    while (__atomic_exchange_n(&aes.is_taken, 1, __ATOMIC_ACQUIRE)) {
        raw_syscall(SYS_sched_yield, 0, 0, 0, 0);
    }
    __asm__ volatile("fxsave64 %0" : "=m"(aes.live));
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "mov %[top], %%rsp\n\t"
                     "call aes_cmac\n\t"
                     "mov %%rbx, %%rsp"
                     : "+D"(key), "+S"(message), "+d"(size), "+c"(mac)
                     : [top] "r"(aes.stack + sizeof(aes.stack))
                     : "rax", "rbx", "r8", "r9", "r10", "r11", "memory", "cc");
    __asm__ volatile("fxrstor64 %0" : : "m"(aes.live));
    __atomic_store_n(&aes.is_taken, 0, __ATOMIC_RELEASE);
}

NO_VECTORS static void derive(const struct dependencies *from, uint8_t key[16])
{
    uint8_t derived[16];
    const size_t prefix = sizeof(KEY_PREFIX) - 1;
    cmac(SECRET, from, sizeof(*from), derived);
    copy(key, KEY_PREFIX, prefix);
    copy(key + prefix, derived, sizeof(derived) - prefix);
}

NO_VECTORS void sim_ereport(const struct target_info *target, const uint8_t data[64], struct report *report)
{
    const struct enclave *enclave = sim_enclave;
    struct dependencies dependencies;
    uint8_t key[16], data_read[64];
    zero(&dependencies, sizeof(dependencies));
    dependencies.name = REPORT_KEY;
    dependencies.attributes = target->attributes;
    dependencies.misc_select = target->misc_select;
    dependencies.config_svn = target->config_svn;
    copy(dependencies.mrenclave, target->mrenclave, sizeof(dependencies.mrenclave));
    copy(dependencies.config_id, target->config_id, sizeof(dependencies.config_id));
    copy(dependencies.key_id, KEY_ID, sizeof(KEY_ID));
    copy(data_read, data, sizeof(data_read)); /* operands may overlap */
    zero(report, REPORT_SIZE);
    report->misc_select = enclave->misc_select;
    report->attributes = enclave->attributes;
    report->isv_prod_id = enclave->isv_prod_id;
    report->isv_svn = enclave->isv_svn;
    copy(report->mrenclave, enclave->mrenclave, sizeof(report->mrenclave));
    copy(report->mrsigner, enclave->mrsigner, sizeof(report->mrsigner));
    copy(report->report_data, data_read, sizeof(report->report_data));
    copy(report->key_id, KEY_ID, sizeof(KEY_ID));
    derive(&dependencies, key);
    cmac(key, report, offsetof(struct report, key_id), report->mac);
}

NO_VECTORS static bool is_above(const uint8_t wanted[16])
{
    for (size_t index = 0; index < 16; index++) { /* this CPU's is zero */
        if (wanted[index]) {
            return true;
        }
    }
    return false;
}

NO_VECTORS uint64_t sim_egetkey(const struct key_request *request, uint8_t key[16])
{
    const struct enclave *enclave = sim_enclave;
    struct dependencies dependencies;
    zero(&dependencies, sizeof(dependencies));
    dependencies.name = request->name;
    dependencies.misc_select = enclave->misc_select;
    dependencies.attributes = enclave->attributes;
    copy(dependencies.key_id, request->key_id, sizeof(dependencies.key_id));
    switch (request->name) {
    case REPORT_KEY:
        copy(dependencies.mrenclave, enclave->mrenclave, sizeof(dependencies.mrenclave));
        break;
    case SEAL_KEY:
        if (is_above(request->cpu_svn)) {
            return SGX_INVALID_CPUSVN;
        }
        if (request->isv_svn > enclave->isv_svn) {
            return SGX_INVALID_ISVSVN;
        }
        dependencies.policy = request->policy;
        dependencies.isv_prod_id = enclave->isv_prod_id;
        dependencies.isv_svn = request->isv_svn;
        dependencies.attributes_mask = request->attributes_mask;
        dependencies.attributes.flags &= request->attributes_mask.flags | ATTRIBUTE_INIT | ATTRIBUTE_DEBUG;
        dependencies.attributes.xfrm &= request->attributes_mask.xfrm;
        dependencies.misc_mask = ~request->misc_mask;
        dependencies.misc_select &= request->misc_mask;
        if (request->policy & KEY_POLICY_MRENCLAVE) {
            copy(dependencies.mrenclave, enclave->mrenclave, sizeof(dependencies.mrenclave));
        }
        if (request->policy & KEY_POLICY_MRSIGNER) {
            copy(dependencies.mrsigner, enclave->mrsigner, sizeof(dependencies.mrsigner));
        }
        break;
    case EINITTOKEN_KEY:
    case PROVISION_KEY:
    case PROVISION_SEAL_KEY: /* no enclave has the attributes for them here */
        return SGX_INVALID_ATTRIBUTE;
    default:
        return SGX_INVALID_KEYNAME;
    }
    derive(&dependencies, key);
    return 0;
}
