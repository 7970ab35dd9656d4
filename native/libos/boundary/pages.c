/* Dynamic enclave memory: what the host is asked for, and the instructions that accept what it did. */
#include "boundary/ocall.h"

struct page_counts *page_counts;

#define COUNT(field, pages)                                                                                            \
    do {                                                                                                               \
        if (page_counts) {                                                                                             \
            __atomic_fetch_add(&page_counts->field, (pages), __ATOMIC_RELAXED);                                        \
        }                                                                                                              \
    } while (0)

int host_memory_add(uint64_t address, uint64_t length)
{
    return (int)ocall_make(NULL, OCALL_MEMORY_ADD, address, length, 0, 0);
}

int host_memory_protect(uint64_t address, uint64_t length, uint32_t protection)
{
    return (int)ocall_make(NULL, OCALL_MEMORY_PROTECT, address, length, protection, 0);
}

int host_memory_restrict(uint64_t address, uint64_t length, uint32_t protection)
{
    COUNT(requests, 1);
    return (int)ocall_make(NULL, OCALL_MEMORY_PROTECT, address, length, protection, 1);
}

int host_memory_trim(uint64_t address, uint64_t length)
{
    COUNT(requests, 1);
    return (int)ocall_make(NULL, OCALL_MEMORY_TRIM, address, length, 0, 0);
}

int host_memory_remove(uint64_t address, uint64_t length)
{
    COUNT(requests, 1);
    return (int)ocall_make(NULL, OCALL_MEMORY_REMOVE, address, length, 0, 0);
}

/* What went wrong with a page. */
static int refused(uint64_t result, uint64_t page)
{
    if (result == ENCLU_NO_PAGE) {
        log_line(LOG_INFO, "the host has no page for 0x%llx", (unsigned long long)page);
        return -ENOMEM;
    }
    log_line(LOG_ERROR, "the host did not change the page at 0x%llx as asked", (unsigned long long)page);
    return -EPERM;
}

/* `page`: where it ended. */
static int accept_up_to(uint64_t *page, uint64_t end, uint64_t flags)
{
    const struct secinfo secinfo = {.flags = flags};
    uint64_t start = *page, result = 0;
    for (; *page < end; *page += PAGE_SIZE) {
        result = enclu(ENCLU_EACCEPT, (uint64_t)&secinfo, *page, 0);
        if (result != 0) {
            break;
        }
    }
    uint64_t pages = (*page - start) / PAGE_SIZE;
    COUNT(accepted, pages);
    COUNT(added, flags & SECINFO_PENDING ? pages : 0);
    return result == 0 ? 0 : refused(result, *page);
}

static int accept_pages(uint64_t address, uint64_t length, uint64_t flags)
{
    return accept_up_to(&address, address + length, flags);
}

#define ADDED (PAGE_READ | PAGE_WRITE | SECINFO_REG | SECINFO_PENDING)

int enclave_accept(uint64_t address, uint64_t length)
{
    return accept_pages(address, length, ADDED);
}

int enclave_accept_copy(uint64_t address, const void *source, uint32_t protection)
{
    const struct secinfo secinfo = {.flags = protection | SECINFO_REG};
    uint64_t result = enclu(ENCLU_EACCEPTCOPY, (uint64_t)&secinfo, address, (uint64_t)source);
    COUNT(added, result == 0);
    COUNT(copied, result == 0);
    return result == 0 ? 0 : refused(result, address);
}

int enclave_accept_restricted(uint64_t address, uint64_t length, uint32_t protection)
{
    return accept_pages(address, length, protection | SECINFO_REG | SECINFO_PR);
}

int enclave_accept_trimmed(uint64_t address, uint64_t length)
{
    return accept_pages(address, length, SECINFO_TRIM | SECINFO_MODIFIED);
}

void enclave_extend(uint64_t address, uint64_t length, uint32_t protection)
{
    const struct secinfo secinfo = {.flags = protection};
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        enclu(ENCLU_EMODPE, (uint64_t)&secinfo, page, 0);
    }
    COUNT(extended, length / PAGE_SIZE);
}

int enclave_add(uint64_t address, uint64_t length)
{
    uint64_t page = address;
    int error = host_memory_add(address, length);
    if (!error) {
        error = accept_up_to(&page, address + length, ADDED);
    }
    if (error && page > address) { /* none at all, so that they can be asked for again */
        enclave_remove(address, page - address);
    }
    return error;
}

int enclave_remove(uint64_t address, uint64_t length)
{
    int error = host_memory_trim(address, length);
    if (!error) {
        error = enclave_accept_trimmed(address, length);
    }
    if (!error) {
        error = host_memory_remove(address, length);
    }
    COUNT(removed, error ? 0 : length / PAGE_SIZE);
    return error;
}
