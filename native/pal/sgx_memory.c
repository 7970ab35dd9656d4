/*
 * Dynamic memory of an enclave on hardware. Pages come by themselves: EACCEPT of one that is not there faults, and the kernel makes it (EAUG). Rights are
 * given inside (EMODPE), or taken by the kernel (EMODPR); the page tables have all of them already (sgx_driver.c).
 */
#define _GNU_SOURCE
#include <asm/sgx.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "log.h"
#include "sgx_machine.h"

#define PAGE_TYPE_TRIM 4U       /* SDM volume 3D, PAGE_TYPE */
#define SGX_EPC_PAGE_CONFLICT 7U /* SDM volume 3D, error codes: somebody else is at the page */
#define TRIES_MAX 100000        /* without any progress */

/* The driver refuses (EBUSY) a second request for an enclave while there is a first. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* One request of several pages: what of its argument all kinds have. */
struct request_fields {
    uint64_t *offset, *length, *result, *count;
};

/* The driver may stop after any page, and says how far it came. */
static int ask(unsigned long request, void *argument, struct request_fields fields)
{
    int error = 0;
    pthread_mutex_lock(&mutex);
    for (int tries = 0; *fields.length > 0; tries++) {
        *fields.result = 0;
        *fields.count = 0;
        error = ioctl(sgx_device, request, argument) == 0 ? 0 : errno;
        uint64_t count = *fields.count;
        bool is_passing = error == EINTR || error == EAGAIN || error == EBUSY || (error == EFAULT && *fields.result == SGX_EPC_PAGE_CONFLICT);
        if ((error && !is_passing) || count > *fields.length || tries == TRIES_MAX) {
            error = error ? error : EIO;
            break;
        }
        *fields.offset += count;
        *fields.length -= count;
        tries = count ? 0 : tries;
        if (error) {
            sched_yield();
        }
        error = 0;
    }
    pthread_mutex_unlock(&mutex);
    if (error) {
        log_message(LOG_INFO, "the SGX driver refuses to change the enclave's memory: error %d, SGX error %llu", error, (unsigned long long)*fields.result);
    }
    return -error;
}

int sgx_add_memory(uint64_t address, uint64_t length)
{
    (void)address;
    (void)length;
    return 0;
}

int sgx_protect_memory(uint64_t address, uint64_t length, uint32_t rights)
{
    (void)address;
    (void)length;
    (void)rights;
    return 0;
}

int sgx_restrict_memory(uint64_t address, uint64_t length, uint32_t rights)
{
    struct sgx_enclave_restrict_permissions restriction = {.offset = address - ELRANGE_START, .length = length, .permissions = rights};
    return ask(SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restriction,
               (struct request_fields){(uint64_t *)&restriction.offset, (uint64_t *)&restriction.length, (uint64_t *)&restriction.result,
                                       (uint64_t *)&restriction.count});
}

int sgx_trim_memory(uint64_t address, uint64_t length)
{
    struct sgx_enclave_modify_types types = {.offset = address - ELRANGE_START, .length = length, .page_type = PAGE_TYPE_TRIM};
    return ask(SGX_IOC_ENCLAVE_MODIFY_TYPES, &types,
               (struct request_fields){(uint64_t *)&types.offset, (uint64_t *)&types.length, (uint64_t *)&types.result, (uint64_t *)&types.count});
}

int sgx_remove_memory(uint64_t address, uint64_t length)
{
    struct sgx_enclave_remove_pages pages = {.offset = address - ELRANGE_START, .length = length};
    uint64_t no_result;
    return ask(SGX_IOC_ENCLAVE_REMOVE_PAGES, &pages,
               (struct request_fields){(uint64_t *)&pages.offset, (uint64_t *)&pages.length, &no_result, (uint64_t *)&pages.count});
}
