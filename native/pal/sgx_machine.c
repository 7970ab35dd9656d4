#include "sgx_machine.h"

#include <errno.h>

#include "log.h"

#define ELRANGE_BITS 36U

static int check_processor(const struct sgx_processor *processor)
{
    if (!processor->has_sgx1) {
        return fail(-ENODEV, SGX_DEVICE " is there, and the CPU has no SGX: is it switched off in the firmware, or hidden by a hypervisor?");
    }
    if (!processor->has_sgx2) {
        return fail(-ENODEV, "this CPU cannot change the memory of a running enclave: the builtin LibOS needs SGX2");
    }
    if (!(processor->misc_select & MISC_EXINFO)) {
        return fail(-ENODEV, "this CPU does not tell an enclave of page faults (EXINFO), which the builtin LibOS needs");
    }
    if (processor->size_bits < ELRANGE_BITS) {
        return fail(-ENODEV, "the enclaves of this CPU are at most 2^%u bytes large; the builtin LibOS needs 2^%u", processor->size_bits, ELRANGE_BITS);
    }
    return 0;
}
_Static_assert(ELRANGE_SIZE == 1ULL << ELRANGE_BITS, "abi.h");

static int find(const struct options *options)
{
    (void)options;
    const struct sgx_processor processor = sgx_processor();
    int error = check_processor(&processor);
    if (!error && !sgx_find_entry()) {
        error = fail(-ENOSYS, "this kernel's vDSO has no __vdso_sgx_enter_enclave (Linux 5.11); is it started with vdso=0?");
    }
    return error ? error : sgx_probe_driver();
}

static uint64_t features(void)
{
    return sgx_processor().allowed.xfrm;
}

const struct machine sgx_machine = {
    .find = find,
    .features = features,
    .create = sgx_create,
    .add_page = sgx_add_page,
    .initialise = sgx_initialise,
    .release = sgx_release,
    .start = sgx_start,
    .stop = sgx_stop,
    .thread_begin = sgx_thread_begin,
    .thread_end = sgx_thread_end,
    .enter = sgx_enter,
    .abandon_all = sgx_abandon_all,
    .add_memory = sgx_add_memory,
    .protect_memory = sgx_protect_memory,
    .restrict_memory = sgx_restrict_memory,
    .trim_memory = sgx_trim_memory,
    .remove_memory = sgx_remove_memory,
};
