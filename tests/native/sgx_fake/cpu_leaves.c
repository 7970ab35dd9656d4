/* EACCEPT, EMODPE and EACCEPTCOPY: what an enclave does with its own pages. */
#include <string.h>

#include "fake.h"

enum { NOT_TRACKED = 11, MISMATCH = 19 }; /* SGX_NOT_TRACKED, SGX_PAGE_ATTRIBUTES_MISMATCH */

/* The three steps at which an operand can be refused. Which operand's come first is each leaf's own. */

static struct exception place(uint64_t address, uint64_t alignment)
{
    return address % alignment || address - secs.base >= secs.size ? GENERAL_PROTECTION : NO_EXCEPTION;
}

static struct exception resolve(uint64_t address, uint16_t rights)
{
    return *page_of(address) & P_VALID ? NO_EXCEPTION : (struct exception){V_PF, FAULT_U | (rights & P_W ? FAULT_W : 0), address};
}

static struct exception access_page(uint64_t address, uint16_t rights)
{
    uint16_t entry = *page_of(address);
    bool is_good = (entry & (P_PENDING | P_MODIFIED | P_TYPE)) == P_REG && (entry & rights) == rights;
    return is_good ? NO_EXCEPTION : (struct exception){V_PF, FAULT_P | FAULT_U | FAULT_SGX | (rights & P_W ? FAULT_W : 0), address};
}

struct exception cpu_operand(uint64_t address, uint64_t alignment, uint16_t rights)
{
    struct exception exception = place(address, alignment);
    exception = exception.vector < 0 ? resolve(address, rights) : exception;
    return exception.vector < 0 ? access_page(address, rights) : exception;
}

/* SECINFO, in a page that can be read: flags that must be zero, and 56 bytes that are. */
static struct exception read_secinfo(uint64_t address, uint64_t *flags)
{
    const uint64_t *fields = (const uint64_t *)(store + address);
    struct exception exception = access_page(address, P_R);
    *flags = fields[0];
    bool is_zero = !(fields[0] & ~0xFF3FULL);
    for (unsigned index = 1; index < 8; index++) {
        is_zero = is_zero && !fields[index];
    }
    return exception.vector < 0 && !is_zero ? GENERAL_PROTECTION : exception;
}

/* SECINFO.FLAGS as EACCEPT compares them: R W X PENDING MODIFIED, type. It does not compare PR. */
static uint64_t flags_of(uint16_t entry)
{
    return (entry & P_RIGHTS) | (entry & P_PENDING ? 8U : 0) | (entry & P_MODIFIED ? 0x10U : 0) | (entry & P_TYPE);
}
#define FLAG_PR 0x20ULL

struct exception cpu_eaccept(greg_t *registers)
{
    uint64_t flags = 0, secinfo = (uint64_t)registers[REG_RBX], page = (uint64_t)registers[REG_RCX];
    struct exception exception = place(secinfo, 64);
    exception = exception.vector < 0 ? resolve(secinfo, P_R) : exception;
    exception = exception.vector < 0 ? read_secinfo(secinfo, &flags) : exception;
    exception = exception.vector < 0 ? place(page, PAGE) : exception;
    exception = exception.vector < 0 ? resolve(page, P_W) : exception;
    if (exception.vector >= 0) {
        return exception;
    }
    uint64_t type = flags & 0xFF00, state = flags & 0x38;
    bool is_sane = (type == P_REG && (state == 8 || state == 0x20 || state == 0x28)) || ((type == P_TRIM || type == P_TCS) && state == 0x10);
    if (!is_sane) {
        return GENERAL_PROTECTION;
    }
    count(N_EACCEPT);
    take();
    uint16_t *entry = page_of(page);
    uint64_t error = !(*entry & P_VALID) || flags_of(*entry) != (flags & ~FLAG_PR) ? MISMATCH : 0;
    bool is_change = !(flags & 8); /* and no new page */
    error = !error && is_change && !is_tracked(page) ? NOT_TRACKED : error;
    if (!error) {
        *entry &= (uint16_t)~(P_PENDING | P_MODIFIED | P_PR);
        apply(page);
    }
    give();
    cpu_tell_error(registers, error);
    return exception;
}

struct exception cpu_emodpe(greg_t *registers)
{
    uint64_t flags = 0, secinfo = (uint64_t)registers[REG_RBX], page = (uint64_t)registers[REG_RCX];
    struct exception exception = place(secinfo, 64);
    exception = exception.vector < 0 ? place(page, PAGE) : exception;
    exception = exception.vector < 0 ? resolve(secinfo, P_R) : exception;
    exception = exception.vector < 0 ? resolve(page, P_W) : exception;
    exception = exception.vector < 0 ? read_secinfo(secinfo, &flags) : exception;
    if (exception.vector >= 0) {
        return exception;
    }
    take();
    uint16_t *entry = page_of(page);
    if ((*entry & (P_PENDING | P_MODIFIED | P_TYPE)) != P_REG) {
        exception = (struct exception){V_PF, FAULT_P | FAULT_U | FAULT_SGX, page};
    } else if ((flags & P_W) && !((*entry | flags) & P_R)) {
        exception = GENERAL_PROTECTION;
    } else {
        *entry |= flags & P_RIGHTS;
        apply(page);
    }
    give();
    return exception;
}

struct exception cpu_eacceptcopy(greg_t *registers)
{
    uint64_t flags = 0, secinfo = (uint64_t)registers[REG_RBX], page = (uint64_t)registers[REG_RCX], source = (uint64_t)registers[REG_RDX];
    struct exception exception = place(secinfo, 64);
    exception = exception.vector < 0 ? place(page, PAGE) : exception;
    exception = exception.vector < 0 ? place(source, PAGE) : exception;
    exception = exception.vector < 0 ? resolve(secinfo, P_R) : exception;
    exception = exception.vector < 0 ? resolve(page, P_W) : exception;
    exception = exception.vector < 0 ? resolve(source, P_R) : exception;
    exception = exception.vector < 0 ? read_secinfo(secinfo, &flags) : exception;
    if (exception.vector < 0 && ((flags & 0xFF00) != P_REG || (flags & 3) == 2)) {
        return GENERAL_PROTECTION; /* PENDING, MODIFIED and PR are not looked at */
    }
    exception = exception.vector < 0 ? access_page(source, P_R) : exception;
    if (exception.vector >= 0) {
        return exception;
    }
    take();
    uint16_t *entry = page_of(page);
    bool is_match = flags_of(*entry) == (P_REG | 8U | P_R | P_W);
    if (is_match) {
        memcpy(store + page, store + source, PAGE);
        *entry = (uint16_t)((*entry & ~(P_PENDING | P_RIGHTS)) | (flags & P_RIGHTS));
        apply(page);
    }
    give();
    cpu_tell_error(registers, is_match ? 0 : MISMATCH);
    return exception;
}
