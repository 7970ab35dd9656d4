/*
 * Dynamic memory, as the SGX driver of the kernel would do it with EAUG, EMODPR, EMODT and EREMOVE. The EPCM says what is possible: a request that
 * does not fit the state of a page is refused before anything is changed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "enclave.h"
#include "ocall.h"

#define DYNAMIC_START APPLICATION_START
#define DYNAMIC_END LIBOS_DYNAMIC_END

static bool range_is_valid(uint64_t address, uint64_t length)
{
    return address % PAGE_SIZE == 0 && length % PAGE_SIZE == 0 && length > 0 && address >= DYNAMIC_START && address < DYNAMIC_END &&
           length <= DYNAMIC_END - address;
}

/* Are the states of all pages, as far as `mask` goes, as wanted? */
static bool states_are(uint64_t address, uint64_t length, uint16_t mask, uint16_t wanted)
{
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        if ((*epcm_entry(page) & mask) != wanted) {
            return false;
        }
    }
    return true;
}

int64_t ocall_memory_add(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    const uint16_t added = EPCM_VALID | EPCM_PENDING | SECINFO_R | SECINFO_W | ((SECINFO_R | SECINFO_W) << EPCM_TABLE_SHIFT);
    if (!range_is_valid(address, length) || !states_are(address, length, EPCM_VALID, 0)) {
        return -EINVAL;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) = added; /* what is not accepted cannot be touched, and could not before */
    }
    return 0;
}

/* The page tables get the new rights. Where the EPCM has more, EMODPR takes them away. */
int64_t ocall_memory_protect(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    uint16_t rights = call->arguments[2] & EPCM_RIGHTS;
    if (!range_is_valid(address, length) || rights != call->arguments[2] ||
        !states_are(address, length, EPCM_VALID | EPCM_PENDING | EPCM_MODIFIED | EPCM_TRIM, EPCM_VALID)) {
        return -EINVAL;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        uint16_t entry = *epcm_entry(page);
        uint16_t restricted = (entry & EPCM_RIGHTS & ~rights) ? EPCM_PR : 0;
        entry &= (uint16_t) ~(EPCM_TABLE_RIGHTS | (EPCM_RIGHTS & ~rights));
        *epcm_entry(page) = entry | restricted | (uint16_t)(rights << EPCM_TABLE_SHIFT);
    }
    return enclave_apply_rights(address, length) == 0 ? 0 : -ENOMEM;
}

int64_t ocall_memory_trim(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    if (!range_is_valid(address, length) || !states_are(address, length, EPCM_VALID | EPCM_PENDING | EPCM_TRIM, EPCM_VALID)) {
        return -EINVAL;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) = EPCM_VALID | EPCM_TRIM | EPCM_MODIFIED;
    }
    return enclave_apply_rights(address, length) == 0 ? 0 : -ENOMEM;
}

int64_t ocall_memory_remove(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    if (!range_is_valid(address, length) ||
        !states_are(address, length, EPCM_VALID | EPCM_TRIM | EPCM_MODIFIED, EPCM_VALID | EPCM_TRIM)) {
        return -EINVAL;
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (mmap((void *)address, length, PROT_NONE, flags, -1, 0) == MAP_FAILED) {
        return -errno;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) = 0;
    }
    return 0;
}
