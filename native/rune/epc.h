/*
 * The enclave page cache of a container, as the kernel's misc controller counts it by the name sgx_epc, in bytes
 * (Documentation/admin-guide/cgroup-v2.rst, "Misc"; Documentation/arch/x86/sgx.rst).
 */
#ifndef RUNE_EPC_H
#define RUNE_EPC_H

#include <stdbool.h>
#include <stdint.h>

#define EPC_KEY "sgx_epc"

struct epc {
    uint64_t usage;    /* misc.current */
    uint64_t limit;    /* misc.max; UINT64_MAX: none */
    uint64_t failures; /* misc.events: how often the limit was hit */
};

/* Read what counts for a control group. False: this kernel, or this group, does not count EPC. */
bool read_epc(const char *group, struct epc *epc);

/* Whether this is a limit: bytes in decimal digits, or "max" for none. */
bool is_epc_limit(const char *text);

#endif
