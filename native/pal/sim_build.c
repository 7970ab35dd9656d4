/* ECREATE, EADD and EINIT of the simulation: the pages lie at their addresses in this process. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "crypto.h"
#include "elrange.h"
#include "log.h"
#include "sim.h"
#include "sim_rules.h"

#define PAGES_IN_ELRANGE (ELRANGE_SIZE / PAGE_SIZE)

uint16_t *epcm;
uint64_t sim_td_offset;
bool sim_is_initialised;

/* Gate mode: the rights of a TCS's own pages, from behind the TD before it to its TD, are set when the TCS is first used. Guards lie among them, and each
 * change of rights costs a system call, an area of the kernel's, and its end: that is not worth it for the threads that never come. */
static uint64_t hidden_start;
static bool is_shown[TCS_MAX];

/* In trap mode, EINIT compares by itself. */
static struct sha256 measurement;
static const uint8_t ZEROS[PAGE_SIZE];

/* The simulated CPU keeps TCS pages for itself: they stay readable and writable for the PAL. */
static uint32_t rights_of(uint16_t entry)
{
    return (entry & EPCM_TCS) ? SECINFO_R | SECINFO_W : epcm_effective_rights(entry);
}

int sim_apply_rights(uint64_t address, uint64_t length)
{
    uint64_t start = address;
    while (start < address + length) {
        uint32_t rights = rights_of(*epcm_entry(start));
        uint64_t end = start + PAGE_SIZE;
        while (end < address + length && rights_of(*epcm_entry(end)) == rights) {
            end += PAGE_SIZE;
        }
        if (mprotect((void *)start, end - start, host_protection(rights)) != 0) {
            return -errno;
        }
        start = end;
    }
    return 0;
}

static bool all_pages(uint64_t address, uint64_t length, uint16_t wanted)
{
    if (address % PAGE_SIZE != 0 || address >= ELRANGE_SIZE || length > ELRANGE_SIZE - address) {
        return false;
    }
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        if ((*epcm_entry(page) & (wanted | EPCM_TCS)) != wanted) {
            return false;
        }
    }
    return true;
}

/* What EENTER would refuse later, and what gate mode relies on. */
static int check_threads(const struct enclave *enclave)
{
    for (uint32_t index = 0; index < enclave->tcs_count; index++) {
        const struct tcs *tcs = (const struct tcs *)enclave->tcs_addresses[index];
        uint64_t td_offset = tcs->ogsbase - (uint64_t)tcs;
        if (tcs->nssa != 2 || sim_tcs_flaw(tcs) || sim_tcs_address_flaw(tcs) ||
            !all_pages(tcs->ossa, tcs->nssa * enclave->ssa_frame_size, EPCM_VALID | SECINFO_R | SECINFO_W) ||
            !all_pages(tcs->ogsbase, PAGE_SIZE, EPCM_VALID | SECINFO_R | SECINFO_W) ||
            !all_pages(tcs->oentry & ~(PAGE_SIZE - 1), PAGE_SIZE, EPCM_VALID | SECINFO_R | SECINFO_X) ||
            (index > 0 && td_offset != sim_td_offset)) {
            return fail(-ENOEXEC, "the enclave file is malformed: thread %u is impossible", index);
        }
        sim_td_offset = td_offset;
    }
    return 0;
}

static uint64_t td_end(const struct enclave *enclave, uint32_t index)
{
    return enclave->tcs_addresses[index] + sim_td_offset + PAGE_SIZE;
}

/* Where the pages of the second thread begin; the end of the image if threads do not lie one behind the other. */
static uint64_t second_thread(const struct enclave *enclave)
{
    for (uint32_t index = 1; index < enclave->tcs_count; index++) {
        if (td_end(enclave, index) <= td_end(enclave, index - 1)) {
            return enclave->image_end;
        }
    }
    uint64_t start = td_end(enclave, 0);
    bool is_apart = !sim_traps_enclu && sim_td_offset % PAGE_SIZE == 0 && sim_td_offset < ELRANGE_SIZE && start > enclave->image_start;
    return is_apart && td_end(enclave, enclave->tcs_count - 1) <= enclave->image_end ? start : enclave->image_end;
}

static int apply_first_rights(const struct enclave *enclave)
{
    hidden_start = second_thread(enclave);
    memset(is_shown, 0, sizeof(is_shown));
    uint64_t hidden_end = hidden_start < enclave->image_end ? td_end(enclave, enclave->tcs_count - 1) : hidden_start;
    if (hidden_start < hidden_end && mprotect((void *)hidden_start, hidden_end - hidden_start, PROT_NONE) != 0) {
        return -errno;
    }
    int error = sim_apply_rights(enclave->image_start, hidden_start - enclave->image_start);
    return error ? error : sim_apply_rights(hidden_end, enclave->image_end - hidden_end);
}

int sim_show_thread(const struct tcs *tcs)
{
    uint32_t index = 0;
    while (index < sim_enclave->tcs_count && sim_enclave->tcs_addresses[index] != (uint64_t)tcs) {
        index++;
    }
    if (hidden_start == sim_enclave->image_end || index == 0 || index == sim_enclave->tcs_count || is_shown[index]) {
        return 0;
    }
    uint64_t start = td_end(sim_enclave, index - 1);
    int error = sim_apply_rights(start, td_end(sim_enclave, index) - start);
    is_shown[index] = !error;
    return error;
}

int sim_create(const struct enclave *enclave)
{
    const char *flaw = sim_ecreate_flaw(enclave);
    int error = flaw ? fail(-EIO, "ECREATE #GP(0): %s", flaw) : elrange_reserve();
    if (error) {
        return error;
    }
    sim_enclave = enclave;
    epcm = mmap(NULL, PAGES_IN_ELRANGE * sizeof(*epcm), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (epcm == MAP_FAILED) {
        epcm = NULL;
        error = fail(-errno, "there is no memory for the table of pages");
    } else if (mprotect((void *)enclave->image_start, enclave->image_end - enclave->image_start, PROT_READ | PROT_WRITE) != 0) {
        error = fail(-errno, "there is no memory for the enclave");
    }
    if (error) {
        sim_release();
        return error;
    }
    if (sim_traps_enclu) {
        sim_measure_ecreate(&measurement, enclave);
    }
    return 0;
}

void sim_release(void)
{
    elrange_release();
    if (epcm) {
        munmap(epcm, PAGES_IN_ELRANGE * sizeof(*epcm));
    }
    epcm = NULL;
    sim_is_initialised = false;
}

int sim_add_page(uint64_t address, const uint8_t *content, uint64_t flags, bool is_measured)
{
    const char *flaw = sim_eadd_flaw(address, content ? content : ZEROS, flags);
    if (flaw) {
        return fail(-EIO, "EADD #GP(0): %s: the page at 0x%llx", flaw, (unsigned long long)address);
    }
    if (sim_is_initialised) {
        return fail(-EINVAL, "EADD #GP(0): the enclave is initialised already");
    }
    uint16_t *entry = epcm_entry(address);
    uint32_t rights = flags & SECINFO_RIGHTS;
    if (*entry & EPCM_VALID) {
        return -EEXIST;
    }
    bool is_tcs = (flags & SECINFO_TYPE) == SECINFO_TCS;
    *entry = (uint16_t)(EPCM_VALID | rights | (rights << EPCM_TABLE_SHIFT) | (is_tcs ? EPCM_TCS : 0));
    if (content) {
        memcpy((void *)address, content, PAGE_SIZE);
    }
    if (is_tcs) {
        sim_eadd_tcs((struct tcs *)address);
    }
    if (sim_traps_enclu) {
        sim_measure_eadd(&measurement, address, content || is_tcs ? (const uint8_t *)address : ZEROS, flags, is_measured);
    }
    return 0;
}

/* In gate mode, what EINIT looks at has been looked at (sigstruct.c). */
int sim_initialise(struct enclave *enclave, const struct sigstruct *sigstruct)
{
    if (sim_is_initialised) {
        return fail(-EINVAL, "EINIT: the enclave is initialised already");
    }
    int error = sim_traps_enclu ? sim_einit(&measurement, enclave, sigstruct) : check_threads(enclave);
    if (!error && apply_first_rights(enclave) != 0) {
        error = fail(-ENOMEM, "the rights of the enclave's pages cannot be set");
    }
    sim_is_initialised = !error;
    return error;
}
