#include "process/process.h"

#define PROCESSORS_MAX 64U /* of a mask in one word */

static uint32_t of_host;

void machine_start(uint32_t processors)
{
    of_host = processors;
}

static uint32_t within(uint32_t count, uint32_t most)
{
    return count < 1 ? 1 : count > most ? most : count;
}

uint32_t processor_count(void)
{
    return within(of_host, within(configuration.threads, PROCESSORS_MAX));
}
