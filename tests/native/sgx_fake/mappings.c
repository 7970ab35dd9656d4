/* Mappings of /dev/sgx_enclave, and the page faults there. The order of checks is the kernel's. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fake.h"

static struct mapping {
    uint64_t start, end;
    int protection;
} mappings[8192];
static unsigned mapping_count;

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
        static unsigned calls;
        if (is_initialized && setting("FAKE_PARTIAL", 0) && calls++ % 2 == 0) {
            verdict = AGAIN; /* no page is free at once: the kernel lets the thread try again */
        } else if (is_initialized && !lies("no-page") && driver_take()) {
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

/* The kernel tries again by itself what it could not do at once. */
static bool bring(uint64_t address)
{
    while (!(*page_of(address) & P_VALID)) {
        struct exception fault = {V_PF, FAULT_U, address};
        if (page_fault(&fault) != AGAIN) {
            return false;
        }
    }
    return true;
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
            if (parts[good].iov_len > PAGE - address % PAGE) {
                refuse("a system call reads several pages of the enclave");
            }
            if (!bring(address)) {
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

static bool reading_implies_executing(void)
{
    return is_set("FAKE_KERNEL", "setarch -X") || personality(0xFFFFFFFF) & READ_IMPLIES_EXEC;
}

void *fake_mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    if (descriptor < 0 || descriptor != fake_device) {
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
    bool is_allowed = (!is_initialized || (start >= secs.base && end <= secs.base + secs.size)) && !reading_implies_executing();
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
    void *got = mmap(address, length, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fake_device, (off_t)start);
    if (got == MAP_FAILED) {
        return got;
    }
    mappings[mapping_count++] = (struct mapping){start, end, lies("read-only") ? protection & ~PROT_WRITE : protection};
    for (uint64_t page = start; page < end && page >= added_start && page < added_end; page += PAGE) {
        apply(page);
    }
    return got;
}
