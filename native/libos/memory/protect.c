#include "memory/loaded.h"
#include "memory/object.h"

/* The first error that mprotect must report for the range, without changing anything. */
static int64_t check_protect(user_address start, user_address end, uint32_t protection)
{
    user_address at = start;
    while (at < end) {
        struct area_node *node = find_own(current_space(), at);
        if (!node) {
            return -ENOMEM;
        }
        if (node->area.flags & MAP_SEALED) {
            return -EPERM;
        }
        if ((node->area.flags & MAP_NEVER_WRITABLE) && (protection & PROT_WRITE)) {
            return -EACCES;
        }
        if (node->area.file) {
            int64_t error = file_upcalls.check_mapping(node->area.file, (int)protection, (int)node->area.flags);
            if (error) {
                return error == -EPERM ? -EACCES : error;
            }
        }
        at = node->area.end;
    }
    return 0;
}

static int64_t protect_locked(user_address start, user_address end, uint32_t protection)
{
    int64_t error = check_protect(start, end, protection);
    if (error) {
        return error;
    }
    loaded_settle(current_space(), start, end);
    split_at(start);
    split_at(end);
    for (struct area_node *node; start < end; start = node->area.end) {
        node = area_from(&areas, start);
        if (node->area.object) {
            shared_protect(&node->area, protection);
        } else {
            commit_protect(node->area.start, node->area.end, node->area.protection, protection);
        }
        node->area.flags &= node->area.protection == protection ? UINT32_MAX : ~(uint32_t)MAP_PRISTINE;
        node->area.protection = protection;
    }
    return 0;
}

/* From where mprotect(2) begins; or -EINVAL, -ENOMEM. */
static int64_t start_of_range(user_address start, user_address end, uint32_t protection)
{
    if (!(protection & PROT_GROWSDOWN)) {
        return protection & PROT_GROWSUP ? (find_own(current_space(), start) ? -EINVAL : -ENOMEM) : (int64_t)start;
    }
    const struct area_node *node = area_from(&areas, start);
    while (node && node->area.space != current_space()) {
        node = area_from(&areas, node->area.end);
    }
    if (!node || node->area.start >= end) {
        return -ENOMEM;
    }
    return node->area.flags & MAP_GROWSDOWN ? (int64_t)node->area.start : -EINVAL;
}

int64_t memory_protect(user_address address, uint64_t length, uint32_t protection)
{
    if (address % PAGE_SIZE) {
        return -EINVAL;
    }
    if (length == 0) {
        return 0;
    }
    if (length > APPLICATION_END || !range_is_good(address, PAGE_UP(length))) {
        return -ENOMEM;
    }
    user_address end = address + PAGE_UP(length);
    lock_space();
    int64_t start = start_of_range(address, end, protection);
    int64_t result = start;
    if (start >= 0) {
        result = reserve_nodes() ? protect_locked((user_address)start, end, protection & ACCESS_MASK) : -ENOMEM;
        join_around((user_address)start, end);
    }
    unlock_memory();
    return result;
}
