/* Page faults: pages of anonymous areas are committed when they are touched. */
#include "memory/object.h"

#define FAULT_AROUND 0x10000ULL /* aligned block that one fault commits */

static bool access_is_allowed(uint32_t protection, enum fault_access access)
{
    switch (access) {
    case FAULT_READ:
        return protection & ACCESS_MASK;
    case FAULT_WRITE:
        return protection & PROT_WRITE;
    case FAULT_EXECUTE:
        return protection & PROT_EXEC;
    }
    return false;
}

/* Commit the block around a page of an anonymous area; only that page when memory is short. */
static int64_t fault_in(const struct area *area, user_address page)
{
    user_address start = page & ~(FAULT_AROUND - 1);
    user_address end = start + FAULT_AROUND;
    start = start > area->start ? start : area->start;
    end = end < area->end ? end : area->end;
    bool committed;
    for (user_address next = start; next <= page; next = commit_run(next, end, &committed)) {
        start = next; /* the run of missing pages that holds the page */
    }
    end = commit_run(start, end, &committed);
    if (commit_add(start, end)) {
        start = page;
        end = page + PAGE_SIZE;
        if (commit_add(start, end)) {
            log_line(LOG_ERROR, "out of enclave memory: the image is built for less (see --set memory)");
            return -ENOMEM;
        }
    }
    commit_protect(start, end, PROT_READ | PROT_WRITE, area->protection);
    return 0;
}

static int64_t fault_locked(user_address page, enum fault_access access)
{
    struct area_node *node = find_own(current_space(), page);
    if (!node) {
        return -EFAULT;
    }
    if (!access_is_allowed(node->area.protection, access)) {
        return -EACCES;
    }
    if (node->area.object) {
        return shared_fault(&node->area, page, access);
    }
    if (commit_test(page)) {
        return 0; /* another thread was faster */
    }
    return node->area.file ? -EIO : fault_in(&node->area, page);
}

/* Two threads that store through two views of a page take turns: who has got it is let use it before it is taken away again. */
#define SPINS_BETWEEN_VIEWS 2000

void let_others_use_pages(void)
{
    host_yield();
    for (unsigned spins = 0; spins < SPINS_BETWEEN_VIEWS; spins++) {
        __builtin_ia32_pause();
    }
}

int64_t fault_once(user_address address, enum fault_access access)
{
    bool is_own_fault = has_memory_lock(); /* only a host that takes away what is there makes the LibOS fault here */
    if (address < APPLICATION_START || address >= APPLICATION_END || is_own_fault) {
        return -EFAULT;
    }
    lock_memory();
    int64_t result = fault_locked(PAGE_DOWN(address), access);
    unlock_memory();
    return result;
}

int64_t memory_fault(user_address address, enum fault_access access)
{
    int64_t result;
    while ((result = fault_once(address, access)) == -EAGAIN) {
        let_others_use_pages();
    }
    return result;
}
