/*
 * Dynamic memory of an enclave on hardware. The driver has no request for pages: it makes one (EAUG) when somebody touches it, from inside or from outside
 * (sgx_vma_fault() of Linux). Rights are given inside (EMODPE), or taken by the kernel (EMODPR); the page tables have all of them already (sgx_driver.c).
 */
#define _GNU_SOURCE
#include <asm/sgx.h>
#include <errno.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

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

#define TOUCHES_MAX 1024U /* IOV_MAX */

static int touched = -1; /* a file for what is read of the pages, which is never looked at */

void sgx_start_memory(void)
{
    touched = (int)syscall(SYS_memfd_create, "touched", MFD_CLOEXEC);
}

void sgx_stop_memory(void)
{
    if (touched >= 0) {
        close(touched);
    }
    touched = -1;
}

/*
 * Touches the pages, a thousand by one system call, which stops where no page comes. From outside one reads ones ("abort page"), and the page waits for
 * EACCEPT; if EACCEPT had to touch it, each page would cost an asynchronous exit. So this helps, and is nothing to rely on: what did not come here comes
 * then, or the enclave is told that it does not.
 */
int sgx_add_memory(uint64_t address, uint64_t length)
{
    struct iovec touches[TOUCHES_MAX];
    for (uint64_t end = address + length; touched >= 0 && address < end;) {
        int count = 0;
        for (; count < (int)TOUCHES_MAX && address < end; address += PAGE_SIZE) {
            touches[count++] = (struct iovec){.iov_base = (void *)address, .iov_len = 1};
        }
        if (pwritev(touched, touches, count, 0) != count) {
            break;
        }
    }
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
