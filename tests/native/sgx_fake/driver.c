/* /dev/sgx_enclave: ioctls, mappings, page faults. The order of checks is the kernel's. */
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

static int device = -1;
static uint64_t used, added_start = SPACE, added_end;
static uint32_t is_in_ioctl;
static struct mapping {
    uint64_t start, end;
    int protection;
} mappings[8192];
static unsigned mapping_count;

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

/* Mappings. */

static int protection_of(uint64_t page)
{
    for (unsigned index = mapping_count; index > 0; index--) {
        if (page >= mappings[index - 1].start && page < mappings[index - 1].end) {
            return mappings[index - 1].protection;
        }
    }
    return -1;
}

void apply(uint64_t page)
{
    uint16_t entry = *page_of(page);
    int protection = protection_of(page);
    int rights = 0;
    if (protection > 0 && (entry & (P_VALID | P_PENDING | P_MODIFIED | P_TYPE)) == (P_VALID | P_REG)) {
        rights = protection & entry & P_RIGHTS; /* PROT_READ, PROT_WRITE, PROT_EXEC have the same bits */
    }
    if (protection >= 0 && mprotect((void *)page, PAGE, rights) != 0) {
        refuse("mprotect: %d", errno);
    }
}

static bool has_room(void)
{
    uint64_t limit = setting("FAKE_EPC", SPACE);
    return used < limit;
}

enum verdict page_fault(struct exception *fault)
{
    uint64_t page = fault->address & ~(PAGE - 1);
    enum verdict verdict = REFUSED;
    take();
    uint16_t *entry = page_of(page);
    int protection = protection_of(page), wanted = fault->error & FAULT_W ? P_W : fault->error & FAULT_I ? P_X : P_R;
    fault->error &= ~(uint32_t)(FAULT_P | FAULT_SGX);
    if (protection < 0 || !(protection & wanted)) {
        fault->error |= *entry & P_VALID ? FAULT_P : 0;
    } else if (!(*entry & P_VALID)) {
        if (is_initialized && has_room() && !lies("no-page")) {
            used++;
            count(N_EAUG);
            *entry = P_VALID | P_PENDING | P_REG | P_R | P_W | P_RIGHTS << P_MAX_SHIFT;
            verdict = AGAIN;
        }
    } else if ((*entry & (P_PENDING | P_MODIFIED | P_TYPE)) != P_REG || !(*entry & wanted)) {
        fault->error |= FAULT_P | FAULT_SGX;
    } else {
        apply(page);
        verdict = AGAIN;
    }
    give();
    return verdict;
}

/* A system call reads the first byte of each part. Of pages of the enclave it gets ones, once the kernel has served the fault; -EFAULT, or a part of what was
 * asked for, where that cannot be done. */
ssize_t fake_pwritev(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    static uint8_t ones[PAGE];
    struct iovec given[1024];
    int good = 0;
    memset(ones, 0xFF, sizeof(ones));
    for (; good < count; good++) {
        uint64_t address = (uint64_t)parts[good].iov_base;
        given[good] = parts[good];
        if (address >= secs.base && address - secs.base < secs.size) {
            struct exception fault = {V_PF, FAULT_U, address};
            if (parts[good].iov_len > PAGE - address % PAGE) {
                refuse("a system call reads several pages of the enclave");
            }
            bool is_there = *page_of(address) & P_VALID;
            if (!is_there && page_fault(&fault) != AGAIN) {
                break;
            }
            given[good].iov_base = ones;
        }
    }
    if (good == 0 && count > 0) {
        errno = EFAULT;
        return -1;
    }
    return pwritev(descriptor, given, good, offset);
}

void driver_free(uint64_t page)
{
    used--;
    count(N_EREMOVE);
    apply(page);
    if (fallocate(device, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)page, PAGE) != 0) {
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
    const struct raw_secs *given = (const struct raw_secs *)argument[0];
    if (is_created || (given->size & (given->size - 1)) != 0) {
        return EINVAL;
    }
    bool is_good = (uint64_t)given % PAGE == 0 && given->size >= 2 * PAGE && given->size <= SPACE && given->base % given->size == 0 && given->ssa_pages > 0 &&
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

static bool add_control(uint64_t address)
{
    const struct raw_tcs *tcs = (const struct raw_tcs *)(store + address);
    if (tcs->flags & ~1ULL || tcs->ossa % PAGE || tcs->ofsbase % PAGE || tcs->ogsbase % PAGE || tcs->oentry >= secs.size ||
        !all_zero(tcs->reserved, sizeof(tcs->reserved)) || control_count == sizeof(controls) / sizeof(*controls)) {
        return false;
    }
    controls[control_count++] = (struct thread_control){
        .address = address, .ossa = tcs->ossa, .oentry = tcs->oentry, .ofsbase = tcs->ofsbase, .ogsbase = tcs->ogsbase, .nssa = tcs->nssa,
        .epoch = EPOCH_OUTSIDE,
    };
    return true;
}

static int add_page(uint64_t address, uint64_t source, uint64_t flags, bool is_measured)
{
    uint16_t *entry = page_of(address);
    uint64_t offset = address - secs.base;
    bool is_tcs = (flags & 0xFF00) == P_TCS;
    if (!has_room()) {
        return ENOMEM;
    }
    if (*entry & P_VALID) {
        return EBUSY;
    }
    memcpy(store + address, (const void *)source, PAGE);
    if (is_tcs && !add_control(address)) {
        return EIO;
    }
    *entry = (uint16_t)(P_VALID | (flags & P_RIGHTS) | (is_tcs ? P_TCS : P_REG) | (is_tcs ? P_R | P_W : flags & P_RIGHTS) << P_MAX_SHIFT);
    used++;
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
    const uint64_t *secinfo = (const uint64_t *)argument[3];
    int error = 0;
    if (!is_created || is_initialized || source % PAGE || !is_range(offset, length)) {
        return EINVAL;
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
    return error;
}

/* SGX_IOC_ENCLAVE_INIT: EINIT. */

#define SIGSTRUCT_SIZE 1808
#define SGX_INVALID_EINITTOKEN 16U
#define SIGSTRUCT_VENDOR 16
#define SIGSTRUCT_PRODUCT 1024 /* ISVPRODID, ISVSVN */

static int init(const uint64_t *argument)
{
    const uint8_t *sigstruct = (const uint8_t *)argument[0];
    uint32_t vendor, verdict;
    if (!is_created || is_initialized) {
        return EINVAL;
    }
    memcpy(&vendor, sigstruct + SIGSTRUCT_VENDOR, sizeof(vendor));
    if (vendor != 0 && vendor != 0x8086) {
        return EINVAL;
    }
    if (secs.flags & ~ATTRIBUTES_UNPRIVILEGED) {
        return EACCES;
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

int fake_ioctl(int descriptor, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (descriptor != device) {
        return ioctl(descriptor, request, argument);
    }
    count(N_IOCTL);
    if (__atomic_exchange_n(&is_in_ioctl, 1, __ATOMIC_ACQ_REL)) {
        errno = EBUSY;
        return -1;
    }
    int error = serve((unsigned)request, argument); /* the kernel takes 32 bits */
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
    device = memfd_create("fake-epc", MFD_CLOEXEC);
    if (device < 0 || ftruncate(device, (off_t)SPACE) != 0) {
        refuse("memfd: %d", errno);
    }
    if (!pages) {
        pages = mmap(NULL, SPACE / PAGE * sizeof(*pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    store = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, device, 0);
    if (store == MAP_FAILED || pages == MAP_FAILED) {
        refuse("mmap: %d", errno);
    }
    return device;
}

void *fake_mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    if (descriptor < 0 || descriptor != device) {
        return mmap(address, length, protection, flags, descriptor, offset);
    }
    uint64_t start = (uint64_t)address, end = start + length;
    if (!(flags & MAP_SHARED) || !(flags & MAP_FIXED)) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    if ((protection & PROT_EXEC) && is_set("FAKE_KERNEL", "noexec")) {
        errno = EPERM;
        return MAP_FAILED;
    }
    bool is_allowed = !is_initialized || (start >= secs.base && end <= secs.base + secs.size);
    for (uint64_t page = start; page < end && is_allowed; page += PAGE) {
        if (page >= added_start && page < added_end && (*page_of(page) & P_VALID)) {
            is_allowed = !(protection & ~(*page_of(page) >> P_MAX_SHIFT));
        } else if (page < added_start && end > added_start) {
            page = added_start - PAGE;
        }
    }
    if (!is_allowed) {
        errno = EACCES;
        return MAP_FAILED;
    }
    if (mapping_count == sizeof(mappings) / sizeof(*mappings)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *got = mmap(address, length, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, device, (off_t)start);
    if (got == MAP_FAILED) {
        return got;
    }
    mappings[mapping_count++] = (struct mapping){start, end, lies("read-only") ? protection & ~PROT_WRITE : protection};
    for (uint64_t page = start; page < end && page >= added_start && page < added_end; page += PAGE) {
        apply(page);
    }
    return got;
}
