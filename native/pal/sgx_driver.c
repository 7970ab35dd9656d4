/*
 * Building an enclave by the driver of Linux (Documentation/arch/x86/sgx.rst; uapi/asm/sgx.h). The driver may do a part of what it is asked, be
 * interrupted, and have no page to give.
 */
#define _GNU_SOURCE
#include <asm/sgx.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elrange.h"
#include "log.h"
#include "sgx_machine.h"

#define BATCH_SIZE (64 * PAGE_SIZE)
#define TRIES_MAX 1000 /* without any progress */

int sgx_device = -1;

/* Pages that follow one another and are added alike: one ioctl. */
static struct {
    uint8_t *bytes;
    uint64_t address, length, flags;
    bool is_measured;
} batch;

/* What becomes mappings when the enclave is there: rights that the pages have been added with. */
static struct run {
    uint64_t start, end;
    uint32_t rights;
} *runs;
static size_t run_count, run_room;

static int open_device(void)
{
    int device = open(SGX_DEVICE, O_RDWR | O_CLOEXEC);
    if (device < 0) {
        return fail(-errno, SGX_DEVICE " cannot be opened: %s%s", strerror(errno),
                    errno == EACCES || errno == EPERM ? "; may this user, and the control group of devices, use it?" : "");
    }
    return device;
}

/* A request for an enclave that is not there is refused; how tells what the kernel and the CPU know. */
int sgx_probe_driver(void)
{
    struct sgx_enclave_modify_types nothing = {0};
    int device = open_device();
    if (device < 0) {
        return device;
    }
    int error = ioctl(device, SGX_IOC_ENCLAVE_MODIFY_TYPES, &nothing) == 0 ? 0 : errno;
    close(device);
    switch (error) {
    case ENOTTY:
        return fail(-ENOSYS, "this kernel cannot change the memory of a running enclave: the builtin LibOS needs Linux 6.0 or later");
    case ENODEV:
        return fail(-ENODEV, "this CPU cannot change the memory of a running enclave: the builtin LibOS needs SGX2");
    default:
        return 0;
    }
}

static int fail_to(const char *what, int error)
{
    switch (error) {
    case ENOMEM:
        return fail(-error, "the enclave cannot be %s: the enclave page cache (EPC) is full", what);
    case EIO:
        return fail(-error, "the enclave cannot be %s: the CPU refuses it, or has lost all enclaves meanwhile (sleep, migration)", what);
    case EACCES:
        return fail(-error, "the enclave cannot be %s: it asks for what is not allowed here (a file system mounted noexec, or the provisioning key)", what);
    default:
        return fail(-error, "the enclave cannot be %s: %s", what, strerror(error));
    }
}

int sgx_create(const struct enclave *enclave)
{
    static struct secs secs __attribute__((aligned(4096)));
    const struct sgx_enclave_create create = {.src = (uint64_t)&secs};
    secs = (struct secs){
        .size = enclave->elrange_size,
        .base = ELRANGE_START,
        .ssa_frame_pages = (uint32_t)(enclave->ssa_frame_size / PAGE_SIZE),
        .misc_select = enclave->misc_select,
        .attributes = enclave->attributes,
    };
    int error = elrange_reserve();
    if (error) {
        return error;
    }
    batch.bytes = mmap(NULL, BATCH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (batch.bytes == MAP_FAILED) {
        batch.bytes = NULL;
        error = fail(-ENOMEM, "there is no memory for the enclave");
    } else if ((sgx_device = open_device()) < 0) {
        error = sgx_device;
    } else if (ioctl(sgx_device, SGX_IOC_ENCLAVE_CREATE, &create) != 0) {
        error = fail_to("created", errno);
    }
    if (error) {
        sgx_release();
    }
    return error;
}

void sgx_release(void)
{
    if (sgx_device >= 0) {
        close(sgx_device);
    }
    if (batch.bytes) {
        munmap(batch.bytes, BATCH_SIZE);
    }
    free(runs);
    elrange_release();
    sgx_device = -1;
    memset(&batch, 0, sizeof(batch));
    runs = NULL;
    run_count = run_room = 0;
}

/*
 * A stop (SIGSTOP, a container that is frozen) while the kernel looks for a page ends the request with ERESTARTSYS (sgx_alloc_epc_page() of Linux), and the
 * kernel itself begins it again from the start: the pages that were done are there then, and are told of by EBUSY. The last one cannot be among them.
 */
static int add_batch(void)
{
    const struct secinfo secinfo = {.flags = batch.flags};
    uint64_t done = 0;
    for (int tries = 0; done < batch.length; tries++) {
        struct sgx_enclave_add_pages add = {
            .src = (uint64_t)batch.bytes + done,
            .offset = batch.address - ELRANGE_START + done,
            .length = batch.length - done,
            .secinfo = (uint64_t)&secinfo,
            .flags = batch.is_measured ? SGX_PAGE_MEASURE : 0,
        };
        int error = ioctl(sgx_device, SGX_IOC_ENCLAVE_ADD_PAGES, &add) == 0 ? 0 : errno;
        if (error == EBUSY) { /* the first page is there */
            done += PAGE_SIZE;
            if (done == batch.length) {
                return -EEXIST;
            }
            continue;
        }
        if ((error && error != EINTR && error != EAGAIN) || add.count > batch.length - done || tries == TRIES_MAX) {
            return fail_to("filled", error ? error : EIO);
        }
        done += add.count;
        tries = add.count ? 0 : tries;
    }
    batch.length = 0;
    return 0;
}

static bool is_next(uint64_t address, uint64_t flags, bool is_measured)
{
    return batch.length > 0 && batch.length < BATCH_SIZE && batch.address + batch.length == address && batch.flags == flags && batch.is_measured == is_measured;
}

static int remember_rights(uint64_t address, uint64_t flags)
{
    uint32_t rights = (flags & SECINFO_TYPE) == SECINFO_TCS ? SECINFO_R | SECINFO_W : flags & SECINFO_RIGHTS;
    if (run_count > 0 && runs[run_count - 1].end == address && runs[run_count - 1].rights == rights) {
        runs[run_count - 1].end += PAGE_SIZE;
        return 0;
    }
    if (run_count == run_room) {
        size_t room = run_room ? 2 * run_room : 64;
        struct run *more = realloc(runs, room * sizeof(*runs));
        if (!more) {
            return fail(-ENOMEM, "there is no memory for the enclave");
        }
        runs = more;
        run_room = room;
    }
    runs[run_count++] = (struct run){.start = address, .end = address + PAGE_SIZE, .rights = rights};
    return 0;
}

int sgx_add_page(uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured)
{
    if (!is_next(address, flags, is_measured)) {
        int error = add_batch();
        if (error) {
            return error;
        }
        batch.address = address;
        batch.flags = flags;
        batch.is_measured = is_measured;
    }
    if (content) {
        memcpy(batch.bytes + batch.length, content, PAGE_SIZE);
    } else {
        memset(batch.bytes + batch.length, 0, PAGE_SIZE);
    }
    batch.length += PAGE_SIZE;
    return remember_rights(address, flags);
}

static int map(uint64_t start, uint64_t end, uint32_t rights)
{
    if (mmap((void *)start, end - start, host_protection(rights), MAP_SHARED | MAP_FIXED, sgx_device, 0) != MAP_FAILED) {
        return 0;
    }
    return fail(-errno, "the enclave's pages cannot be mapped: %s%s", strerror(errno),
                errno == EPERM    ? "; is the file system of " SGX_DEVICE " mounted noexec?"
                : errno == EACCES ? "; does this process run as with setarch -X (READ_IMPLIES_EXEC)?"
                                  : "");
}

/*
 * Dynamic memory is mapped once, with all rights that a page there may have: what a program may do is in the EPCM. The kernel never merges mappings of
 * enclaves, so changing them with each protection would use up vm.max_map_count.
 */
static int map_all(void)
{
    int error = map(DYNAMIC_START, APPLICATION_END, SECINFO_R | SECINFO_W | SECINFO_X);
    if (!error) {
        error = map(LIBOS_DYNAMIC_START, DYNAMIC_END, SECINFO_R | SECINFO_W);
    }
    for (size_t index = 0; !error && index < run_count; index++) {
        error = map(runs[index].start, runs[index].end, runs[index].rights);
    }
    return error;
}

static int initialise(const struct sigstruct *sigstruct)
{
    const struct sgx_enclave_init init = {.sigstruct = (uint64_t)sigstruct};
    int error = 0;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        error = ioctl(sgx_device, SGX_IOC_ENCLAVE_INIT, &init) == 0 ? 0 : errno;
        if (error != EINTR && error != EAGAIN) {
            break;
        }
    }
    if (error == EPERM) {
        return fail(-error, "the CPU refuses the enclave (EINIT): its measurement, attributes or signature are not what the SIGSTRUCT says, or launch "
                            "control keeps its signer out");
    }
    if (error == EINVAL) {
        return fail(-error, "the SIGSTRUCT demands attributes that this CPU does not have");
    }
    return error ? fail_to("initialised", error) : 0;
}

int sgx_initialise(struct enclave *enclave, const struct sigstruct *sigstruct)
{
    (void)enclave;
    int error = add_batch();
    if (error == -EEXIST) {
        error = fail(-ENOEXEC, "the enclave file is malformed: a page is there twice");
    }
    if (!error) {
        error = initialise(sigstruct);
    }
    munmap(batch.bytes, BATCH_SIZE);
    batch.bytes = NULL;
    return error ? error : map_all();
}
