/* What an omniscient looker-on sees: has the enclave's own memory changed? In simulation the host could write there itself; it never does. */
#include <stdlib.h>
#include <string.h>

#include "../../../native/libos/base/layout.h"
#include "liar.h"
#include "sim.h"

#define HEAP_WATCHED (64ULL << 20) /* of the LibOS's own dynamic memory behind its stacks */
#define PAGES_MAX 32768U

static uint64_t pages[PAGES_MAX];
static uint8_t *copies;
static size_t page_count;

static void remember_range(uint64_t start, uint64_t end)
{
    for (uint64_t page = start; page < end; page += PAGE_SIZE) {
        uint16_t entry = *epcm_entry(page);
        bool is_memory = (entry & EPCM_VALID) && !(entry & (EPCM_TCS | EPCM_TRIM | EPCM_PENDING)) && (epcm_effective_rights(entry) & SECINFO_W);
        if (!is_memory) {
            continue;
        }
        if (page_count == PAGES_MAX) {
            found("the enclave has more memory than is watched");
        }
        memcpy(copies + page_count * PAGE_SIZE, (const void *)page, PAGE_SIZE);
        pages[page_count++] = page;
    }
}

/* Simulation hides the pages of threads that have never begun, which an enclave on a CPU has. */
static void show_threads(void)
{
    for (uint32_t index = 0; index < sim_enclave->tcs_count; index++) {
        if (sim_show_thread((const struct tcs *)sim_enclave->tcs_addresses[index])) {
            found("the pages of a thread cannot be shown");
        }
    }
}

void memory_remember(void)
{
    show_threads();
    page_count = 0;
    if (!copies) {
        copies = malloc(PAGES_MAX * PAGE_SIZE);
    }
    remember_range(sim_enclave->image_start, sim_enclave->image_end);
    remember_range(LIBOS_DYNAMIC_START, LIBOS_STACKS_END + HEAP_WATCHED);
}

static bool is_allowed(uint64_t address, const struct range *allowed, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (address >= allowed[index].start && address < allowed[index].end) {
            return true;
        }
    }
    return false;
}

uint64_t memory_changed(const struct range *allowed, size_t count)
{
    for (size_t index = 0; index < page_count; index++) {
        const uint8_t *now = (const uint8_t *)pages[index], *before = copies + index * PAGE_SIZE;
        if (memcmp(now, before, PAGE_SIZE) == 0) {
            continue;
        }
        for (size_t byte = 0; byte < PAGE_SIZE; byte++) {
            if (now[byte] != before[byte] && !is_allowed(pages[index] + byte, allowed, count)) {
                return pages[index] + byte;
            }
        }
    }
    return 0;
}
