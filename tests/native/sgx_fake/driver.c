/* /dev/sgx_enclave: its ioctls up to EINIT. The order of checks is the kernel's. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fake.h"

#define DEVICE "/dev/sgx_enclave"

#define ATTRIBUTES_KNOWN 0xF7ULL /* INIT DEBUG MODE64 PROVISIONKEY EINITTOKENKEY CET KSS */
#define ATTRIBUTE_INIT 1ULL
#define ATTRIBUTE_MODE64 4ULL
#define ATTRIBUTES_UNPRIVILEGED 0x86ULL /* DEBUG MODE64 KSS: what the driver gives to everybody */

uint16_t *pages;
uint8_t *store;
struct thread_control controls[4096];
unsigned control_count;
struct secs_fields secs;
uint8_t measurement[32], signer[32];
uint16_t product[2];
bool is_created, is_initialized;

int fake_device = -1;
uint64_t added_start = SPACE, added_end;
static uint64_t used;
static uint32_t is_in_ioctl;

static uint32_t lock;

void take(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
        syscall(SYS_sched_yield);
    }
}

void give(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static bool copy_from(void *to, uint64_t from, size_t size)
{
    struct iovec here = {to, size}, there = {(void *)from, size};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size;
}

static bool copy_to(uint64_t to, const void *from, size_t size)
{
    struct iovec here = {(void *)from, size}, there = {(void *)to, size};
    return process_vm_writev(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size;
}

bool driver_take(void)
{
    bool has_room = used < setting("FAKE_EPC", SPACE);
    used += has_room;
    return has_room;
}

void driver_free(uint64_t page)
{
    used--;
    count(N_EREMOVE);
    apply(page);
    if (fallocate(fake_device, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)page, PAGE) != 0) {
        refuse("fallocate: %d", errno);
    }
}

/* SGX_IOC_ENCLAVE_CREATE: ECREATE. */

struct raw_secs {
    uint64_t size, base;
    uint32_t ssa_pages, misc;
    uint8_t reserved1[24];
    uint64_t flags, xfrm;
    uint8_t zero[4096 - 64];
};

bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        if (bytes[index]) {
            return false;
        }
    }
    return true;
}

#define SSA_NEEDED (2688U + 16U + 184U) /* XSAVE area with AVX-512, EXINFO, GPRSGX */

static int create(const uint64_t *argument)
{
    static struct raw_secs copy;
    const struct raw_secs *given = &copy;
    if (is_created) {
        return EINVAL;
    }
    if (!copy_from(&copy, argument[0], sizeof(copy))) {
        return EFAULT;
    }
    if (!given->size || (given->size & (given->size - 1)) != 0) {
        return EINVAL;
    }
    bool is_good = given->size >= 2 * PAGE && given->size <= SPACE && given->base % given->size == 0 && given->ssa_pages > 0 &&
                   given->ssa_pages * PAGE >= SSA_NEEDED && !(given->misc & ~1U) && all_zero(given->reserved1, sizeof(given->reserved1)) &&
                   !(given->flags & ~ATTRIBUTES_KNOWN) && !(given->flags & ATTRIBUTE_INIT) && (given->flags & ATTRIBUTE_MODE64) &&
                   (given->xfrm & 3) == 3 && !(given->xfrm & ~cpu_features()) && ((given->xfrm & 0xE0) == 0 || (given->xfrm & 0xE4) == 0xE4) &&
                   all_zero(given->zero, sizeof(given->zero));
    if (!is_good) {
        return EIO;
    }
    secs = (struct secs_fields){given->size, given->base, given->ssa_pages, given->misc, given->flags, given->xfrm};
    judge_record("ECREATE", &given->ssa_pages, 4, &given->size, 8);
    is_created = true;
    return 0;
}

/* SGX_IOC_ENCLAVE_ADD_PAGES: EADD, EEXTEND. */

bool is_range(uint64_t offset, uint64_t length)
{
    return offset % PAGE == 0 && length && length % PAGE == 0 && offset + length >= offset && offset + length - PAGE < secs.size;
}

struct raw_tcs {
    uint64_t state, flags, ossa;
    uint32_t cssa, nssa;
    uint64_t oentry, aep, ofsbase, ogsbase;
    uint32_t fslimit, gslimit;
    uint8_t reserved[4096 - 72];
};

/* EADD looks at reserved bytes alone: at the rest EENTER does. */
static bool add_control(uint64_t address)
{
    struct raw_tcs *tcs = (struct raw_tcs *)(store + address);
    if (!all_zero(tcs->reserved, sizeof(tcs->reserved)) || control_count == sizeof(controls) / sizeof(*controls)) {
        return false;
    }
    tcs->state = tcs->cssa = tcs->aep = 0;
    tcs->flags &= ~1ULL; /* DBGOPTIN */
    controls[control_count++] = (struct thread_control){
        .address = address, .flags = tcs->flags, .ossa = tcs->ossa, .oentry = tcs->oentry, .ofsbase = tcs->ofsbase, .ogsbase = tcs->ogsbase,
        .nssa = tcs->nssa, .epoch = EPOCH_OUTSIDE,
    };
    return true;
}

static int add_page(uint64_t address, uint64_t source, uint64_t flags, bool is_measured)
{
    uint16_t *entry = page_of(address);
    uint64_t offset = address - secs.base;
    bool is_tcs = (flags & 0xFF00) == P_TCS;
    if (!driver_take()) {
        return ENOMEM;
    }
    int error = *entry & P_VALID ? EBUSY : !copy_from(store + address, source, PAGE) ? EFAULT : is_tcs && !add_control(address) ? EIO : 0;
    if (error) {
        used--;
        return error;
    }
    *entry = (uint16_t)(P_VALID | (flags & P_RIGHTS) | (is_tcs ? P_TCS : P_REG) | (is_tcs ? P_R | P_W : flags & P_RIGHTS) << P_MAX_SHIFT);
    added_start = address < added_start ? address : added_start;
    added_end = address + PAGE > added_end ? address + PAGE : added_end;
    judge_record("EADD", &offset, 8, &flags, 8);
    for (uint64_t at = 0; is_measured && at < PAGE; at += 256) {
        uint64_t block = offset + at;
        judge_record("EEXTEND", &block, 8, "", 0);
        judge_measure(store + address + at, 256);
    }
    return 0;
}

static int add(uint64_t *argument)
{
    uint64_t source = argument[0], offset = argument[1], length = argument[2], flags = argument[4], done = 0;
    uint64_t secinfo[8];
    int error = 0;
    if (!is_created || is_initialized || source % PAGE || !is_range(offset, length)) {
        return EINVAL;
    }
    if (!copy_from(secinfo, argument[3], sizeof(secinfo))) {
        return EFAULT;
    }
    uint64_t type = secinfo[0] & 0xFF00;
    if ((type != P_REG && type != P_TCS) || (secinfo[0] & (P_R | P_W)) == P_W || (type == P_TCS && secinfo[0] & P_RIGHTS) ||
        secinfo[0] & ~(0xFF00ULL | P_RIGHTS) || !all_zero((const uint8_t *)(secinfo + 1), 56)) {
        return EINVAL;
    }
    static unsigned calls;
    uint64_t most = setting("FAKE_PARTIAL", 0);
    if (most && calls++ % 3 == 0) { /* a signal before the first page */
        argument[5] = 0;
        return EINTR;
    }
    for (; done < length && !error && (!most || done < most * PAGE); done += error ? 0 : PAGE) {
        error = add_page(secs.base + offset + done, source + done, secinfo[0], flags & 1);
    }
    argument[5] = done;
    if (!error && done < length && calls % 5 == 2) { /* stopped while the kernel looked for a page: it begins again by itself, and finds the first page there */
        argument[5] = 0;
        return EBUSY;
    }
    bool is_in_vain = done < length && calls % 2; /* a signal while the kernel looks for a page: some are done, and it is an error */
    return !error && is_in_vain ? EINTR : error;
}

/* SGX_IOC_ENCLAVE_INIT: EINIT. */

#define SIGSTRUCT_SIZE 1808
#define SGX_INVALID_EINITTOKEN 16U
#define SIGSTRUCT_VENDOR 16
#define SIGSTRUCT_MISCSELECT 900 /* and its mask */
#define SIGSTRUCT_ATTRIBUTES 928 /* and their mask */
#define SIGSTRUCT_PRODUCT 1024 /* ISVPRODID, ISVSVN */

/* What SIGSTRUCT demands, and CPUID does not promise to enclaves: the driver asks before the CPU does. */
static bool demands_in_vain(const uint8_t *sigstruct)
{
    uint32_t misc[2];
    uint64_t attributes[4]; /* flags, XFRM, and the masks of both */
    memcpy(misc, sigstruct + SIGSTRUCT_MISCSELECT, sizeof(misc));
    memcpy(attributes, sigstruct + SIGSTRUCT_ATTRIBUTES, sizeof(attributes));
    return (attributes[0] & attributes[2] & ~(ATTRIBUTES_KNOWN & ~ATTRIBUTE_INIT)) || (misc[0] & misc[1] & ~1U) ||
           (attributes[1] & attributes[3] & ~cpu_features());
}

static int init(const uint64_t *argument)
{
    uint8_t sigstruct[SIGSTRUCT_SIZE];
    uint32_t vendor, verdict;
    if (!is_created || is_initialized) {
        return EINVAL;
    }
    if (!copy_from(sigstruct, argument[0], sizeof(sigstruct))) {
        return EFAULT;
    }
    memcpy(&vendor, sigstruct + SIGSTRUCT_VENDOR, sizeof(vendor));
    if (vendor != 0 && vendor != 0x8086) {
        return EINVAL;
    }
    if (secs.flags & ~ATTRIBUTES_UNPRIVILEGED) {
        return EACCES;
    }
    if (demands_in_vain(sigstruct)) {
        return EINVAL;
    }
    static unsigned calls;
    if (setting("FAKE_PARTIAL", 0) && calls++ == 0) {
        return EINTR;
    }
    uint64_t own[3] = {secs.flags, secs.xfrm, secs.misc};
    struct iovec parts[] = {{own, sizeof(own)}, {(void *)sigstruct, SIGSTRUCT_SIZE}};
    judge_send(2, parts, 2);
    judge_receive(&verdict, sizeof(verdict));
    judge_receive(measurement, sizeof(measurement));
    judge_receive(signer, sizeof(signer));
    if (verdict != 0 || is_set("FAKE_KERNEL", "launch-control")) {
        dprintf(STDERR_FILENO, "fake: EINIT error %u\n", verdict ? verdict : SGX_INVALID_EINITTOKEN);
        return EPERM;
    }
    memcpy(product, sigstruct + SIGSTRUCT_PRODUCT, sizeof(product));
    secs.flags |= ATTRIBUTE_INIT;
    is_initialized = true;
    return 0;
}

static int serve(unsigned long request, uint64_t *argument)
{
    switch (request) {
    case REQUEST_CREATE:
        return create(argument);
    case REQUEST_ADD:
        return add(argument);
    case REQUEST_INIT:
        return init(argument);
    case REQUEST_RESTRICT:
    case REQUEST_TYPES:
    case REQUEST_REMOVE:
        return is_set("FAKE_KERNEL", "5.19") ? ENOTTY : driver_dynamic(request, argument);
    default:
        return ENOTTY;
    }
}

#define ARGUMENT_WORDS 6

int fake_ioctl(int descriptor, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (descriptor != fake_device) {
        return ioctl(descriptor, request, argument);
    }
    count(N_IOCTL);
    if (__atomic_exchange_n(&is_in_ioctl, 1, __ATOMIC_ACQ_REL)) {
        errno = EBUSY;
        return -1;
    }
    uint64_t copy[ARGUMENT_WORDS] = {0};
    size_t size = request >> 16 & 0x3FFF;
    bool is_readable = size <= sizeof(copy) && copy_from(copy, (uint64_t)argument, size);
    int error = is_readable ? serve((unsigned)request, copy) : EFAULT; /* the kernel takes 32 bits */
    if (is_readable && request >> 30 & 2 && !copy_to((uint64_t)argument, copy, size)) {
        error = EFAULT;
    }
    __atomic_store_n(&is_in_ioctl, 0, __ATOMIC_RELEASE);
    errno = error;
    return error ? -1 : 0;
}

int fake_access(const char *path, int mode)
{
    if (strcmp(path, DEVICE) == 0) {
        errno = ENOENT;
        return is_set("FAKE_KERNEL", "none") ? -1 : 0;
    }
    return access(path, mode);
}

int fake_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (strcmp(path, DEVICE) != 0) {
        return open(path, flags, mode);
    }
    if (is_set("FAKE_KERNEL", "forbidden") || (flags & O_ACCMODE) != O_RDWR) {
        errno = EACCES;
        return -1;
    }
    kernel_start();
    fake_device = memfd_create("fake-epc", MFD_CLOEXEC);
    if (fake_device < 0 || ftruncate(fake_device, (off_t)SPACE) != 0) {
        refuse("memfd: %d", errno);
    }
    if (!pages) {
        pages = mmap(NULL, SPACE / PAGE * sizeof(*pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    store = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fake_device, 0);
    if (store == MAP_FAILED || pages == MAP_FAILED) {
        refuse("mmap: %d", errno);
    }
    return fake_device;
}
