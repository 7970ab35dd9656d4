/*
 * A PAL that does not do what it is asked about rights. The environment says how, LIAR_RIGHTS:
 *
 *     tables    EMODPR is done, but the page tables allow everything at all times
 *     nothing   requests are answered with 0, and nothing is done
 *     EVERY     a number: of so many requests one is answered so
 */
#define ocall_memory_protect honest_memory_protect
#define ocall_memory_add honest_memory_add
#include "../../../native/pal/ocall_memory.c"
#undef ocall_memory_protect
#undef ocall_memory_add

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static const char *lie(void)
{
    const char *kind = getenv("LIAR_RIGHTS");
    return kind ? kind : "";
}

static void open_tables(uint64_t address, uint64_t length)
{
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        *epcm_entry(page) |= EPCM_TABLE_RIGHTS;
    }
    sim_apply_rights(address, length);
}

int64_t ocall_memory_add(struct request *call)
{
    int64_t result = honest_memory_add(call);
    if (result == 0 && strcmp(lie(), "tables") == 0) {
        open_tables(call->arguments[0], call->arguments[1]);
    }
    return result;
}

int64_t ocall_memory_protect(struct request *call)
{
    static uint32_t requests;
    if (strcmp(lie(), "tables") == 0) {
        int64_t result = honest_memory_protect(call);
        if (result == 0) {
            open_tables(call->arguments[0], call->arguments[1]);
        }
        return result;
    }
    uint32_t every = strcmp(lie(), "nothing") == 0 ? 1 : (uint32_t)atoi(lie());
    bool is_ignored = every != 0 && __atomic_add_fetch(&requests, 1, __ATOMIC_RELAXED) % every == 0;
    return is_ignored ? 0 : honest_memory_protect(call);
}
