/* Dynamic memory: the range is checked here, the rest is the machine's. */
#include <errno.h>

#include "machine.h"
#include "ocall.h"

static bool range_is_valid(uint64_t address, uint64_t length)
{
    return address % PAGE_SIZE == 0 && length % PAGE_SIZE == 0 && length > 0 && address >= DYNAMIC_START && address < DYNAMIC_END &&
           length <= DYNAMIC_END - address;
}

int64_t ocall_memory_add(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    return range_is_valid(address, length) ? machine->add_memory(address, length) : -EINVAL;
}

int64_t ocall_memory_protect(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1], rights = call->arguments[2], is_restriction = call->arguments[3];
    if (!range_is_valid(address, length) || rights & ~(uint64_t)SECINFO_RIGHTS || is_restriction > 1) {
        return -EINVAL;
    }
    return is_restriction ? machine->restrict_memory(address, length, (uint32_t)rights) : machine->protect_memory(address, length, (uint32_t)rights);
}

int64_t ocall_memory_trim(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    return range_is_valid(address, length) ? machine->trim_memory(address, length) : -EINVAL;
}

int64_t ocall_memory_remove(struct request *call)
{
    uint64_t address = call->arguments[0], length = call->arguments[1];
    return range_is_valid(address, length) ? machine->remove_memory(address, length) : -EINVAL;
}
