/* EACCEPT, EMODPE and EACCEPTCOPY: what an enclave does with its own pages. */
#include <string.h>

#include "fake.h"

enum { NOT_TRACKED = 11, MISMATCH = 19 }; /* SGX_NOT_TRACKED, SGX_PAGE_ATTRIBUTES_MISMATCH */

struct exception cpu_operand(uint64_t address, uint64_t alignment, uint16_t rights)
{
    if (address % alignment || address - secs.base >= secs.size) {
        return GENERAL_PROTECTION;
    }
    uint16_t entry = *page_of(address);
    if (!(entry & P_VALID)) {
        return (struct exception){V_PF, FAULT_U | (rights & P_W ? FAULT_W : 0), address};
    }
    if ((entry & (P_PENDING | P_MODIFIED | P_TYPE)) != P_REG || (entry & rights) != rights) {
        return (struct exception){V_PF, FAULT_P | FAULT_U | FAULT_SGX | (rights & P_W ? FAULT_W : 0), address};
    }
    return NO_EXCEPTION;
}

/* SECINFO: flags that must be zero, and 56 bytes that are. */
static struct exception read_secinfo(uint64_t address, uint64_t *flags)
{
    struct exception exception = cpu_operand(address, 64, P_R);
    if (exception.vector < 0) {
        const uint64_t *fields = (const uint64_t *)(store + address);
        *flags = fields[0];
        bool is_zero = !(fields[0] & ~0xFF3FULL);
        for (unsigned index = 1; index < 8; index++) {
            is_zero = is_zero && !fields[index];
        }
        exception = is_zero ? exception : GENERAL_PROTECTION;
    }
    return exception;
}

static struct exception target(uint64_t page)
{
    if (page % PAGE || page - secs.base >= secs.size) {
        return GENERAL_PROTECTION;
    }
    return *page_of(page) & P_VALID ? NO_EXCEPTION : (struct exception){V_PF, FAULT_U | FAULT_W, page};
}

/* SECINFO.FLAGS as the entry is: R W X PENDING MODIFIED PR, type. */
static uint64_t flags_of(uint16_t entry)
{
    return (entry & P_RIGHTS) | (entry & P_PENDING ? 8U : 0) | (entry & P_MODIFIED ? 0x10U : 0) | (entry & P_PR ? 0x20U : 0) | (entry & P_TYPE);
}

/* RBX: SECINFO; RCX: the page that it is about. */
static struct exception operands(const greg_t *registers, uint64_t *flags)
{
    struct exception exception = read_secinfo((uint64_t)registers[REG_RBX], flags);
    return exception.vector < 0 ? target((uint64_t)registers[REG_RCX]) : exception;
}

struct exception cpu_eaccept(greg_t *registers)
{
    uint64_t flags, page = (uint64_t)registers[REG_RCX];
    struct exception exception = operands(registers, &flags);
    if (exception.vector >= 0) {
        return exception;
    }
    uint64_t type = flags & 0xFF00, state = flags & 0x38;
    bool is_sane = (type == P_REG && (state == 8 || state == 0x20 || state == 0x28)) || ((type == P_TRIM || type == P_TCS) && state == 0x10);
    if (!is_sane || (flags & 3) == 2) {
        return GENERAL_PROTECTION;
    }
    count(N_EACCEPT);
    take();
    uint16_t *entry = page_of(page);
    uint64_t error = !(*entry & P_VALID) || flags_of(*entry) != flags ? MISMATCH : 0;
    bool is_change = !(flags & 8); /* and no new page */
    error = !error && is_change && !is_tracked(page) ? NOT_TRACKED : error;
    if (!error) {
        *entry &= (uint16_t)~(P_PENDING | P_MODIFIED | P_PR);
        apply(page);
    }
    give();
    registers[REG_RAX] = (greg_t)error;
    return exception;
}

struct exception cpu_emodpe(greg_t *registers)
{
    uint64_t flags, page = (uint64_t)registers[REG_RCX];
    struct exception exception = operands(registers, &flags);
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
    uint64_t flags, page = (uint64_t)registers[REG_RCX], source = (uint64_t)registers[REG_RDX];
    struct exception exception = read_secinfo((uint64_t)registers[REG_RBX], &flags);
    exception = exception.vector < 0 ? cpu_operand(source, PAGE, P_R) : exception;
    exception = exception.vector < 0 ? target(page) : exception;
    if (exception.vector >= 0) {
        return exception;
    }
    if ((flags & ~7ULL) != P_REG || (flags & 3) == 2) {
        return GENERAL_PROTECTION;
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
    registers[REG_RAX] = is_match ? 0 : MISMATCH;
    return exception;
}
