/*
 * Dynamic memory, as the SGX driver of the kernel would do it with EAUG, EMODPR, EMODT and EREMOVE. The EPCM says what is possible: a request that
 * does not fit the state of a page is refused before anything is changed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "log.h"
#include "sim.h"

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

/* As the driver answers EMODPR and EMODT: -EFAULT, with the error code of the leaf, for a page that is not there or is being changed. */
static int find_flaw(uint64_t address, uint64_t length, uint16_t changing)
{
    if (!states_are(address, length, EPCM_VALID, EPCM_VALID)) {
        return -EFAULT;
    }
    if (!states_are(address, length, EPCM_TRIM, 0)) {
        return -EINVAL;
    }
    return states_are(address, length, changing, 0)
               ? 0
               : fail(-EFAULT, "EMODPR or EMODT: SGX_PAGE_NOT_MODIFIABLE (%u): a page is pending or modified", SGX_PAGE_NOT_MODIFIABLE);
}

int sim_add_memory(uint64_t address, uint64_t length)
{
    const uint16_t added = EPCM_VALID | EPCM_PENDING | SECINFO_R | SECINFO_W | ((SECINFO_R | SECINFO_W) << EPCM_TABLE_SHIFT);
    if (!states_are(address, length, EPCM_VALID, 0)) {
        return -EINVAL;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) = added; /* what is not accepted cannot be touched, and could not before */
    }
    return 0;
}

/* `kept`: what EMODPR leaves in the EPCM. `restricted`: EPCM_PR if it was done. */
static int set_rights(uint64_t address, uint64_t length, uint32_t rights, uint16_t kept, uint16_t restricted)
{
    int error = find_flaw(address, length, EPCM_PENDING | EPCM_MODIFIED);
    if (error) {
        return error;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        uint16_t entry = *epcm_entry(page) & (uint16_t) ~(EPCM_TABLE_RIGHTS | (EPCM_RIGHTS & ~kept));
        *epcm_entry(page) = entry | restricted | (uint16_t)(rights << EPCM_TABLE_SHIFT);
    }
    return sim_apply_rights(address, length) == 0 ? 0 : -ENOMEM;
}

int sim_protect_memory(uint64_t address, uint64_t length, uint32_t rights)
{
    return set_rights(address, length, rights, EPCM_RIGHTS, 0);
}

/* EMODPR sets PR whether anything was taken or not. */
int sim_restrict_memory(uint64_t address, uint64_t length, uint32_t rights)
{
    return set_rights(address, length, rights, (uint16_t)rights, EPCM_PR);
}

int sim_trim_memory(uint64_t address, uint64_t length)
{
    int error = find_flaw(address, length, EPCM_PENDING | EPCM_MODIFIED);
    if (error) {
        return error;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) = EPCM_VALID | EPCM_TRIM | EPCM_MODIFIED;
    }
    return sim_apply_rights(address, length) == 0 ? 0 : -ENOMEM;
}

int sim_remove_memory(uint64_t address, uint64_t length)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (!states_are(address, length, EPCM_VALID, EPCM_VALID)) {
        return -EFAULT;
    }
    if (!states_are(address, length, EPCM_TRIM | EPCM_MODIFIED, EPCM_TRIM)) {
        return -EPERM;
    }
    if (mmap((void *)address, length, PROT_NONE, flags, -1, 0) == MAP_FAILED) {
        return -errno;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) = 0;
    }
    return 0;
}
